"""What a native program is made of: buffers, views of them, and what is done with them, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Numbers that lie side by side."""

    shape: Shape
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """The size of the buffer in bytes."""
        return self.shape_numel * self.dtype.itemsize

    @property
    def shape_numel(self) -> int:
        """How many numbers it has."""
        return torch.Size(self.shape).numel()

    def full_view(self) -> TensorView:
        """All of the buffer as one contiguous tensor of its shape."""
        return TensorView(self, torch.empty(self.shape, dtype=self.dtype, device="meta"))


@dataclass(frozen=True, slots=True, eq=False)
class TensorView:
    """A buffer as a tensor sees it."""

    buffer: Buffer
    geometry: Tensor
    """On the meta device: shape, strides and offset."""

    @property
    def shape(self) -> Shape:
        """The shape of the tensor."""
        return tuple(self.geometry.shape)

    @property
    def plain(self) -> bool:
        """Whether it shows the buffer as it is."""
        at = self.geometry
        return self.shape == self.buffer.shape and at.is_contiguous() and not at.storage_offset()


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float
    dtype: torch.dtype


Operand = TensorView | Number


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """An elementwise operation: each number of a result from those of its operands at the same place."""

    result: Buffer
    expression: str
    """With `{0}`, `{1}`, ... for the operands."""
    operands: tuple[Operand, ...]
    computed: tuple[torch.dtype, ...]
    """What each operand is taken as."""


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """Statements for each place of a shape; only the last one's result is stored."""

    statements: tuple[Statement, ...]

    @property
    def result(self) -> Buffer:
        """What is stored."""
        return self.statements[-1].result

    def operands(self) -> Iterator[TensorView]:
        """What is read from elsewhere."""
        own = {statement.result for statement in self.statements}
        for statement in self.statements:
            yield from (v for v in statement.operands if isinstance(v, TensorView) and v.buffer not in own)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """Products of matrices: shapes (batch, rows, depth) and (batch, depth, columns)."""

    result: Buffer
    left: TensorView
    right: TensorView

    def operands(self) -> Iterator[TensorView]:
        """What is read."""
        yield from (self.left, self.right)


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Sums, or largest values, over some dimensions."""

    result: Buffer
    operand: TensorView
    dims: tuple[int, ...]
    largest: bool

    def operands(self) -> Iterator[TensorView]:
        """What is read."""
        yield self.operand


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """Tensors one behind the other along a dimension."""

    result: Buffer
    parts: tuple[TensorView, ...]
    dim: int

    def operands(self) -> Iterator[TensorView]:
        """What is read."""
        yield from self.parts


Kernel = Loop | Product | Fold | Joint


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routine:
    """A function of plain tensors whose results replace its first arguments."""

    arguments: tuple[Buffer, ...]
    constants: tuple[tuple[Buffer, Tensor], ...]
    """Tensors that the function holds."""
    kernels: tuple[Kernel, ...]
    """In order."""
    results: tuple[TensorView, ...]

    @property
    def flops(self) -> int:
        """The operations of its products, a multiplication and an addition counted as two."""
        return flops_of(self.kernels)


def flops_of(kernels: Iterable[Kernel]) -> int:
    """The operations of the products among some kernels."""
    products = [kernel for kernel in kernels if isinstance(kernel, Product)]
    return sum(2 * each.result.shape_numel * each.left.shape[-1] for each in products)
