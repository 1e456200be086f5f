"""Networks whose passes leave something behind, or draw random numbers, in training."""
# ruff: noqa: N812

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations


class Base(nn.Module):
    """Two layers; what is special is in the subclasses."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(self.middle(torch.tanh(self.first(x))))

    def middle(self, h):
        return h


class Dropped(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.drop = nn.Dropout(0.1)

    def middle(self, h):
        return self.drop(h)


class DroppedByFunction(Base):
    """Inputs and activations, each by masks of their own."""

    def forward(self, x):
        return super().forward(F.dropout(x, 0.1, self.training))

    def middle(self, h):
        return F.dropout(h, 0.2, self.training)


class AlphaDropped(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.body = nn.Sequential(nn.Identity(), nn.AlphaDropout(0.1))

    def middle(self, h):
        return self.body(h)


class ChannelsDropped(nn.Module):
    """Convolution, pooling, and whole channels dropped."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv, self.drop = nn.Conv2d(1, 4, 3, padding=1), nn.Dropout2d(0.25)
        self.head = nn.Linear(16, outputs)

    def forward(self, x):
        h = self.drop(torch.relu(self.conv(x.view(-1, 1, 4, 4))))
        return self.head(F.max_pool2d(h, 2).flatten(1))


class NoiseInTraining(Base):
    def middle(self, h):
        return h + 0.1 * torch.randn_like(h) if self.training else h


class StochasticDepth(Base):
    """A layer that a sample skips."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.block = nn.Linear(width, width)

    def middle(self, h):
        kept = torch.rand(h.shape[0], 1) < 0.8 if self.training else 1.0
        return h + kept * torch.tanh(self.block(h))


class RunningBatchNorm(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.norm = nn.BatchNorm1d(width)

    def middle(self, h):
        return self.norm(h)


class ConvBatchNorm(nn.Module):
    """Convolution, running statistics, pooling."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4, momentum=0.3)
        self.head = nn.Linear(16, outputs)

    def forward(self, x):
        return self.head(F.avg_pool2d(torch.relu(self.norm(self.conv(x.view(-1, 1, 4, 4)))), 2).flatten(1))


class NormAndDropout(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.norm, self.drop = nn.BatchNorm1d(width, affine=False), nn.Dropout(0.2)

    def middle(self, h):
        return self.drop(self.norm(h))


class RunningInstanceNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv1d(1, 3, 3)
        self.norm = nn.InstanceNorm1d(3, track_running_stats=True)
        self.head = nn.Linear(3, outputs)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.conv(x[:, None]))).amax(dim=-1))


class Spectral(Base):
    """Power iteration: its vectors change at every pass."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.first = parametrizations.spectral_norm(self.first)


class MovingMean(Base):
    """A running mean of the activations, replaced at every pass in training."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.register_buffer("mean", torch.zeros(width))

    def middle(self, h):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(dim=0)
        return h - self.mean


class Annealed(Base):
    """A count of steps that acts on the result."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def middle(self, h):
        if self.training:
            self.calls += 1
        return h * torch.exp(-self.calls / 100)


class SaysOtherwiseInEval(Base):
    def middle(self, h):
        return h if self.training else 2 * h
