"""What a module keeps besides its weights: buffers and plain tensors, fixed once it is made."""
# ruff: noqa: N812, B905

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Permuted(nn.Module):
    """A permutation that the constructor draws."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.register_buffer("order", torch.randperm(inputs))
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x[:, self.order])))


class FourierFeatures(nn.Module):
    """Random frequencies, drawn once, never trained."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, sigma: float = 0.5):
        super().__init__()
        self.register_buffer("B", sigma * torch.randn(inputs, width))
        self.head = nn.Linear(2 * width, outputs)

    def forward(self, x):
        angle = 2 * math.pi * x @ self.B / 8
        return self.head(torch.cat([angle.sin(), angle.cos()], dim=-1))


class NumpyProjection(nn.Module):
    """A projection drawn by numpy."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        matrix = np.random.randn(inputs, width) / np.sqrt(inputs)
        self.register_buffer("projection", torch.tensor(matrix, dtype=torch.float32), persistent=False)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(torch.relu(x @ self.projection))


class Frequencies(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.register_buffer("frequency", torch.arange(1, width + 1).float() / 4)
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.sin(self.frequency * self.first(x)))


class PlainTensors(nn.Module):
    """Tensors that are no buffers: an attribute, a list, a dictionary, one of a submodule."""

    class Shift(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.by = torch.linspace(-1, 1, width)

        def forward(self, x):
            return x + self.by

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.scale = torch.linspace(0.5, 1.5, inputs)
        self.masks = [torch.ones(width), (torch.arange(width) % 2 == 0).float()]
        self.tables = {"gain": torch.full((width,), 0.7)}
        self.shift = self.Shift(width)
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        h = self.shift(self.first(x * self.scale))
        return self.second(torch.tanh(h) * self.masks[1] * self.tables["gain"])


class Standardised(nn.Module):
    """Known mean and deviation of the inputs, of which one is a number and one a tensor of one number."""

    mean = 0.1
    deviation = torch.tensor(1.3)

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(F.relu(self.first((x - self.mean) / self.deviation)))


class SparseMask(nn.Module):
    """A random half of the connections, by a mask of booleans."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.register_buffer("mask", torch.rand(width, inputs) < 0.5)

    def forward(self, x):
        return self.second(torch.tanh(F.linear(x, self.first.weight * self.mask, self.first.bias)))


class Buckets(nn.Module):
    """Inputs to whole numbers by edges, whole numbers to vectors by a table that is trained."""

    def __init__(self, inputs: int, outputs: int, dim: int = 4):
        super().__init__()
        self.register_buffer("edges", torch.tensor([-1.0, 0.0, 1.0]))
        self.embed = nn.Embedding(4, dim)
        self.head = nn.Linear(inputs * dim, outputs)

    def forward(self, x):
        return self.head(torch.tanh(self.embed(torch.bucketize(x, self.edges))).flatten(1))


class Splines(nn.Module):
    """A layer of piecewise linear functions on a grid, as in Kolmogorov-Arnold networks."""

    def __init__(self, inputs: int, outputs: int, knots: int = 5):
        super().__init__()
        self.register_buffer("grid", torch.linspace(-2, 2, knots))
        self.coefficients = nn.Parameter(0.1 * torch.randn(inputs, outputs, knots))
        self.base = nn.Linear(inputs, outputs)

    def forward(self, x):
        hat = F.relu(1 - (x.unsqueeze(-1) - self.grid).abs())
        return self.base(F.silu(x)) + torch.einsum("bik,iok->bo", hat, self.coefficients)


class RadialBasis(nn.Module):
    def __init__(self, inputs: int, outputs: int, centres: int = 6):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(centres, inputs))
        self.log_width = nn.Parameter(torch.full((centres,), 1.5))
        self.head = nn.Linear(centres, outputs)

    def forward(self, x):
        distance = (x.unsqueeze(1) - self.centres).square().sum(dim=-1)
        return self.head(torch.exp(-distance * torch.exp(-2 * self.log_width) / 2))


class FourierLayer(nn.Module):
    """A convolution in Fourier space with weights that are real."""

    def __init__(self, inputs: int, outputs: int, modes: int = 5):
        super().__init__()
        self.modes = modes
        self.real, self.imaginary = (nn.Parameter(0.3 * torch.randn(modes)) for _ in range(2))
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x):
        spectrum = torch.fft.rfft(x)[:, : self.modes] * torch.complex(self.real, self.imaginary)
        return self.head(torch.tanh(torch.fft.irfft(spectrum, n=x.shape[-1])))


class HaarBuffers(nn.Module):
    """A list of matrices, each a buffer under a name made by a loop."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        for k in (1, 2, 4):
            self.register_buffer(f"level_{k}", torch.eye(inputs).unflatten(0, (-1, k)).mean(dim=1))
        self.heads = nn.ModuleList(nn.Linear(inputs // k, outputs) for k in (1, 2, 4))

    def forward(self, x):
        return sum(
            head(torch.tanh(x @ getattr(self, f"level_{k}").T)) for k, head in zip((1, 2, 4), self.heads)
        )


class OptionalBuffer(nn.Module):
    """A buffer that is None, and one that nothing reads."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.register_buffer("mask", None)
        self.register_buffer("unread", torch.randn(3))
        self.register_parameter("bias", None)
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        return self.second(h if self.mask is None else h * self.mask)


class HalfPrecisionTable(nn.Module):
    """A table in another precision than the network's."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.register_buffer("gain", torch.tensor([1.0, 0.5] * (width // 2), dtype=torch.float64))
        self.register_buffer("sign", torch.tensor([1, -1] * (width // 2), dtype=torch.int8))
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)) * self.gain * self.sign)


class Hashed(nn.Module):
    """Weights shared by a random table of indices (HashedNets)."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, values: int = 20):
        super().__init__()
        self.register_buffer("index", torch.randint(0, values, (width, inputs)))
        self.values = nn.Parameter(torch.randn(values) / 4)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(torch.tanh(F.linear(x, self.values[self.index])))


class Coins(nn.Module):
    """Buffers of one bit each: some are the same for two replicates by chance, and differ for a third."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        for k in range(width):
            self.register_buffer(f"coin_{k}", torch.randint(0, 2, ()))
        self.width = width

    def forward(self, x):
        coins = torch.stack([getattr(self, f"coin_{k}") for k in range(self.width)])
        return self.second(torch.tanh(self.first(x)) * (2 * coins - 1))


class FixedGenerator(nn.Module):
    """Drawn by a generator of its own, the same for all."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, table_seed: int = 3):
        super().__init__()
        generator = torch.Generator().manual_seed(table_seed)
        self.register_buffer("table", torch.randn(width, generator=generator))
        self.offset = torch.from_numpy(np.random.default_rng(table_seed).normal(size=width)).float()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x) * self.table + self.offset))
