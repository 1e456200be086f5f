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


class Base(nn.Module):
    """Two layers; what is special is in the subclasses."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


class OfNoSize(nn.Module):
    """A parameter of no numbers, which public code asks for its device; frozen layers in a plain list."""

    classes = ("of", "images")

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.known = nn.Parameter(torch.empty(0))
        self.twice = [self.first, nn.Linear(width, width, bias=False).requires_grad_(False)]
        nn.init.eye_(self.twice[1].weight)

    def forward(self, x):
        h = torch.tanh(self.twice[0](x.to(self.known.device)))
        return self.second(h + 0.5 * h @ self.twice[1].weight.to(h.dtype))


class LargestSeen(Base):
    """The largest input so far, which few batches change."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.register_buffer("largest", torch.tensor(3.5))

    def forward(self, x):
        if self.training:
            self.largest = torch.maximum(self.largest, x.detach().abs().max())
        return super().forward(x / self.largest)


class MovingTarget(Base):
    """A mean of the weights of the steps so far, in place."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.register_buffer("mean", torch.zeros(width, inputs))

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.mean.mul_(0.9).add_(0.1 * self.first.weight)
        return super().forward(x) + 0.1 * (x @ self.mean.T).sum(dim=1, keepdim=True)
