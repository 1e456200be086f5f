"""Attention, recurrence and mixing, over 16 numbers taken as 4 tokens of 4."""
# ruff: noqa: N812

import math

import torch
import torch.nn.functional as F
from torch import nn


class MaskedAttention(nn.Module):
    """Two heads written out, with a causal mask that is a buffer."""

    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        self.embed = nn.Linear(4, dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, outputs)
        self.register_buffer("mask", torch.tril(torch.ones(4, 4, dtype=torch.bool)))

    def forward(self, x):
        h = self.embed(x.view(-1, 4, 4))
        q, k, v = (t.unflatten(-1, (2, -1)).transpose(1, 2) for t in self.qkv(h).chunk(3, dim=-1))
        scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~self.mask, float("-inf"))
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)[:, -1])


class FusedAttention(nn.Module):
    """scaled_dot_product_attention with a mask that is a plain attribute."""

    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        self.embed = nn.Linear(4, dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, outputs)
        self.mask = torch.tril(torch.ones(4, 4, dtype=torch.bool))

    def forward(self, x):
        h = self.embed(x.view(-1, 4, 4))
        q, k, v = (t.unflatten(-1, (2, -1)).transpose(1, 2) for t in self.qkv(h).chunk(3, dim=-1))
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)
        return self.out(a.transpose(1, 2).flatten(2).mean(dim=1))


class CausalFlag(nn.Module):
    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, dim, bias=False) for _ in range(3))
        self.out = nn.Linear(dim, outputs)

    def forward(self, x):
        x = x.view(-1, 4, 4)
        return self.out(
            F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), is_causal=True)[:, -1]
        )


class MultiHead(nn.Module):
    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        self.embed = nn.Linear(4, dim)
        self.attention = nn.MultiheadAttention(dim, 2, batch_first=True)
        self.out = nn.Linear(dim, outputs)

    def forward(self, x):
        h = self.embed(x.view(-1, 4, 4))
        return self.out(self.attention(h, h, h, need_weights=False)[0].mean(dim=1))


class Encoder(nn.Module):
    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        self.embed = nn.Linear(4, dim)
        self.position = nn.Parameter(0.02 * torch.randn(4, dim))
        self.layer = nn.TransformerEncoderLayer(dim, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
        self.out = nn.Linear(dim, outputs)

    def forward(self, x):
        return self.out(self.layer(self.embed(x.view(-1, 4, 4)) + self.position).mean(dim=1))


class EncoderStack(nn.Module):
    """TransformerEncoder copies one layer; its layers start alike."""

    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        self.embed = nn.Linear(4, dim)
        layer = nn.TransformerEncoderLayer(dim, 2, 8, dropout=0.0, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(dim, outputs)

    def forward(self, x):
        return self.out(self.encoder(self.embed(x.view(-1, 4, 4)))[:, 0])


class VisionTransformer(nn.Module):
    """A class token, positions that are learned, LayerScale."""

    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        self.patch = nn.Conv2d(1, dim, 2, stride=2)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.position = nn.Parameter(torch.randn(1, 5, dim) * 0.02)
        self.norm = nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.scale = nn.Parameter(1e-1 * torch.ones(dim))
        self.head = nn.Linear(dim, outputs)

    def forward(self, x):
        tokens = self.patch(x.view(-1, 1, 4, 4)).flatten(2).transpose(1, 2)
        h = torch.cat([self.cls.expand(x.shape[0], -1, -1), tokens], dim=1) + self.position
        q, k, v = self.qkv(self.norm(h)).chunk(3, dim=-1)
        h = h + self.scale * self.proj(F.scaled_dot_product_attention(q, k, v))
        return self.head(h[:, 0])


class Sinusoidal(nn.Module):
    """A table of sines and cosines as a buffer that is not saved."""

    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        position = torch.arange(4).unsqueeze(1)
        rate = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
        table = torch.zeros(4, dim)
        table[:, 0::2], table[:, 1::2] = torch.sin(position * rate), torch.cos(position * rate)
        self.register_buffer("table", table.unsqueeze(0), persistent=False)
        self.embed, self.out = nn.Linear(4, dim), nn.Linear(dim, outputs)

    def forward(self, x):
        return self.out(torch.tanh(self.embed(x.view(-1, 4, 4)) + self.table).mean(dim=1))


class Rotary(nn.Module):
    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        angle = torch.outer(torch.arange(4).float(), 1.0 / 100 ** (torch.arange(0, dim, 2) / dim))
        self.register_buffer("cos", torch.cos(angle).repeat(1, 2))
        self.register_buffer("sin", torch.sin(angle).repeat(1, 2))
        self.q, self.k, self.v = (nn.Linear(4, dim) for _ in range(3))
        self.out = nn.Linear(dim, outputs)

    def rotate(self, h):
        a, b = h.chunk(2, dim=-1)
        return h * self.cos + torch.cat([-b, a], dim=-1) * self.sin

    def forward(self, x):
        x = x.view(-1, 4, 4)
        q, k = self.rotate(self.q(x)), self.rotate(self.k(x))
        return self.out(F.scaled_dot_product_attention(q, k, self.v(x))[:, -1])


class ComplexRotary(nn.Module):
    """The same turns as a buffer of complex numbers, as Llama has them."""

    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        angle = torch.outer(torch.arange(4).float(), 1.0 / 100 ** (torch.arange(0, dim, 2) / dim))
        self.register_buffer("turn", torch.polar(torch.ones_like(angle), angle))
        self.q, self.k, self.v = (nn.Linear(4, dim) for _ in range(3))
        self.out = nn.Linear(dim, outputs)

    def rotate(self, h):
        pairs = torch.view_as_complex(h.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * self.turn).flatten(-2)

    def forward(self, x):
        x = x.view(-1, 4, 4)
        q, k = self.rotate(self.q(x)), self.rotate(self.k(x))
        return self.out(F.scaled_dot_product_attention(q, k, self.v(x))[:, -1])


class Alibi(nn.Module):
    """A bias by distance, and T5's learned one from a table of whole numbers."""

    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        distance = (torch.arange(4)[:, None] - torch.arange(4)).abs()
        self.register_buffer("slope", -0.5 * distance.float())
        self.register_buffer("bucket", distance)
        self.relative = nn.Embedding(4, 1)
        self.q, self.k, self.v = (nn.Linear(4, dim) for _ in range(3))
        self.out = nn.Linear(dim, outputs)

    def forward(self, x):
        x = x.view(-1, 4, 4)
        bias = self.slope + self.relative(self.bucket).squeeze(-1)
        return self.out(
            F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), attn_mask=bias).mean(1)
        )


class LinearAttention(nn.Module):
    def __init__(self, inputs: int, outputs: int, dim: int = 8):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, dim, bias=False) for _ in range(3))
        self.out = nn.Linear(dim, outputs)

    def forward(self, x):
        x = x.view(-1, 4, 4)
        q, k = F.elu(self.q(x)) + 1, F.elu(self.k(x)) + 1
        state = torch.cumsum(k.unsqueeze(-1) * self.v(x).unsqueeze(-2), dim=1)
        return self.out((q.unsqueeze(-2) @ state).squeeze(-2)[:, -1] / 10)


class Mixer(nn.Module):
    def __init__(self, inputs: int, outputs: int, dim: int = 6):
        super().__init__()
        self.embed = nn.Linear(4, dim)
        self.tokens = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))
        self.channels = nn.Sequential(nn.Linear(dim, 8), nn.GELU(), nn.Linear(8, dim))
        self.head = nn.Linear(dim, outputs)

    def forward(self, x):
        h = self.embed(x.view(-1, 4, 4))
        h = h + self.tokens(h.transpose(1, 2)).transpose(1, 2)
        return self.head((h + self.channels(h)).mean(dim=1))


class DeepSets(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.each = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width))
        self.all = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs))

    def forward(self, x):
        return self.all(self.each(x.unsqueeze(-1)).mean(dim=1))


class Recurrent(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.width = width
        self.cell, self.head = nn.RNNCell(4, width), nn.Linear(width, outputs)

    def forward(self, x):
        h = torch.zeros(x.shape[0], self.width, dtype=x.dtype)
        for token in x.view(-1, 4, 4).unbind(1):
            h = self.cell(token, h)
        return self.head(h)


class Gated(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, width), nn.Linear(width, outputs)

    def forward(self, x):
        h = None
        for token in x.view(-1, 4, 4).unbind(1):
            h = self.cell(token, h)
        return self.head(h)


class LongShort(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.cell, self.head = nn.LSTMCell(4, width), nn.Linear(width, outputs)

    def forward(self, x):
        state = None
        for token in x.view(-1, 4, 4).unbind(1):
            state = self.cell(token, state)
        return self.head(state[0])


class LearnedStart(nn.Module):
    """A recurrence by hand from a state that is learned, with an orthogonal matrix of the constructor's."""

    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.start = nn.Parameter(0.1 * torch.ones(width))
        self.step, self.take = nn.Linear(width, width, bias=False), nn.Linear(4, width)
        nn.init.orthogonal_(self.step.weight)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        h = self.start.expand(x.shape[0], -1)
        for token in x.view(-1, 4, 4).unbind(1):
            h = torch.tanh(self.step(h) + self.take(token))
        return self.head(h)


class StateSpace(nn.Module):
    """A diagonal linear recurrence, its decay between zero and one."""

    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.log_rate = nn.Parameter(torch.log(torch.linspace(0.5, 2.0, width)))
        self.take, self.head = nn.Linear(1, width), nn.Linear(width, outputs)

    def forward(self, x):
        decay = torch.exp(-torch.exp(self.log_rate))
        h = 0.0
        for value in x.unbind(1):
            h = decay * h + self.take(value[:, None]) / 4
        return self.head(torch.tanh(h))
