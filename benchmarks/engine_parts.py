"""Where the time of a native step goes: its kernels, timed one by one by the processor's own counter."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from unittest.mock import patch

from phasediag.native import program
from phasediag.native.building import library
from phasediag.native.routine import Kernel, Loop, Product, Routine
from phasediag.native.source import HEAD, ProgramText, Slot, Writer

COUNTER: Final = "__builtin_ia32_rdtsc()"
DIVIDING: Final = (" / ", "own::")
"""What tells the loops of elementary functions from those of sums and products."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A kernel of a step."""

    kind: str
    operations: float
    """Of its products, for one network and step."""
    ticks: int = 0
    """Of the counter, for all networks and steps."""


class TimedWriter(Writer):
    """Writes programs that count how long each kernel takes."""

    def source(self) -> ProgramText:
        """The text, with a counter for each kernel."""
        written = Writer.source(self)
        count = len(self.routine.kernels)
        text = written.text.replace(HEAD, f'{HEAD}extern "C" {{ i64 ticks[{count}]; }}\n', 1)
        return ProgramText(text=text, scratch=written.scratch)

    def _kernel(self, kernel: Kernel) -> list[str]:
        number = self.routine.kernels.index(kernel)
        return [f"const i64 began = {COUNTER};", "{", *Writer._kernel(self, kernel), "}",
                f"ticks[{number}] += {COUNTER} - began;"]  # fmt: skip


def part_of(kernel: Kernel) -> Part:
    """What a kernel is, without its time."""
    if isinstance(kernel, Product):
        operations = 2.0 * kernel.result.shape_numel * kernel.left.shape[-1]
        turned = kernel.right.geometry.stride(-1) != 1
        return Part(kind="products, second factor turned" if turned else "products", operations=operations)
    if isinstance(kernel, Loop):
        divides = any(mark in each.expression for each in kernel.statements for mark in DIVIDING)
        large = kernel.result.shape_numel > 1
        return Part(kind="elementary functions" if divides and large else "other loops", operations=0.0)
    return Part(kind="sums", operations=0.0)


@dataclass(slots=True)
class Profile:
    """The programs that were written while `timed_kernels` held."""

    texts: list[tuple[Routine, str]]

    def reset(self) -> None:
        """Begin anew."""
        for routine, text in self.texts:
            counts = self._counts(routine, text)
            for number in range(len(counts)):
                counts[number] = 0

    def parts(self) -> list[Part]:
        """The kernels of the first program."""
        routine, text = self.texts[0]
        kernels = zip(routine.kernels, self._counts(routine, text), strict=True)
        return [
            Part(kind=part_of(k).kind, operations=part_of(k).operations, ticks=ticks) for k, ticks in kernels
        ]

    @staticmethod
    def _counts(routine: Routine, text: str) -> ctypes.Array[ctypes.c_longlong]:
        kind = ctypes.c_longlong * len(routine.kernels)
        return kind.in_dll(library(text), "ticks")


@contextmanager
def timed_kernels() -> Iterator[Profile]:
    """Programs that are made in this block count how long each kernel takes."""
    profile = Profile([])

    def source_of(routine: Routine, places: Sequence[Slot]) -> ProgramText:
        written = TimedWriter(routine, places).source()
        profile.texts.append((routine, written.text))
        return written

    with patch.object(program, "source_of", source_of):
        yield profile


def by_kind(parts: Sequence[Part], key: Callable[[Part], float]) -> dict[str, float]:
    """Sums over the kernels of each kind."""
    sums: dict[str, float] = {}
    for part in parts:
        sums[part.kind] = sums.get(part.kind, 0.0) + key(part)
    return sums
