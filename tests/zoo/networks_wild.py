"""What public code does to modules besides layers and parameters."""

import torch
from torch import nn


class KeepsNormInEval(nn.Module):
    """A `train` of its own, as detectors have it: the norm keeps the statistics that it was given."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.norm = nn.BatchNorm1d(width)
        self.norm.running_mean += 0.3
        self.norm.running_var *= 2.0

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x):
        return self.second(torch.tanh(self.norm(self.first(x))))


class FrozenByTrain(nn.Module):
    """What is trained its `train` decides, called by every loop before the first step."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def train(self, mode=True):
        super().train(mode)
        self.first.requires_grad_(False)
        return self

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))
