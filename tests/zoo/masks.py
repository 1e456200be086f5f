"""The random numbers of passes, drawn a second way: by numpy, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from phasediag.trial import Streams

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """Threefry-2x32-20 of Random123, with whole numbers of Python."""
    words = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = ((c + k) % 2**32 for c, k in zip(counter, key, strict=True))
    for group in range(5):
        for turn in ROTATIONS[group % 2]:
            x = (x + y) % 2**32
            y = (y << turn | y >> 32 - turn) % 2**32 ^ x
        x = (x + words[(group + 1) % 3]) % 2**32
        y = (y + words[(group + 2) % 3] + group + 1) % 2**32
    return x, y


class Drawn:
    """The numbers of one pass of the trial of a replicate."""

    def __init__(self, seed: int, step: int) -> None:
        words = Streams(seed).generator("chance").integers(0, 2**32, 2, dtype=np.int64)
        self.key, self.step, self.place = (int(words[0]), int(words[1])), step, 0

    def uniform(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        count = int(np.prod(shape))
        half = (count + 1) // 2
        pairs = [threefry(self.key, (self.step, self.place + i)) for i in range(half)]
        self.place += half
        words = np.array([p[0] for p in pairs] + [p[1] for p in pairs], dtype=np.float64)[:count]
        if dtype == torch.float64:
            return torch.from_numpy((words / 2**32).reshape(shape))
        return torch.from_numpy(np.floor(words / 2**8).astype(np.float32) / np.float32(2**24)).reshape(shape)

    def normal(self, like: Tensor) -> Tensor:
        angle, length = self.uniform((2, *like.shape), like.dtype)
        return torch.sqrt(-2 * torch.log(1 - length)) * torch.cos(2 * torch.pi * angle)

    def dropout(self, h: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        return torch.where(self.uniform(tuple(h.shape)) >= p, h / (1 - p), 0) if training and p else h

    def dropout2d(self, h: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training:
            return h
        return torch.where(self.uniform((*h.shape[:2], 1, 1)) >= p, h / (1 - p), 0)

    def dropout1d(self, h: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """Whole channels of (samples, channels, length)."""
        return torch.where(self.uniform((*h.shape[:2], 1)) >= p, h / (1 - p), 0) if training else h

    def alpha_dropout(
        self, h: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
    ) -> Tensor:
        """As `torch.nn.AlphaDropout` defines it."""
        return self.alpha_dropped(h, p, tuple(h.shape)) if training else h

    def feature_alpha_dropout(
        self, h: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
    ) -> Tensor:
        """Whole channels of (samples, channels, length)."""
        return self.alpha_dropped(h, p, (*h.shape[:2], 1)) if training else h

    def alpha_dropped(self, h: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
        low = -1.6732632423543772 * 1.0507009873554805
        a = (1 - p + p * (1 - p) * low**2) ** -0.5
        return a * torch.where(self.uniform(shape) >= p, h, low) - a * p * low


@contextmanager
def drawn(seed: int, step: int) -> Iterator[None]:
    """Let the random functions of torch draw the numbers of a step."""
    source = Drawn(seed, step)

    def rand(*size: Any, **named: Any) -> Tensor:
        dtype = named.get("dtype") or torch.get_default_dtype()
        return source.uniform(size if isinstance(size[0], int) else tuple(size[0]), dtype)

    with ExitStack() as stack:
        for name in ("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout"):
            stack.enter_context(patch.object(F, name, getattr(source, name)))
        stack.enter_context(patch.object(torch, "randn_like", source.normal))
        stack.enter_context(patch.object(torch, "rand", rand))
        yield
