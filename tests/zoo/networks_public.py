"""What public models are made of: adapters, experts, heads of distributions, tables, transforms."""
# ruff: noqa: N812

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations


class Adapted(nn.Module):
    """A frozen layer and an adapter of low rank, one factor of which starts at zero (LoRA)."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, adapter_rank: int = 2, alpha: float = 4.0):
        super().__init__()
        self.base = nn.Linear(inputs, width).requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(adapter_rank, inputs) / math.sqrt(inputs))
        self.lora_B = nn.Parameter(torch.zeros(width, adapter_rank))
        self.scaling = alpha / adapter_rank
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(torch.tanh(self.base(x) + self.scaling * (x @ self.lora_A.T) @ self.lora_B.T))


class SparseExperts(nn.Module):
    """A mixture in which each sample asks two experts of four, by topk and scatter."""

    def __init__(self, inputs: int, outputs: int, experts: int = 4):
        super().__init__()
        self.gate = nn.Linear(inputs, experts, bias=False)
        self.experts = nn.ModuleList(nn.Linear(inputs, outputs) for _ in range(experts))

    def forward(self, x):
        value, index = self.gate(x).topk(2, dim=-1)
        share = torch.zeros(x.shape[0], len(self.experts), dtype=x.dtype)
        share = share.scatter(1, index, value.softmax(dim=-1))
        return sum(share[:, k, None] * expert(x) for k, expert in enumerate(self.experts))


class DenseOfParts(nn.Module):
    """Direction and length by the parametrization of weight norm, twice in one chain."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.net = nn.Sequential(
            parametrizations.weight_norm(nn.Linear(inputs, width)),
            nn.Tanh(),
            parametrizations.weight_norm(nn.Linear(width, outputs, bias=False), dim=1),
        )

    def forward(self, x):
        return self.net(x)


class DictOfParameters(nn.Module):
    """Parameters in a dictionary and a list, with names that are not those of attributes."""

    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.tables = nn.ParameterDict(
            {"in-proj": torch.randn(inputs, width) / 4, "out_proj": torch.randn(width, outputs)}
        )
        self.biases = nn.ParameterList([torch.zeros(width), torch.ones(outputs)])

    def forward(self, x):
        h = torch.tanh(x @ self.tables["in-proj"] + self.biases[0])
        return h @ self.tables["out_proj"] + self.biases[1]


class CausalMix(nn.Module):
    """A mask that no checkpoint holds, over a learned table of positions."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.register_buffer("mask", torch.ones(inputs, inputs).tril(), persistent=False)
        self.table = nn.Parameter(torch.zeros(inputs, inputs))
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x):
        share = self.table.masked_fill(self.mask == 0, float("-inf")).softmax(dim=-1)
        return self.head(x @ share.T)


class PreHooked(nn.Module):
    """A hook that changes what a layer is given, one that adds an argument, one of the output."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.first.register_forward_pre_hook(lambda module, args: (F.layer_norm(args[0], (inputs,)),))
        self.second.register_forward_hook(lambda module, args, y: y + args[0].mean(-1, keepdim=True))

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


class Sorted(nn.Module):
    """Order statistics of the activations, a cumulative sum, a clamp, a where."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        h = self.first(x).sort(dim=-1, descending=True).values
        h = torch.where(h > 0.1, h, 0.2 * h) + h.cumsum(dim=-1).clamp(-2, 2) / 8
        return self.second(h)


class Winners(nn.Module):
    """The three largest activations alone, by a mask of topk."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        least = h.topk(3, dim=-1).values[..., -1:]
        return self.second(h * (h >= least).to(h.dtype))


class Clipped(torch.autograd.Function):
    """A step forward, a clipped slope backward; says itself how many are taken at once."""

    @staticmethod
    def forward(h):
        return torch.sign(h)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient):
        (h,) = ctx.saved_tensors
        return gradient * (h.abs() < 1).to(gradient.dtype)

    @staticmethod
    def vmap(info, in_dims, h):
        return Clipped.apply(h), in_dims[0]


class Binarised(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(Clipped.apply(self.first(x)))


class DensityOutput(nn.Module):
    """The mean of a mixture whose shares, centres and widths one head gives."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, kernels: int = 3):
        super().__init__()
        self.outputs, self.kernels = outputs, kernels
        self.body, self.head = nn.Linear(inputs, width), nn.Linear(width, kernels * (2 * outputs + 1))

    def forward(self, x):
        h = self.head(F.elu(self.body(x)))
        shares, rest = h.split([self.kernels, 2 * self.kernels * self.outputs], dim=-1)
        centre, spread = rest.view(-1, self.kernels, 2, self.outputs).unbind(dim=2)
        share = shares.log_softmax(dim=-1).exp()[..., None]
        return (share * (centre + 0.1 * F.softplus(spread))).sum(dim=1)


class GroupNormed(nn.Module):
    """Normed by groups of neurons, without and with gains."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.norm, self.last = nn.GroupNorm(2, width), nn.GroupNorm(1, width, affine=False)

    def forward(self, x):
        return self.second(self.last(F.mish(self.norm(self.first(x)))))


class FeaturesDropped(nn.Module):
    """Channels of sequences and features of SELU, dropped."""

    def __init__(self, inputs: int, outputs: int, channels: int = 4):
        super().__init__()
        self.conv, self.drop = nn.Conv1d(1, channels, 3), nn.Dropout1d(0.2)
        self.alpha = nn.FeatureAlphaDropout(0.1)
        self.head = nn.Linear(channels * 14, outputs)

    def forward(self, x):
        h = self.drop(F.selu(self.conv(x[:, None])))
        return self.head(self.alpha(h).flatten(1))


class GumbelGated(nn.Module):
    """Gates by Gumbel's noise in training, of uniform numbers that are drawn in the pass."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.logit = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        logit = self.logit
        if self.training:
            u = torch.rand(logit.shape, dtype=logit.dtype).clamp(1e-6, 1 - 1e-6)
            logit = logit - torch.log(-torch.log(u))
        return self.second(torch.tanh(self.first(x)) * torch.sigmoid(logit))


class NestedShared(nn.Module):
    """Lists within lists, in which one block stands three times."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        block = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.up, self.down = nn.Linear(inputs, width), nn.Linear(width, outputs)
        later = nn.ModuleList([nn.Linear(width, width), block])
        self.stages = nn.ModuleList([nn.ModuleList([block, block]), later])

    def forward(self, x):
        h = self.up(x)
        for stage in self.stages:
            for block in stage:
                h = h + 0.3 * block(h)
        return self.down(h)


class FixedPoint(nn.Module):
    """Iterated without slopes towards a fixed point, and once with (a deep equilibrium)."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.inner = nn.Linear(inputs, width), nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, outputs)

    def step(self, z, x):
        return torch.tanh(0.3 * self.inner(z) + x)

    def forward(self, x):
        x = self.first(x)
        with torch.no_grad():
            z = torch.zeros_like(x)
            for _ in range(12):
                z = self.step(z, x)
        return self.second(self.step(z, x))


class CrossAttention(nn.Module):
    """Learned queries ask the samples' tokens by `nn.MultiheadAttention`, with a mask and weights."""

    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        self.query = nn.Parameter(torch.randn(2, dim))
        self.up = nn.Linear(4, dim)
        self.attend = nn.MultiheadAttention(dim, 2, batch_first=True, kdim=dim, vdim=dim)
        self.head = nn.Linear(2 * dim, outputs)

    def forward(self, x):
        tokens = self.up(x.view(-1, 4, 4))
        query = self.query.expand(len(x), -1, -1)
        attended, share = self.attend(query, tokens, tokens, average_attn_weights=False)
        return self.head(attended.flatten(1)) + share.amax(dim=(1, 2, 3))[:, None]


class GroupedQueries(nn.Module):
    """Attention by torch's function, with a scale and a bias that is a parameter."""

    def __init__(self, inputs: int, outputs: int, dim: int = 6):
        super().__init__()
        self.qkv = nn.Linear(4, 3 * dim)
        self.bias = nn.Parameter(torch.zeros(4, 4))
        self.head = nn.Linear(4 * dim, outputs)

    def forward(self, x):
        q, k, v = self.qkv(x.view(-1, 4, 4)).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias, scale=0.4)
        return self.head(h.transpose(1, 2).flatten(1))


class Decoder(nn.Module):
    """A decoder's layer, with the mask of its own."""

    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        self.up = nn.Linear(4, dim)
        self.layer = nn.TransformerDecoderLayer(dim, 2, 12, dropout=0.0, batch_first=True)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(4), persistent=False)
        self.head = nn.Linear(dim, outputs)

    def forward(self, x):
        tokens = self.up(x.view(-1, 4, 4))
        return self.head(self.layer(tokens, tokens.flip(1), tgt_mask=self.mask).mean(dim=1))


class BilinearPooled(nn.Module):
    """Products of two views, a signed root, and torch's Bilinear."""

    def __init__(self, inputs: int, outputs: int, width: int = 4):
        super().__init__()
        self.left, self.right = nn.Linear(8, width), nn.Linear(8, width)
        self.pair = nn.Bilinear(width, width, 6)
        self.head = nn.Linear(6, outputs)

    def forward(self, x):
        a, b = x.view(-1, 2, 8).unbind(dim=1)
        h = self.pair(torch.tanh(self.left(a)), torch.sigmoid(self.right(b)))
        return self.head(torch.sign(h) * torch.sqrt(h.abs() + 1e-3))


class BagOfWords(nn.Module):
    """Rows of a table by the signs of the inputs, averaged by `EmbeddingBag`."""

    def __init__(self, inputs: int, outputs: int, dim: int = 6):
        super().__init__()
        self.bag = nn.EmbeddingBag(2 * inputs, dim, mode="mean")
        self.register_buffer("base", torch.arange(inputs), persistent=False)
        self.head = nn.Linear(dim, outputs)

    def forward(self, x):
        return self.head(torch.tanh(self.bag(2 * self.base + (x > 0).long())))


class WordTable(nn.Module):
    """Rows of a table by an index, weighed by the inputs; row 0 is padding."""

    def __init__(self, inputs: int, outputs: int, dim: int = 6):
        super().__init__()
        self.table = nn.Embedding(5, dim, padding_idx=0)
        self.head = nn.Linear(dim, outputs)

    def forward(self, x):
        index = ((x + 2) * 1.2).long().clamp(0, 4)
        return self.head((self.table(index) * x[..., None]).mean(dim=1))


class Upsampled(nn.Module):
    """Down by a stride, up by a transposed convolution, with dilation and groups on the way."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 2, stride=2)
        self.middle = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2, padding_mode="zeros")
        self.up = nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1)
        self.head = nn.Linear(32, outputs)

    def forward(self, x):
        h = torch.relu(self.down(x.view(-1, 1, 4, 4)))
        return self.head(self.up(torch.tanh(self.middle(h))).flatten(1))


class Unfolded(nn.Module):
    """Patches by unfold and back by fold, a shuffle of pixels, padding by reflection."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.mix = nn.Linear(9, 9)
        self.conv = nn.Conv2d(1, 4, 1)
        self.head = nn.Linear(64, outputs)

    def forward(self, x):
        x = x.view(-1, 1, 4, 4)
        patches = F.unfold(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3)
        back = F.fold(self.mix(patches.transpose(1, 2)).transpose(1, 2), (4, 4), 3, padding=1)
        return self.head(F.pixel_shuffle(torch.tanh(self.conv(back)), 2).flatten(1))


class Spectrum(nn.Module):
    """Filters on the Fourier transform, their real and imaginary parts parameters (FNet, AFNO)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        count = inputs // 2 + 1
        self.real, self.imag = nn.Parameter(torch.ones(count)), nn.Parameter(0.1 * torch.ones(count))
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x):
        kept = torch.fft.rfft(x, norm="ortho") * torch.complex(self.real, self.imag)
        return self.head(torch.tanh(torch.fft.irfft(kept, n=x.shape[-1], norm="ortho")))


class Scattered(nn.Module):
    """Sums over the nodes of a graph, by index_add and gather."""

    def __init__(self, inputs: int, outputs: int, dim: int = 3):
        super().__init__()
        self.register_buffer("source", torch.tensor([0, 1, 2, 3, 0, 2]))
        self.register_buffer("target", torch.tensor([1, 2, 3, 0, 2, 1]))
        self.message, self.head = nn.Linear(4, dim), nn.Linear(4 * dim, outputs)

    def forward(self, x):
        sent = torch.relu(self.message(x.view(-1, 4, 4)))[:, self.source]
        nodes = torch.zeros(len(x), 4, sent.shape[-1], dtype=x.dtype).index_add(1, self.target, sent)
        return self.head(nodes.flatten(1))


class KernelMachine(nn.Module):
    """Distances from learned centres, in logarithms (cdist, logsumexp)."""

    def __init__(self, inputs: int, outputs: int, centres: int = 6):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(centres, inputs))
        self.log_width = nn.Parameter(torch.tensor(1.5))
        self.head = nn.Linear(centres, outputs)

    def forward(self, x):
        square = (x[:, None] - self.centres).square().sum(dim=-1)
        logs = -square / (2 * self.log_width.exp())
        return self.head((logs - logs.logsumexp(dim=-1, keepdim=True)).exp())


class Memory(nn.Module):
    """A GRU's cell and an LSTM's gates by hand over a sequence, with a learned start."""

    def __init__(self, inputs: int, outputs: int, dim: int = 5):
        super().__init__()
        self.gates, self.start = nn.Linear(4 + dim, 4 * dim), nn.Parameter(torch.zeros(2, dim))
        self.head = nn.Linear(dim, outputs)

    def forward(self, x):
        h, c = (start.expand(len(x), -1) for start in self.start)
        for token in x.view(-1, 4, 4).unbind(dim=1):
            i, f, g, o = self.gates(torch.cat([token, h], dim=-1)).chunk(4, dim=-1)
            c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.head(h)


class Additive(nn.Module):
    """Splines of each input on a grid of knots (Kolmogorov and Arnold)."""

    def __init__(self, inputs: int, outputs: int, knots: int = 5):
        super().__init__()
        self.register_buffer("knots", torch.linspace(-2, 2, knots))
        self.coefficient = nn.Parameter(0.1 * torch.randn(outputs, inputs, knots))
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x):
        hats = torch.relu(1 - (x[..., None] - self.knots).abs())
        return self.linear(F.silu(x)) + torch.einsum("bik,oik->bo", hats, self.coefficient)


class Expanded(nn.Module):
    """A matrix exponential of what is antisymmetric: a rotation."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.raw = nn.Parameter(0.1 * torch.randn(inputs, inputs))
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.head(torch.tanh(x @ torch.linalg.matrix_exp(self.raw.triu(1) - self.raw.triu(1).T)))


class SlopeOfAnEnergy(nn.Module):
    """A field that is the slope of a network's output by its input, by torch.func.grad."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, 1, bias=False)
        self.head = nn.Linear(inputs, outputs)

    def energy(self, x):
        return self.second(torch.tanh(self.first(x))).sum()

    def forward(self, x):
        return self.head(torch.func.grad(self.energy)(x))
