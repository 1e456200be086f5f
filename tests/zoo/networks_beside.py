"""Networks with layers from a module beside their file."""

import torch
from torch import nn
from zoo_layers import Gate


class FromBeside(nn.Module):
    """A layer from a module beside the file."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.gate, self.down = nn.Linear(inputs, width), Gate(width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.down(self.gate(self.up(x)))


class Inherited(FromBeside):
    """A class of a class: it replaces one layer."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.down = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs))


class Ensemble(nn.Module):
    """Three networks and their mean."""

    def __init__(self, inputs: int, outputs: int, width: int = 4):
        super().__init__()
        self.members = nn.ModuleList([FromBeside(inputs, outputs, width) for _ in range(3)])

    def forward(self, x):
        return torch.stack([member(x) for member in self.members]).mean(dim=0)
