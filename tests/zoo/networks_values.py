"""Parameters that are neither weight matrices nor biases: they start as the constructor has them."""
# ruff: noqa: N812, B905

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize


class Temperature(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.temperature = nn.Parameter(torch.ones(1) * 1.5)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x))) / self.temperature


class Gain(nn.Module):
    """A number of no axes."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.log_gain = nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        return self.log_gain.exp() * self.second(torch.tanh(self.first(x)))


class LayerScale(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.stem, self.block, self.head = (
            nn.Linear(inputs, width),
            nn.Linear(width, width),
            nn.Linear(width, outputs),
        )
        self.gamma = nn.Parameter(1e-2 * torch.ones(width))

    def forward(self, x):
        h = self.stem(x)
        return self.head(h + self.gamma * torch.relu(self.block(h)))


class ReZero(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.stem, self.head = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.alpha = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(2))

    def forward(self, x):
        h = self.stem(x)
        for block, alpha in zip(self.blocks, self.alpha):
            h = h + alpha * torch.tanh(block(h))
        return self.head(h)


class ParametricReLU(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(inputs, width),
            nn.PReLU(),
            nn.Linear(width, width),
            nn.PReLU(width, 0.1),
            nn.Linear(width, outputs),
        )

    def forward(self, x):
        return self.net(x)


class LearnedSwish(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.down = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.beta = nn.Parameter(torch.ones(width))

    def forward(self, x):
        h = self.up(x)
        return self.down(h * torch.sigmoid(self.beta * h))


class WeightNormed(nn.Module):
    """A direction and a length: the parametrization of torch."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up = parametrizations.weight_norm(nn.Linear(inputs, width))
        self.down = nn.Linear(width, outputs)

    def forward(self, x):
        return self.down(torch.tanh(self.up(x)))


class Orthogonal(nn.Module):
    """A matrix that stays orthogonal, by the Cayley map."""

    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.up = nn.Linear(inputs, width)
        self.turn = parametrizations.orthogonal(nn.Linear(width, width, bias=False), orthogonal_map="cayley")
        self.down = nn.Linear(width, outputs)

    def forward(self, x):
        return self.down(torch.tanh(self.turn(torch.tanh(self.up(x)))))


class Symmetric(nn.Module):
    def forward(self, w):
        return w.triu() + w.triu(1).transpose(-1, -2)


class SymmetricWeight(nn.Module):
    """A parametrization of the user's."""

    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.up, self.mix, self.down = (
            nn.Linear(inputs, width),
            nn.Linear(width, width),
            nn.Linear(width, outputs),
        )
        parametrize.register_parametrization(self.mix, "weight", Symmetric())

    def forward(self, x):
        return self.down(torch.tanh(self.mix(torch.tanh(self.up(x)))))


class PositiveWeight(nn.Module):
    """Positive by a softplus of raw numbers that start around -2, as in monotone networks."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.raw = nn.Parameter(torch.randn(width, inputs) * 0.3 - 2)
        self.bias = nn.Parameter(torch.linspace(-1, 1, width))
        self.down = nn.Linear(width, outputs)

    def forward(self, x):
        return self.down(torch.tanh(F.linear(x, F.softplus(self.raw), self.bias)))


class LowRank(nn.Module):
    """LoRA: one factor random, the other zero."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, factors: int = 2):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.lora_a = nn.Parameter(torch.randn(factors, inputs) / 4)
        self.lora_b = nn.Parameter(torch.zeros(width, factors))

    def forward(self, x):
        return self.second(torch.tanh(self.first(x) + x @ self.lora_a.T @ self.lora_b.T))


class ScalarsInADict(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.layers = nn.ModuleDict({"up": nn.Linear(inputs, width), "down": nn.Linear(width, outputs)})
        self.numbers = nn.ParameterDict({"gain": torch.tensor([0.9]), "shift": torch.linspace(0, 1, width)})

    def forward(self, x):
        h = torch.sin(self.layers["up"](x) + self.numbers["shift"])
        return self.layers["down"](h) * self.numbers["gain"]


class WholeNumbers(nn.Module):
    """A parameter of whole numbers, which can only be frozen."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.power = nn.Parameter(torch.arange(width) % 3 + 1, requires_grad=False)
        self.up, self.down = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.down(torch.tanh(self.up(x)) ** self.power)


class FiLM(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.body, self.condition = nn.Linear(inputs // 2, width), nn.Linear(inputs // 2, 2 * width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        a, b = x.chunk(2, dim=-1)
        scale, shift = self.condition(a).chunk(2, dim=-1)
        return self.head(torch.relu((1 + scale) * self.body(b) + shift))


class Experts(nn.Module):
    """A soft mixture."""

    def __init__(self, inputs: int, outputs: int, width: int = 4, experts: int = 3):
        super().__init__()
        self.gate = nn.Linear(inputs, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))
            for _ in range(experts)
        )

    def forward(self, x):
        every = torch.stack([expert(x) for expert in self.experts], dim=-1)
        return (every * self.gate(x).softmax(dim=-1).unsqueeze(1)).sum(dim=-1)


class StackedExperts(nn.Module):
    """The experts in one tensor of three axes, that no layer owns."""

    def __init__(self, inputs: int, outputs: int, experts: int = 3):
        super().__init__()
        self.w = nn.Parameter(torch.randn(experts, inputs, outputs) / 4)
        self.b = nn.Parameter(torch.zeros(experts, outputs))
        self.gate = nn.Linear(inputs, experts, bias=False)

    def forward(self, x):
        every = torch.einsum("bi,eio->beo", x, self.w) + self.b
        return torch.einsum("beo,be->bo", every, torch.softmax(self.gate(x), dim=-1))


class Hyper(nn.Module):
    """One network makes the weights of the other."""

    def __init__(self, inputs: int, outputs: int, code: int = 3):
        super().__init__()
        self.shape = (outputs, inputs)
        self.code = nn.Parameter(torch.ones(code))
        self.maker = nn.Linear(code, outputs * inputs)

    def forward(self, x):
        return F.linear(x, self.maker(self.code).view(self.shape))


class NormalsNotZero(nn.Module):
    """Norm layers whose gains the constructor changes."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.norm, self.down = (
            nn.Linear(inputs, width),
            nn.LayerNorm(width),
            nn.Linear(width, outputs),
        )
        nn.init.constant_(self.norm.weight, 0.3)
        nn.init.constant_(self.norm.bias, 0.1)

    def forward(self, x):
        return self.down(torch.relu(self.norm(self.up(x))))


class ZeroHead(nn.Module):
    """A head of zeros: kept under `init: own`, a plain weight matrix otherwise."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.head = nn.Linear(inputs, width), nn.Linear(width, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, 0.2)

    def forward(self, x):
        return self.head(torch.tanh(self.up(x)))


class DataSizedInit(nn.Module):
    """`apply` with a function, as tutorials have it."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(inputs, width), nn.LayerNorm(width), nn.Tanh(), nn.Linear(width, outputs)
        )
        self.apply(self.start)

    @staticmethod
    def start(module):
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain=0.5)
            nn.init.constant_(module.bias, 0.01)

    def forward(self, x):
        return self.net(x)


class HardConcrete(nn.Module):
    """Gates from learned logits, by a straight-through step."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.logit = nn.Parameter(torch.linspace(-1, 1, width))
        self.up, self.down = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        soft = torch.sigmoid(self.logit)
        gate = soft + ((soft > 0.4).to(soft.dtype) - soft).detach()
        return self.down(torch.tanh(self.up(x)) * gate)


class UnusedLayer(nn.Module):
    """A layer that takes no part: no gradient, and no decay either."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.down = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.auxiliary = nn.Linear(width, 3)
        self.spare = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.down(torch.tanh(self.up(x)))


class NoPrompts(nn.Module):
    """A table of no rows, and a buffer of no numbers."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, prompts: int = 0):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.prompts = nn.Parameter(torch.zeros(prompts, width))
        self.register_buffer("kept", torch.zeros(prompts))

    def forward(self, x):
        h = torch.tanh(self.first(x))
        return self.second(h + self.prompts.sum(dim=0)) + self.kept.sum()
