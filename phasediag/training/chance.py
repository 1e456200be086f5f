"""Random numbers of a forward pass, such as the masks of Dropout: a function of the trial and the step alone.

Each number is `threefry2x32` of (key of the replicate, step, place within the pass), computed by operators of
torch. So it is the same one whatever the pack, the tile, the device, or the number of steps a call takes, and
wherever a run was resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import pi, prod
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from phasediag.trial import Streams

_ROTATIONS: Final = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY: Final = 0x1BD11BDA
_LOW: Final = 0xFFFFFFFF
_ALPHA: Final = -1.7580993408473766
"""What a dropped number of alpha dropout is set to before it is rescaled: -scale * alpha of SELU."""


def keys_of(seeds: Sequence[int], device: torch.device) -> Tensor:
    """The keys of replicates: int64 of 32 bits each, shape (seeds, 2)."""
    drawn = {s: Streams(s).generator("chance").integers(0, 2**32, 2, dtype=np.int64) for s in set(seeds)}
    return torch.from_numpy(np.stack([drawn[seed] for seed in seeds])).to(device)


def threefry2x32(key: tuple[Tensor, Tensor], first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Threefry-2x32 of 20 rounds [Salmon, Moraes, Dror and Shaw, SC 2011].

    Parameters
    ----------
    key
        Two words: int64 from 0 to 2^32 - 1, as are all words here, so that nothing overflows.
    first, second
        The words of the counter, of shapes that broadcast.

    Returns
    -------
    Two words for each counter.
    """
    words = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = (first + words[0]) & _LOW, (second + words[1]) & _LOW
    for group in range(5):
        for rotation in _ROTATIONS[4 * (group % 2) : 4 * (group % 2) + 4]:
            x = (x + y) & _LOW
            y = (((y << rotation) & _LOW) | (y >> (32 - rotation))) ^ x
        x = (x + words[(group + 1) % 3]) & _LOW
        y = (y + words[(group + 2) % 3] + group + 1) & _LOW
    return x, y


class Chance(TorchFunctionMode):
    """Draws what the random functions of torch draw in one pass of one network.

    `Dropout` and its kin, `torch.rand` and `randn` (and `_like`), `bernoulli`, `uniform_`, `normal_` and the
    dropout of `scaled_dot_product_attention` are drawn so; other random functions are not touched, nor is
    what is given a generator.

    Parameters
    ----------
    key
        Of the trial, int64, shape (2,).
    step
        Int64 scalar: the steps that the trial has done.

    Attributes
    ----------
    drawn
        Numbers drawn so far.
    """

    def __init__(self, key: Tensor, step: Tensor) -> None:
        super().__init__()
        self.key, self.step, self.drawn = key, step, 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What a function gives, of chance if it is one of those that are drawn here."""
        given = dict(kwargs or {})
        own = _OWN.get(func)
        if own is None or given.get("generator") is not None:
            return func(*args, **given)
        return own(self, func, *args, **given)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Numbers from 0 to 1, 1 left out, of a shape; of 24 bits in single precision, else of 32."""
        count = prod(shape)
        half = (count + 1) // 2
        place = torch.arange(half, dtype=torch.int64, device=device) + self.drawn
        self.drawn += half
        words = threefry2x32((self.key[0], self.key[1]), self.step & _LOW, place)
        bits = torch.cat(words)[:count].reshape(tuple(shape))
        if dtype == torch.float64:
            return bits.to(dtype) * 2.0**-32
        return ((bits >> 8).to(torch.float32) * 2.0**-24).to(dtype)

    def normal(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard normal numbers of a shape, by Box and Muller."""
        angle, length = self.uniform((2, *shape), dtype, device)
        return torch.sqrt(-2 * torch.log1p(-length)) * torch.cos(2 * pi * angle)

    def kept(self, p: float | Tensor, shape: Sequence[int], like: Tensor) -> Tensor:
        """Bool of a shape: True with probability 1 - p."""
        return self.uniform(shape, torch.float32, like.device) >= p


def _dropped(axes: Callable[[Tensor], int | None]) -> Callable[..., Tensor]:
    """Dropout of what lies on some leading axes together; None: of each number. p may be a trial's own."""

    def dropout(
        chance: Chance, func: Any, input: Tensor, p: float | Tensor = 0.5, training: bool = True,
        inplace: bool = False,
    ) -> Tensor:  # fmt: skip
        own = isinstance(p, Tensor)
        if not training or (not own and (p == 0 or not 0 <= p <= 1)):
            plain: Tensor = func(input, 0.0 if own else p, training, inplace)
            return plain
        kept = chance.kept(p, _shared_shape(input, axes(input)), input)
        factor = torch.where(kept, 1 / (1 - p), 0.0) if own else kept * (0 if p == 1 else 1 / (1 - p))
        factor = factor.to(input.dtype)
        return input.mul_(factor) if inplace else input * factor

    return dropout


def _alpha_dropped(axes: Callable[[Tensor], int | None]) -> Callable[..., Tensor]:
    def dropout(
        chance: Chance, func: Any, input: Tensor, p: float = 0.5, training: bool = False,
        inplace: bool = False,
    ) -> Tensor:  # fmt: skip
        if not training or p == 0 or not 0 <= p < 1:
            plain: Tensor = func(input, p, training, inplace)
            return plain
        kept = chance.kept(p, _shared_shape(input, axes(input)), input)
        scale = ((1 - p) * (1 + p * _ALPHA**2)) ** -0.5
        made = scale * torch.where(kept, input, _ALPHA) - scale * p * _ALPHA
        return input.copy_(made) if inplace else made

    return dropout


def _shared_shape(input: Tensor, axes: int | None) -> tuple[int, ...]:
    shape = tuple(input.shape)
    return shape if axes is None else (*shape[:axes], *[1] * (len(shape) - axes))


def _each(input: Tensor) -> None:
    return None


def _samples_and_channels(input: Tensor) -> int:
    return 2


def _of_batches(dimensions: int) -> Callable[[Tensor], int]:
    """Samples and channels; of inputs without samples, channels alone."""
    return lambda input: 2 if input.dim() == dimensions else 1


def _shape_of(size: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else tuple(size)


def _made(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`torch.rand` and `torch.randn`."""

    def make(chance: Chance, func: Any, *size: Any, **named: Any) -> Tensor:
        shape = _shape_of(size or (named["size"],))
        dtype, device = named.get("dtype") or torch.get_default_dtype(), named.get("device")
        return draw(chance, shape, dtype, torch.device(device or chance.key.device))

    return make


def _made_like(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def make(chance: Chance, func: Any, input: Tensor, **named: Any) -> Tensor:
        return draw(chance, input.shape, named.get("dtype") or input.dtype, input.device)

    return make


def _bernoulli(chance: Chance, func: Any, input: Tensor, p: float | None = None, **named: Any) -> Tensor:
    drawn = chance.uniform(input.shape, torch.float32, input.device)
    return (drawn < (input if p is None else p)).to(input.dtype)


def _bernoulli_in_place(chance: Chance, func: Any, input: Tensor, p: Any = 0.5, **named: Any) -> Tensor:
    return input.copy_(chance.uniform(input.shape, torch.float32, input.device) < p)


def _uniform_in_place(chance: Chance, func: Any, input: Tensor, *limits: float, **named: float) -> Tensor:
    low, high = (*limits, *(named.get(n, d) for n, d in (("from", 0.0), ("to", 1.0))))[:2]
    return input.copy_(low + (high - low) * chance.uniform(input.shape, input.dtype, input.device))


def _normal_in_place(
    chance: Chance, func: Any, input: Tensor, mean: float = 0.0, std: float = 1.0, **named: Any
) -> Tensor:
    return input.copy_(mean + std * chance.normal(input.shape, input.dtype, input.device))


def _attention(
    chance: Chance, func: Any, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """Attention whose weights are dropped, by its definition."""
    if dropout_p == 0 or enable_gqa:
        plain: Tensor = func(query, key, value, attn_mask, dropout_p, is_causal, scale=scale,
                             enable_gqa=enable_gqa)  # fmt: skip
        return plain
    logits = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        logits = torch.where(attn_mask, logits, -torch.inf) if masked else logits + attn_mask
    weights = logits.softmax(-1)
    kept = chance.kept(dropout_p, weights.shape, weights)
    return weights * kept.to(weights.dtype) * (1 / (1 - dropout_p)) @ value


_OWN: Final[Mapping[Any, Callable[..., Tensor]]] = {
    functional.dropout: _dropped(_each),
    functional.dropout1d: _dropped(_of_batches(3)),
    functional.dropout2d: _dropped(_samples_and_channels),
    functional.dropout3d: _dropped(_of_batches(5)),
    functional.alpha_dropout: _alpha_dropped(_each),
    functional.feature_alpha_dropout: _alpha_dropped(_samples_and_channels),
    functional.scaled_dot_product_attention: _attention,
    torch.rand: _made(Chance.uniform),
    torch.randn: _made(Chance.normal),
    torch.rand_like: _made_like(Chance.uniform),
    torch.randn_like: _made_like(Chance.normal),
    torch.bernoulli: _bernoulli,
    Tensor.bernoulli: _bernoulli,
    Tensor.bernoulli_: _bernoulli_in_place,
    Tensor.uniform_: _uniform_in_place,
    Tensor.normal_: _normal_in_place,
}
"""The random functions of torch that a pass draws by `Chance`."""
