"""Values drawn by a generator of random numbers, for hundreds of thousands of examples of something odd.

Hypothesis draws an example in as long as it takes to judge ten.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

Draw = Callable[[Random], Any]
DEPTH: Final = 3
"""Of values in values, at most."""
CHARACTERS: Final = (
    (0, 0x1F),
    (0x20, 0x7E),
    (0x20, 0x7E),
    (0x80, 0x2FF),
    (0x300, 0xD7FF),
    (0xE000, 0x10FFFF),
)
"""Control characters, ASCII, Latin, all of the first plane, and beyond: one range is as likely as another."""


def one_of(*draws: Draw) -> Draw:
    """What one of them gives; each is as likely as the others."""
    return lambda rng: rng.choice(draws)(rng)


def sampled(values: Sequence[Any]) -> Draw:
    """One of some values."""
    return lambda rng: rng.choice(values)


def integer(low: int, high: int) -> Draw:
    """A whole number from one to another, now and then one of the two, or close to 0."""

    def draw(rng: Random) -> int:
        ends = (low, high, max(low, min(high, rng.randint(-3, 3))))
        return rng.choice(ends) if rng.random() < 0.2 else rng.randint(low, high)

    return draw


def uniform(low: float, high: float) -> Draw:
    """A number between two."""
    return lambda rng: rng.uniform(low, high)


def any_float(rng: Random) -> float:
    """Whatever 64 bits stand for: of any size, infinite or no number too; or a short one."""
    if rng.random() < 0.3:
        return rng.choice(
            (0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan"), rng.randint(-99, 99) / 8)
        )
    value: float = struct.unpack("d", rng.randbytes(8))[0]
    return value


def text(most: int) -> Draw:
    """So many characters at most, of any kind."""

    def draw(rng: Random) -> str:
        return "".join(chr(rng.randint(*rng.choice(CHARACTERS))) for _ in range(rng.randint(0, most)))

    return draw


def listed(of: Draw, most: int, least: int = 0) -> Draw:
    """A list."""
    return lambda rng: [of(rng) for _ in range(rng.randint(least, most))]


def mapped(keys: Draw, of: Draw, most: int) -> Draw:
    """A mapping from some keys."""
    return lambda rng: {keys(rng): of(rng) for _ in range(rng.randint(0, most))}


def record(**parts: Draw) -> Draw:
    """A mapping with these keys."""
    return lambda rng: {name: of(rng) for name, of in parts.items()}


def recursive(of: Draw, more: Callable[[Draw], Draw], depth: int = DEPTH) -> Draw:
    """A value, or values in values."""
    return of if not depth else one_of(of, more(recursive(of, more, depth - 1)))
