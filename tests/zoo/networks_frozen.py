"""What is not trained stays as it starts."""

import copy

import torch
from torch import nn


class RandomFeatures(nn.Module):
    """The first layer is frozen."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.first.requires_grad_(False)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


class FrozenBias(nn.Module):
    """A bias that is not trained, and does not start at zero."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.first.bias.requires_grad = False
        self.shift = nn.Parameter(torch.linspace(-1, 1, width), requires_grad=False)

    def forward(self, x):
        return self.second(torch.relu(self.first(x) + self.shift))


class FrozenReadout(nn.Module):
    """A committee machine: its output weights are fixed signs."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first = nn.Linear(inputs, width, bias=False)
        sign = torch.ones(outputs, width)
        sign[:, width // 2 :] = -1
        self.sign = nn.Parameter(sign / width, requires_grad=False)

    def forward(self, x):
        return torch.erf(self.first(x)) @ self.sign.T


class PartlyFrozen(nn.Module):
    """A random half of a matrix is trained."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.register_buffer("free", torch.rand(width, inputs) < 0.5)
        self.register_buffer("fixed", torch.randn(width, inputs) / 4)

    def forward(self, x):
        weight = torch.where(self.free, self.first.weight, self.fixed)
        return self.second(torch.tanh(nn.functional.linear(x, weight, self.first.bias)))


class Lazy(nn.Module):
    """The change of a network since its start, times alpha: a frozen copy is taken off."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, alpha: float = 2.0):
        super().__init__()
        self.alpha = alpha
        self.net = nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs))
        self.start = copy.deepcopy(self.net).requires_grad_(False)

    def forward(self, x):
        return self.alpha * (self.net(x) - self.start(x))


class FrozenEmbedding(nn.Module):
    def __init__(self, inputs: int, outputs: int, dim: int = 4):
        super().__init__()
        self.embed = nn.Embedding.from_pretrained(torch.linspace(-1, 1, 3 * dim).view(3, dim), freeze=True)
        self.head = nn.Linear(inputs * dim, outputs)

    def forward(self, x):
        index = (x > 0).long() + (x > 1).long()
        return self.head(self.embed(index).flatten(1))


class FrozenNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.norm, self.down = (
            nn.Linear(inputs, width),
            nn.LayerNorm(width),
            nn.Linear(width, outputs),
        )
        nn.init.constant_(self.norm.weight, 0.7)
        for parameter in self.norm.parameters():
            parameter.requires_grad_(False)

    def forward(self, x):
        return self.down(torch.relu(self.norm(self.up(x))))


class Detached(nn.Module):
    """A branch through which no gradient goes."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.side, self.down = (
            nn.Linear(inputs, width),
            nn.Linear(width, width),
            nn.Linear(width, outputs),
        )

    def forward(self, x):
        h = torch.tanh(self.up(x))
        return self.down(torch.tanh(self.side(h.detach())) + 0.5 * h)


class NoGradBackbone(nn.Module):
    """A backbone inside no_grad: its parameters ask for gradients and never get one, nor decay."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.backbone = nn.Linear(inputs, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        with torch.no_grad():
            h = torch.relu(self.backbone(x))
        return self.head(h)


class AlternatingSigns(nn.Module):
    """Weights in two parts, one of which is a frozen list."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.fixed = nn.ParameterList(
            nn.Parameter(torch.randn(4, inputs) / 4, requires_grad=False) for _ in range(2)
        )
        self.head = nn.Linear(8, outputs)

    def forward(self, x):
        return self.head(torch.cat([torch.sin(x @ w.T) for w in self.fixed], dim=-1))
