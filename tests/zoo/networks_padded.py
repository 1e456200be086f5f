"""Networks that say that several widths may share a program, with more than weights of layers."""

import torch
from torch import nn


class PaddedFeatures(nn.Module):
    """Random features of several widths: the first layer is frozen."""

    padded = ("width",)

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.first.requires_grad_(False)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


class PaddedGain(nn.Module):
    """A gain that does not start at zero."""

    padded = ("width", "batch_size")

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, width))

    def forward(self, x):
        return self.second(torch.tanh(self.gain * self.first(x)))


class PaddedTable(nn.Module):
    """A buffer of the width's size, drawn by the constructor."""

    padded = ("width",)

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.register_buffer("phase", torch.rand(width))

    def forward(self, x):
        return self.second(torch.sin(self.first(x) + self.phase))


class PaddedAttribute(nn.Module):
    """Numbers and tensors that depend on the width, which no parameter tells."""

    padded = ("width",)

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.scale = 4 / width
        self.order = torch.arange(width).flip(0)
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.scale * self.second(torch.relu(self.first(x))[:, self.order])


class PaddedNorm(nn.Module):
    """Mean and deviation over the width, of which padding would be a part."""

    padded = ("width",)

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return self.second(torch.relu(self.norm(self.first(x))))


class PaddedCosine(nn.Module):
    """An activation that is not zero at zero, which the mask of padding takes care of."""

    padded = ("width",)

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.width = width
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.cos(self.first(x)))
