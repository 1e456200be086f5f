"""Weights and modules that are used more than once."""
# ruff: noqa: N812

import torch
import torch.nn.functional as F
from torch import nn


class TiedAutoencoder(nn.Module):
    """The same matrix, there and back."""

    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.encode = nn.Linear(inputs, width)
        self.back = nn.Parameter(torch.zeros(inputs))
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x):
        code = torch.tanh(self.encode(x))
        return self.head(F.linear(code, self.encode.weight.t(), self.back))


class TiedLayers(nn.Module):
    """Two layers hold one parameter."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.a, self.b = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, width)
        self.b.weight = self.a.weight
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(torch.tanh(self.b(torch.tanh(self.a(torch.tanh(self.up(x)))))))


class SharedModule(nn.Module):
    """One module under two names, called three times."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.step = nn.Linear(inputs, width), nn.Linear(width, width)
        self.again = self.step
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        h = self.up(x)
        for step in (self.step, self.again, self.step):
            h = h + torch.tanh(step(h)) / 2
        return self.head(h)


class Siamese(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(inputs // 2, width), nn.ReLU(), nn.Linear(width, width))
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        left, right = (self.tower(half) for half in x.chunk(2, dim=-1))
        return self.head((left - right).abs())


class SharedBuffer(nn.Module):
    """Two modules hold one buffer."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        table = torch.randn(width)
        self.up, self.down = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.up.register_buffer("table", table)
        self.down.register_buffer("table", table)

    def forward(self, x):
        h = torch.tanh(self.up(x) * self.up.table)
        return self.down(h + self.down.table)


class Equilibrium(nn.Module):
    """Twelve passes of one layer, as a deep equilibrium without a solver."""

    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.inject, self.core, self.head = (
            nn.Linear(inputs, width),
            nn.Linear(width, width),
            nn.Linear(width, outputs),
        )

    def forward(self, x):
        u = self.inject(x)
        z = torch.zeros_like(u)
        for _ in range(12):
            z = torch.tanh(0.3 * self.core(z) + u)
        return self.head(z)


class SharedAndTied(nn.Module):
    """One module under several names, whose weight another module holds too."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.block, self.twin = (
            nn.Linear(inputs, width),
            nn.Linear(width, width),
            nn.Linear(width, width),
        )
        self.twin.weight = self.block.weight
        self.blocks = nn.ModuleList([self.block] * 3)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        h = self.up(x)
        for block in self.blocks:
            h = torch.tanh(block(h))
        return self.head(torch.tanh(self.twin(h)))
