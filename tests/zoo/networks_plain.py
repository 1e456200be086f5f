"""Feed-forward networks as people write them."""
# ruff: noqa: N812, B905, RUF007, RUF012

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from phasediag.symmetry.neurons import NeuronGroup


class Perceptron(nn.Module):
    """Two layers, and what counts its neurons."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))

    @property
    def neuron_groups(self):
        return (
            NeuronGroup(
                name="hidden.1", incoming=("first.weight",), bias=("first.bias",), outgoing=("second.weight",)
            ),
        )


class RawMatrices(nn.Module):
    """Weights that are no layer's: what counts the neurons tells that they are weights."""

    neuron_groups = (NeuronGroup(name="hidden.1", incoming=("w",), bias=("b",), outgoing=("v",)),)

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.w = nn.Parameter(torch.randn(width, inputs) / math.sqrt(inputs))
        self.b = nn.Parameter(torch.full((width,), 0.1))
        self.v = nn.Parameter(torch.randn(outputs, width) / math.sqrt(width))

    def forward(self, x):
        return F.gelu(x @ self.w.T + self.b) @ self.v.T


class RawUnnamed(nn.Module):
    """Weights that are no layer's, and that nothing names: they start as they are."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.w = nn.Parameter(torch.randn(inputs, width) / math.sqrt(inputs))
        self.v = nn.Parameter(torch.randn(width, outputs) / math.sqrt(width))

    def forward(self, x):
        return torch.relu(x @ self.w) @ self.v


class DeepLinear(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8, layers: int = 4):
        super().__init__()
        sizes = [inputs] + [width] * (layers - 1) + [outputs]
        self.layers = nn.Sequential(*[nn.Linear(a, b, bias=False) for a, b in zip(sizes, sizes[1:])])

    def forward(self, x):
        return self.layers(x)


class ListOfWidths(nn.Module):
    def __init__(self, inputs: int, outputs: int, hidden: list[int] = [16, 8]):  # noqa: B006
        super().__init__()
        sizes = [inputs, *hidden]
        self.body = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.head = nn.Linear(sizes[-1], outputs)

    def forward(self, x):
        for layer in self.body:
            x = F.elu(layer(x))
        return self.head(x)


class NamedSequence(nn.Sequential):
    """The model is itself a Sequential."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(
            OrderedDict(
                [("up", nn.Linear(inputs, width)), ("act", nn.SiLU()), ("down", nn.Linear(width, outputs))]
            )
        )


class FixedSizes(nn.Module):
    """Written for one data set: no argument tells its sizes."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, width), nn.Mish(), nn.Linear(width, 2))

    def forward(self, x):
        return self.net(x)


class NoArguments(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 8), nn.Softplus(), nn.Linear(8, 2))

    def forward(self, x):
        return self.net(x)


@dataclass
class Config:
    width: int = 8
    slope: float = 0.2


class Configured(nn.Module):
    """Module attributes that are functions, dictionaries and dataclasses."""

    functions = {"tanh": torch.tanh, "lrelu": F.leaky_relu}

    def __init__(self, inputs: int, outputs: int, act: Literal["tanh", "lrelu"] = "lrelu"):
        super().__init__()
        self.config = Config()
        self.act = self.functions[act]
        self.scales = {"in": 0.5, "out": 2.0}
        self.up = nn.Linear(inputs, self.config.width)
        self.down = nn.Linear(self.config.width, outputs)

    def forward(self, x):
        h = self.act(self.up(x) * self.scales["in"])
        return self.down(h + self.config.slope) * self.scales["out"]


class ResidualBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(F.gelu(self.up(self.norm(x))))


class ResidualMLP(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8, blocks: int = 2):
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class SwiGLU(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.gate = nn.Linear(inputs, width, bias=False)
        self.value = nn.Linear(inputs, width, bias=False)
        self.out = nn.Linear(width, outputs, bias=False)

    def forward(self, x):
        return self.out(F.silu(self.gate(x)) * self.value(x))


class Highway(nn.Module):
    """Its gates start closed: a bias that the constructor sets."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.change = nn.Linear(inputs, inputs)
        self.gate = nn.Linear(inputs, inputs)
        nn.init.constant_(self.gate.bias, -1.0)
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x):
        gate = torch.sigmoid(self.gate(x))
        return self.head(gate * torch.relu(self.change(x)) + (1 - gate) * x)


class Dense(nn.Module):
    """Every layer sees all before it."""

    def __init__(self, inputs: int, outputs: int, growth: int = 4):
        super().__init__()
        self.a = nn.Linear(inputs, growth)
        self.b = nn.Linear(inputs + growth, growth)
        self.head = nn.Linear(inputs + 2 * growth, outputs)

    def forward(self, x):
        x = torch.cat([x, torch.tanh(self.a(x))], dim=1)
        x = torch.cat([x, torch.tanh(self.b(x))], dim=1)
        return self.head(x)


class Maxout(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8, pieces: int = 3):
        super().__init__()
        self.pieces = pieces
        self.up = nn.Linear(inputs, width * pieces)
        self.down = nn.Linear(width, outputs)

    def forward(self, x):
        return self.down(self.up(x).unflatten(-1, (-1, self.pieces)).amax(dim=-1))


class CReLU(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up = nn.Linear(inputs, width)
        self.down = nn.Linear(2 * width, outputs)

    def forward(self, x):
        h = self.up(x)
        return self.down(torch.cat([F.relu(h), F.relu(-h)], dim=-1))


class Polynomial(nn.Module):
    """Powers of a projection."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, order: int = 3):
        super().__init__()
        self.order = order
        self.up = nn.Linear(inputs, width)
        self.down = nn.ModuleList(nn.Linear(width, outputs, bias=False) for _ in range(order))

    def forward(self, x):
        h = self.up(x) / 4
        return sum(layer(h ** (k + 1)) for k, layer in enumerate(self.down))


class Sine(nn.Module):
    def __init__(self, fan_in, fan_out, omega):
        super().__init__()
        self.omega = omega
        self.linear = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            self.linear.weight.uniform_(-1 / fan_in, 1 / fan_in)

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


class Siren(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8, omega: float = 3.0):
        super().__init__()
        self.net = nn.Sequential(
            Sine(inputs, width, omega), Sine(width, width, 1.0), nn.Linear(width, outputs)
        )

    def forward(self, x):
        return self.net(x)


class Bilinear(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 5):
        super().__init__()
        self.left, self.right = nn.Linear(inputs, width), nn.Linear(inputs, width)
        self.pair = nn.Bilinear(width, width, outputs)

    def forward(self, x):
        return self.pair(torch.tanh(self.left(x)), torch.tanh(self.right(x)))


class MeanField(nn.Module):
    """One over the width, and a centred output of two copies."""

    def __init__(self, inputs: int, outputs: int, width: int = 16):
        super().__init__()
        self.width = width
        self.a = nn.Linear(inputs, width)
        self.b = nn.Linear(width, outputs, bias=False)

    def forward(self, x):
        return self.b(torch.relu(self.a(x / math.sqrt(x.shape[-1])))) / self.width


class Hooked(nn.Module):
    """Hooks that keep nothing: one scales what goes in, one what comes out."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.down = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.up.register_forward_pre_hook(lambda module, given: (given[0] / 2,))
        self.down.register_forward_hook(lambda module, given, output: output * 1.5)

    def forward(self, x):
        return self.down(torch.tanh(self.up(x)))


class Checked(nn.Module):
    """A forward that looks at shapes and asserts."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.inputs = inputs
        self.up, self.down = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.ndim == 2
        batch, size = x.shape
        if size != self.inputs:
            raise ValueError(f"{size} inputs")
        h = F.hardtanh(self.up(x.reshape(batch, -1)))
        return self.down(h.view(batch, -1))


class EvalAware(nn.Module):
    """It asks for its mode, which changes nothing."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, p: float = 0.0):
        super().__init__()
        self.up, self.drop, self.down = nn.Linear(inputs, width), nn.Dropout(p), nn.Linear(width, outputs)

    def forward(self, x):
        return F.dropout(self.down(self.drop(F.relu6(self.up(x)))), 0.0, self.training)


class ActivationZoo(nn.Module):
    """Activations of torch.nn in one net."""

    def __init__(self, inputs: int, outputs: int, width: int = 4):
        super().__init__()
        kinds = (
            nn.CELU(),
            nn.SELU(),
            nn.Hardswish(),
            nn.LogSigmoid(),
            nn.Softsign(),
            nn.Tanhshrink(),
            nn.GLU(),
        )
        self.branches = nn.ModuleList(nn.Sequential(nn.Linear(inputs, width), act) for act in kinds)
        self.head = nn.Linear(width * 6 + width // 2, outputs)

    def forward(self, x):
        return self.head(torch.cat([branch(x) for branch in self.branches], dim=-1))


class SoftmaxBottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.up, self.down = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.down(torch.softmax(self.up(x), dim=-1) + torch.logsumexp(x, dim=-1, keepdim=True))


class InPlace(nn.Module):
    """In-place functions on values of its own, as ResNets have them."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.act, self.down = (
            nn.Linear(inputs, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, outputs),
        )

    def forward(self, x):
        h = self.act(self.up(x))
        h = 1.5 * h
        h += 0.1
        return self.down(h)


class OwnLinear(nn.Linear):
    """A layer of torch.nn with a gain."""

    def __init__(self, fan_in, fan_out):
        super().__init__(fan_in, fan_out)
        self.gain = nn.Parameter(torch.full((fan_out,), 0.8))

    def forward(self, x):
        return self.gain * super().forward(x)


class OwnLayers(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.net = nn.Sequential(OwnLinear(inputs, width), nn.Tanh(), OwnLinear(width, outputs))

    def forward(self, x):
        return self.net(x)


class Einsums(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 4):
        super().__init__()
        self.up = nn.Linear(inputs, width)
        self.core = nn.Parameter(torch.randn(outputs, width, width) / width)

    def forward(self, x):
        h = torch.tanh(self.up(x))
        return torch.einsum("oij,bi,bj->bo", self.core, h, h)


class KeywordOnly(nn.Module):
    """Arguments by keyword, some of them optional."""

    def __init__(
        self, *, inputs: int, outputs: int, width: int = 8, bias: bool = False, slope: float | None = None
    ):
        super().__init__()
        self.slope = 0.1 if slope is None else slope
        self.up, self.down = nn.Linear(inputs, width, bias), nn.Linear(width, outputs, bias)

    def forward(self, x):
        return self.down(F.leaky_relu(self.up(x), self.slope))
