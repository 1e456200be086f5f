"""The C++ text of a routine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf, isnan
from pathlib import Path
from typing import Final

import torch

from phasediag.native.routine import (
    Buffer,
    Fold,
    Joint,
    Kernel,
    Loop,
    Number,
    Product,
    Routine,
    Statement,
    TensorView,
)

TYPES: Final = {torch.float32: "float", torch.float64: "double", torch.int64: "i64", torch.bool: "bool"}
WIDER: Final = {"float": "double"}
"""What sums are taken in."""
LINE: Final = 64
"""Bytes of a line of the cache."""
HEAD: Final = """\
typedef long long i64;
#define UNROLLED _Pragma("GCC unroll 32")
"""
VECTORS: Final = Path(__file__).with_name("vectors.h")
DISTANCES: Final = Path(__file__).with_name("distances.h")
MERGING: Final = Path(__file__).with_name("merging.h")
PRODUCTS: Final = Path(__file__).with_name("products.h")
ELEMENTARY: Final = Path(__file__).with_name("elementary.h")
START: Final = """\
extern "C" void train(i64 first, i64 last, i64 steps, char* const* places, const i64* a_step,
                      const i64* a_world, const i64* world, char* scratch) {
for (i64 trial = first; trial < last; ++trial)
for (i64 step = 0; step < steps; ++step) {
"""


class Slot(Enum):
    """Where an argument of the routine lies in a call for many trials and steps."""

    TRIAL = "one for each trial"
    WORLD = "one for each step and world"
    SHARED = "one for all"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramText:
    """A program's text and what it works in."""

    text: str
    scratch: int
    """Bytes."""


def source_of(routine: Routine, places: Sequence[Slot]) -> ProgramText:
    """The program of a routine.

    Parameters
    ----------
    places
        Of each argument. The results replace the first arguments, which lie at `Slot.TRIAL`.

    Returns
    -------
    Its function takes a step after the other of one trial, then of the next.
    """
    return Writer(routine, places).source()


class Writer:
    """Names, places in scratch and text of a routine's kernels."""

    def __init__(self, routine: Routine, places: Sequence[Slot]) -> None:
        self.routine, self.places = routine, places
        self.names: dict[Buffer, str] = {b: f"a{i}" for i, b in enumerate(self.given)}
        self.in_place = self._in_place()
        for buffer, name in self.in_place.items():
            self.names[buffer] = name
        self.offsets, self.packed_at = self._offsets()
        for number, buffer in enumerate(self.offsets):
            self.names[buffer] = f"s{number}"

    @property
    def given(self) -> list[Buffer]:
        """Arguments and constants."""
        return [*self.routine.arguments, *(buffer for buffer, _ in self.routine.constants)]

    def source(self) -> ProgramText:
        """The text."""
        multiplies = any(isinstance(kernel, Product) for kernel in self.routine.kernels)
        products = [path.read_text(encoding="utf-8") for path in (VECTORS, PRODUCTS)] if multiplies else []
        lines = [HEAD, ELEMENTARY.read_text(encoding="utf-8"), *products, START]
        for number, buffer in enumerate(self.given):
            lines.append(self._argument(number, buffer))
        for buffer, offset in self.offsets.items():
            kind = TYPES[buffer.dtype]
            lines.append(f"{kind}* const {self.names[buffer]} = ({kind}*)(scratch + {offset});")
        for kernel in self.routine.kernels:
            lines += ["{", *self._kernel(kernel), "}"]
        for view, argument in zip(self.routine.results, self.routine.arguments, strict=False):
            if self.names[view.buffer] != self.names[argument]:
                lines += ["{", *self._loop(_copy(view, argument)), "}"]
        return ProgramText(text="\n".join([*lines, "}", "}", ""]), scratch=self.packed_at + self._packed())

    def _argument(self, number: int, buffer: Buffer) -> str:
        place = self.places[number] if number < len(self.places) else Slot.SHARED
        kind = TYPES[buffer.dtype]
        moved = {
            Slot.TRIAL: f" + trial * {buffer.bytes}",
            Slot.WORLD: f" + step * a_step[{number}] + world[trial] * a_world[{number}]",
            Slot.SHARED: "",
        }[place]
        return f"{kind}* const a{number} = ({kind}*)(places[{number}]{moved});"

    def _in_place(self) -> dict[Buffer, str]:
        """The results that can be written to where the arguments are that they replace."""
        position = {kernel.result: number for number, kernel in enumerate(self.routine.kernels)}
        readers: dict[Buffer, int] = {}
        turned: set[tuple[Buffer, int]] = set()
        for number, kernel in enumerate(self.routine.kernels):
            for view in kernel.operands():
                readers[view.buffer] = number
                if not (view.plain and isinstance(kernel, Loop)):
                    turned.add((view.buffer, number))
        reused: dict[Buffer, str] = {}
        for view, argument in zip(self.routine.results, self.routine.arguments, strict=False):
            at, last = position.get(view.buffer), readers.get(argument, -1)
            if at is None or not view.plain or view.buffer in reused or last > at:
                continue
            if last < at or (argument, at) not in turned:
                reused[view.buffer] = self.names[argument]
        return reused

    def _offsets(self) -> tuple[dict[Buffer, int], int]:
        """Where each other buffer lies in scratch, apart from those that live then, and where that ends."""
        kernels = self.routine.kernels
        last = {view.buffer: number for number, kernel in enumerate(kernels) for view in kernel.operands()}
        last |= dict.fromkeys((view.buffer for view in self.routine.results), len(kernels))
        live: dict[Buffer, tuple[int, int]] = {}
        offsets: dict[Buffer, int] = {}
        end = 0
        for number, kernel in enumerate(kernels):
            live = {buffer: place for buffer, place in live.items() if last[buffer] >= number}
            if kernel.result in self.in_place:
                continue
            size, offset = -(-kernel.result.bytes // LINE) * LINE, 0
            for start, stop in sorted(live.values()):
                if start - offset >= size:
                    break
                offset = max(offset, stop)
            live[kernel.result] = (offset, offset + size)
            offsets[kernel.result] = offset
            end = max(end, offset + size)
        return offsets, end

    def _packed(self) -> int:
        """Bytes that the largest matrix takes whose columns are brought side by side, rows in whole lines."""
        products = [kernel for kernel in self.routine.kernels if isinstance(kernel, Product)]
        rows = [-(-k.result.dtype.itemsize * k.right.shape[2] // LINE) * LINE for k in products]
        sizes = [row * k.right.shape[1] for row, k in zip(rows, products, strict=True)]
        return max(sizes, default=0)

    def _at(self, view: TensorView) -> str:
        offset = view.geometry.storage_offset()
        return f"{self.names[view.buffer]} + {offset}" if offset else self.names[view.buffer]

    def _kernel(self, kernel: Kernel) -> list[str]:
        if isinstance(kernel, Loop):
            return self._loop(kernel)
        if isinstance(kernel, Joint):
            return self._joint(kernel)
        return self._product(kernel) if isinstance(kernel, Product) else self._reduction(kernel)

    def _product(self, kernel: Product) -> list[str]:
        left, right, result = kernel.left, kernel.right, kernel.result
        sizes = (*left.shape, right.shape[-1], *left.geometry.stride(), *right.geometry.stride())
        kind, known = TYPES[result.dtype], ", ".join(map(str, sizes))
        taken = f"{self._at(left)}, {self._at(right)}, {self.names[result]}"
        return [f"products<{kind}, {known}>({taken}, ({kind}*)(scratch + {self.packed_at}));"]

    def _loop(self, loop: Loop) -> list[str]:
        reading = LoopReading(self, loop.result, list(loop.operands()))
        body = [self._stated(each, reading) for each in loop.statements]
        stored = f"out[{reading.index(reading.result_strides)}] = {reading.local[loop.result]};"
        return [*reading.declared, *reading.around([*body, stored])]

    def _stated(self, statement: Statement, reading: LoopReading) -> str:
        taken = [
            _literal(operand, dtype) if isinstance(operand, Number) else reading.number(operand, dtype)
            for operand, dtype in zip(statement.operands, statement.computed, strict=True)
        ]
        kind = TYPES[statement.result.dtype]
        suffix = "f" if statement.computed[0] == torch.float32 else ""
        name = reading.local[statement.result] = f"t{len(reading.local)}"
        return f"const {kind} {name} = ({kind})({statement.expression.format(*taken, f=suffix)});"

    def _joint(self, kernel: Joint) -> list[str]:
        lines, offset, strides = [], 0, kernel.result.full_view().geometry.stride()
        kind, target = TYPES[kernel.result.dtype], self.names[kernel.result]
        for number, part in enumerate(kernel.parts):
            dims = range(len(part.shape))
            place = _sum([str(offset), *(f"i{dim} * {strides[dim]}" for dim in dims)])
            source = _sum(f"i{dim} * {part.geometry.stride(dim)}" for dim in dims)
            lines.append(f"const {kind}* __restrict const r{number} = {self._at(part)};")
            lines.append(_nest(dims, part.shape, f"{target}[{place}] = r{number}[{source}];"))
            offset += part.shape[kernel.dim] * strides[kernel.dim]
        return lines

    def _reduction(self, kernel: Fold) -> list[str]:
        operand, result = kernel.operand, kernel.result
        kind, start = TYPES[result.dtype], "-__builtin_inf()" if kernel.largest else "0"
        rank = operand.geometry.dim()
        kept = [dim for dim in range(rank) if dim not in kernel.dims]
        at, source, target = operand.geometry.stride(), self._at(operand), self.names[result]
        strides = (
            Buffer(tuple(operand.shape[dim] for dim in kept), result.dtype).full_view().geometry.stride()
        )
        own = dict(zip(kept, strides, strict=True))

        place = f"o[{_sum(f'i{dim} * {own[dim]}' for dim in kept)}]"
        value = f"({kind})r[{_sum(f'i{dim} * {at[dim]}' for dim in range(rank))}]"
        declarations = [f"const {TYPES[operand.buffer.dtype]}* __restrict const r = {source};"]
        declarations.append(f"{kind}* __restrict const o = {target};")
        taken = "{0} = {1} > {0} || {1} != {1} ? {1} : {0};" if kernel.largest else "{0} += {1};"
        if kept and kept[-1] == rank - 1:
            return [*declarations, _nest(kept, operand.shape, f"{place} = ({kind})({start});"),
                    _nest([*kernel.dims, *kept], operand.shape, taken.format(place, value))]  # fmt: skip
        inner, wide = _nest(kernel.dims, operand.shape, taken.format("s", value)), WIDER.get(kind, kind)
        body = f"{{ {wide} s = ({wide})({start}); {inner} {place} = ({kind})s; }}"
        return [*declarations, _nest(kept, operand.shape, body)]


class LoopReading:
    """How a loop runs over its places, and what it calls the numbers there."""

    def __init__(self, writer: Writer, result: Buffer, views: Sequence[TensorView]) -> None:
        self.views = {view: number for number, view in enumerate(views)}
        strides = [result.full_view().geometry.stride(), *(view.geometry.stride() for view in views)]
        self.sizes, merged = _merged(result.shape, strides)
        self.result_strides, *self.strides = merged
        self.local: dict[Buffer, str] = {}
        kind, target = TYPES[result.dtype], writer.names[result]
        self.own = [writer.names[view.buffer] == target for view in views]
        restrict = "" if any(self.own) else "__restrict "
        self.declared = [f"{kind}* {restrict}const out = {target};"]
        for number, view in enumerate(views):
            kind = TYPES[view.buffer.dtype]
            if not any(self.strides[number]):
                self.declared.append(f"const {kind} r{number} = ({writer._at(view)})[0];")
            elif not self.own[number]:
                self.declared.append(f"const {kind}* __restrict const r{number} = {writer._at(view)};")

    def index(self, strides: Sequence[int]) -> str:
        """The place of a loop's pass."""
        return _sum(f"i{dim} * {stride}" for dim, stride in enumerate(strides) if stride)

    def number(self, view: TensorView, dtype: torch.dtype) -> str:
        """What a view shows there."""
        if view.buffer in self.local:
            name = self.local[view.buffer]
        elif not any(self.strides[self.views[view]]):
            name = f"r{self.views[view]}"
        else:
            number = self.views[view]
            name = f"{'out' if self.own[number] else f'r{number}'}[{self.index(self.strides[number])}]"
        return name if dtype == view.buffer.dtype else f"({TYPES[dtype]}){name}"

    def around(self, body: Sequence[str]) -> list[str]:
        """The loop."""
        lines = []
        for dim, size in enumerate(self.sizes):
            if dim == len(self.sizes) - 1:
                lines.append("#pragma GCC ivdep")
            lines.append(f"for (i64 i{dim} = 0; i{dim} < {size}; ++i{dim})")
        return [*lines, "{", *body, "}"]


def _copy(view: TensorView, target: Buffer) -> Loop:
    return Loop((Statement(target, "{0}", (view,), (target.dtype,)),))


def _nest(dims: Sequence[int], shape: Sequence[int], inside: str) -> str:
    """A statement for all places of some dimensions of a shape."""
    for dim in reversed(dims):
        inside = f"for (i64 i{dim} = 0; i{dim} < {shape[dim]}; ++i{dim}) {inside}"
    return inside


def _sum(parts: Iterable[str]) -> str:
    return " + ".join(parts) or "0"


def _literal(number: Number, dtype: torch.dtype) -> str:
    value, kind = number.value, TYPES[dtype]
    if isinstance(value, float) and (isnan(value) or abs(value) == inf):
        text = '__builtin_nan("")' if isnan(value) else "-__builtin_inf()" if value < 0 else "__builtin_inf()"
    else:
        text = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"({kind})({text})"


def _merged(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Sizes and strides of the same places with as few dimensions as can be."""
    sizes: list[int] = []
    merged: list[list[int]] = [[] for _ in strides]
    for dim, size in enumerate(shape):
        if size == 1:
            continue
        here = [each[dim] for each in strides]
        if sizes and all(held[-1] == stride * size for held, stride in zip(merged, here, strict=True)):
            sizes[-1] *= size
            for held, stride in zip(merged, here, strict=True):
                held[-1] = stride
        else:
            sizes.append(size)
            for held, stride in zip(merged, here, strict=True):
                held.append(stride)
    return sizes, merged
