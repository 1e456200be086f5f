"""From the operators that a function calls to the kernels of a routine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Final

import torch
from torch import Tensor

from phasediag.native.expressions import BITWISE, CALLED, COMPARED, LOGICAL, PLAIN, VECTORED
from phasediag.native.routine import (
    Buffer,
    Fold,
    Joint,
    Kernel,
    Loop,
    Number,
    Operand,
    Product,
    Routine,
    Statement,
    TensorView,
    flops_of,
)
from phasediag.native.tracing import Operation, name_of, recorded, tensors_of

VIEWS: Final = {
    "permute", "transpose", "t", "expand", "unsqueeze", "squeeze", "view", "_unsafe_view", "reshape",
    "select", "slice", "diagonal", "detach", "alias",
}  # fmt: skip
CONSTANTS: Final = {"full", "full_like", "scalar_tensor", "ones_like", "zeros_like", "zeros", "ones"}
PRODUCTS: Final = {"mm", "bmm"}
REDUCTIONS: Final = {"sum", "mean", "amax"}
NAMES: Final = {
    "cat", "clamp", *VIEWS, *CONSTANTS, *PRODUCTS, *REDUCTIONS, *PLAIN, *VECTORED, *COMPARED, *LOGICAL,
    *BITWISE, *CALLED,
}  # fmt: skip
DTYPES: Final = {torch.float32, torch.float64, torch.int64, torch.bool}
LARGEST_FACTOR: Final = 2**18
"""Bytes of a second factor: larger ones are better cut into blocks that stay in the cache."""
CALL_FLOPS: Final = 400
"""A call of a function of the C library takes the time of so many operations of products."""
CALLED_PART: Final = 0.25
"""The share of the time of products that such calls may take."""


class UnsupportedError(Exception):
    """A graph that holds what native programs do not do, or not fast."""


def lowered(function: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor]) -> Routine:
    """The routine of a function of plain tensors.

    Parameters
    ----------
    function
        Its results replace its first arguments. It is called once.
    examples
        Arguments, each a tensor of its own.

    Raises
    ------
    UnsupportedError
        Where an operator, a type or a size is none for a native program.
    """
    try:
        operations, results = recorded(function, examples, NAMES)
        return Lowering(examples, operations).routine(results)
    except UnsupportedError:
        raise
    except Exception as error:  # what a function may do has no end; torch's own compiler tells what is wrong
        raise UnsupportedError(f"{type(error).__name__}: {error}") from error


def lowers(function: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor]) -> bool:
    """Whether native programs do each operator that a function calls, as far as its kind and sizes tell.

    Parameters
    ----------
    function
        It is called once; what it raises is no.
    examples
        Arguments, each a tensor of its own.
    """
    try:
        operations, _ = recorded(function, examples, NAMES)
        lowering = Lowering(examples, operations)
        lowering.check_calls(flops_of(lowering.produced.values()))
    except Exception:
        return False
    return True


class Lowering:
    """Turns recorded operators into routines: what is known so far of the tensors of one function."""

    def __init__(self, examples: Sequence[Tensor], operations: Sequence[Operation]) -> None:
        self.arguments = [_like(each) for each in examples]
        self.constants: list[tuple[Buffer, Tensor]] = []
        self._uniform: dict[Buffer, Number] = {}
        """The number of constants that repeat it, such as what a mean spreads over its samples."""
        self.statements: dict[Buffer, Statement] = {}
        self.produced: dict[Buffer, Kernel] = {}
        self.calls = 0
        self.kept: list[object] = [operations, examples]
        """So that no other tensor gets the identity of one of theirs."""
        self.values: dict[int, Operand] = {
            id(tensor): buffer.full_view() for tensor, buffer in zip(examples, self.arguments, strict=True)
        }
        for operation in operations:
            value = self._value(operation)
            if value is not None:
                self.values[id(operation.result)] = value

    def routine(self, results: Sequence[Tensor]) -> Routine:
        """All that the results need."""
        views = [self._tensor(each) for each in results]
        for view, argument in zip(views, self.arguments, strict=False):
            if view.shape != argument.shape or view.buffer.dtype != argument.dtype:
                raise UnsupportedError("a result unlike the argument that it replaces")
            if view.buffer in self.arguments and not (view.buffer is argument and view.plain):
                raise UnsupportedError("a result that is another argument")
        self._fuse(views)
        routine = Routine(
            arguments=tuple(self.arguments), constants=tuple(self.constants),
            kernels=self._in_order(views), results=tuple(views),
        )  # fmt: skip
        self.check_calls(routine.flops)
        return routine

    def check_calls(self, flops: int) -> None:
        """Refuse what is mostly functions of the C library, beside so many operations of products."""
        if self.calls * CALL_FLOPS > CALLED_PART * flops:
            raise UnsupportedError("mostly functions of the C library")

    def _value(self, operation: Operation) -> Operand | None:
        """What its result is; None: a constant."""
        name = name_of(operation.target).removeprefix("aten::")
        if name in CONSTANTS:
            fill = {"full": 1, "full_like": 1, "scalar_tensor": 0}.get(name)
            value = operation.arguments[fill] if fill is not None else float(name.startswith("ones"))
            return Number(_number(value), operation.result.dtype)
        if name in VIEWS:
            return self._view(operation)
        if all(isinstance(self.values.get(id(each)), Number | None) for each in tensors_of(operation)):
            return self._constant(operation)
        if "::" in name:
            raise UnsupportedError(f"operator {name}")
        if name in PRODUCTS:
            return self._product(operation)
        if name in REDUCTIONS:
            return self._reduction(operation, name)
        if name == "cat":
            return self._joint(operation)
        return self._elementwise(operation, name)

    @staticmethod
    def _constant(operation: Operation) -> Number | None:
        """The number that an operator of constants gives; None: it gives several."""
        if torch.Tag.nondeterministic_seeded in operation.target.tags:
            raise UnsupportedError(f"random numbers of {operation.target}")
        result = operation.result
        single = isinstance(result, Tensor) and result.numel() == 1
        return Number(result.item(), result.dtype) if single else None

    def _view(self, operation: Operation) -> Operand:
        source, *arguments = operation.arguments
        held, target = self._held(source), operation.target
        if isinstance(held, Number):
            return held
        try:
            return TensorView(held.buffer, target(held.geometry, *arguments, **operation.options))
        except RuntimeError:
            copy = self._stated(Buffer(held.shape, held.buffer.dtype), "{0}", (held,), (held.buffer.dtype,))
            return TensorView(copy.buffer, target(copy.geometry, *arguments, **operation.options))

    def _product(self, operation: Operation) -> TensorView:
        left, right = (self._tensor(each) for each in operation.arguments)
        if right.shape[-2] * right.shape[-1] * right.buffer.dtype.itemsize > LARGEST_FACTOR:
            raise UnsupportedError("products of large matrices")
        if left.geometry.dim() == 2:
            left, right = (TensorView(v.buffer, v.geometry.unsqueeze(0)) for v in (left, right))
        result = _like(operation.result)
        self.produced[result] = Product(result, left, right)
        return result.full_view()

    def _reduction(self, operation: Operation, name: str) -> TensorView:
        operand = self._tensor(operation.arguments[0])
        rank = operand.geometry.dim()
        dims = operation.arguments[1] if len(operation.arguments) > 1 else []
        chosen = [dims] if isinstance(dims, int) else list(dims or range(rank))
        result = _like(operation.result)
        if name == "amax" and not result.dtype.is_floating_point:
            raise UnsupportedError(f"the largest of {result.dtype}")
        reduced = tuple(sorted(dim % rank for dim in chosen)) if rank else ()
        self.produced[result] = Fold(result, operand, reduced, name == "amax")
        if name != "mean":
            return result.full_view()
        count = operand.geometry.numel() // max(1, result.shape_numel)
        divisor = Number(float(count), result.dtype)
        mean = Buffer(result.shape, result.dtype)
        return self._stated(mean, PLAIN["div"], (result.full_view(), divisor), (result.dtype,) * 2)

    def _joint(self, operation: Operation) -> TensorView:
        given, dim = (*operation.arguments, 0)[:2]
        parts = tuple(self._tensor(each) for each in given if each.numel())
        result = _like(operation.result)
        if any(part.buffer.dtype != result.dtype for part in parts):
            raise UnsupportedError("tensors of different types, joined")
        self.produced[result] = Joint(result, parts, operation.options.get("dim", dim) % len(result.shape))
        return result.full_view()

    def _elementwise(self, operation: Operation, name: str) -> Operand:
        result = _like(operation.result)
        if name == "clamp":
            return self._clamped(operation, result)
        operands = tuple(self._operand(each, result) for each in operation.arguments if each is not None)
        if name == "pow" and isinstance(operands[1], Number) and operands[1].value in (0.5, 1, 2, 3):
            text = {0.5: PLAIN["sqrt"], 1: "{0}", 2: "{0} * {0}", 3: "{0} * {0} * {0}"}[operands[1].value]
            operands = operands[:1]
        elif name in CALLED:
            text = CALLED[name]
            self.calls += result.shape_numel
        elif operation.options.get("alpha", 1) != 1 or operation.options.get("rounding_mode") is not None:
            raise UnsupportedError(f"{operation.target} with {operation.options}")
        else:
            text = self._text(name, operands, result)
        return self._stated(result, text, operands, self._computed(name, operands, result))

    @staticmethod
    def _text(name: str, operands: Sequence[Operand], result: Buffer) -> str:
        for table in (PLAIN, VECTORED, COMPARED):
            if name in table:
                return table[name]
        if name in LOGICAL and all(_dtype(each) == torch.bool for each in operands):
            return LOGICAL[name]
        if name in BITWISE and result.dtype == torch.int64:
            return BITWISE[name]
        raise UnsupportedError(f"operator {name}")

    @staticmethod
    def _computed(name: str, operands: Sequence[Operand], result: Buffer) -> tuple[torch.dtype, ...]:
        if name == "where":
            return (torch.bool, result.dtype, result.dtype)
        if name in COMPARED:
            views = [each for each in operands if isinstance(each, TensorView)]
            common = reduce(torch.promote_types, (each.buffer.dtype for each in views))
            floating = any(isinstance(each, Number) and each.dtype.is_floating_point for each in operands)
            if floating and not common.is_floating_point:
                common = torch.float32
            return (common,) * len(operands)
        return (result.dtype,) * len(operands)

    def _clamped(self, operation: Operation, result: Buffer) -> TensorView:
        least, most = (*operation.arguments, *[None] * 2)[1:3]
        bounds = {"<": operation.options.get("min", least), ">": operation.options.get("max", most)}
        value = self._operand(operation.arguments[0], result)
        for sign, bound in bounds.items():
            if bound is not None:
                operands = (value, self._operand(bound, result))
                clamped = Buffer(result.shape, result.dtype)
                value = self._stated(
                    clamped, f"{{0}} {sign} {{1}} ? {{1}} : {{0}}", operands, (result.dtype,) * 2
                )
        assert isinstance(value, TensorView)
        return value

    def _stated(
        self, result: Buffer, text: str, operands: tuple[Operand, ...], computed: tuple[torch.dtype, ...]
    ) -> TensorView:
        self.statements[result] = Statement(result, text, operands, computed)
        return result.full_view()

    def _operand(self, given: Any, result: Buffer) -> Operand:
        """An operand of an elementwise operator, as the result's shape sees it."""
        if not isinstance(given, Tensor):
            return Number(
                _number(given), {bool: torch.bool, int: torch.int64}.get(type(given), torch.float64)
            )
        held = self._held(given)
        if isinstance(held, TensorView) and held.buffer.dtype == result.dtype:
            held = self._uniform.get(held.buffer, held)
        if isinstance(held, Number) or held.shape == result.shape:
            return held
        return TensorView(held.buffer, held.geometry.expand(result.shape))

    def _held(self, tensor: Tensor) -> Operand:
        """What is known of a tensor: one that was not made here is a constant."""
        if id(tensor) not in self.values:
            self.kept.append(tensor)
            buffer = _like(tensor)
            self.constants.append((buffer, tensor.contiguous()))
            if tensor.is_floating_point() and tensor.numel() and bool((tensor == tensor.flatten()[0]).all()):
                self._uniform[buffer] = Number(tensor.flatten()[0].item(), tensor.dtype)
            self.values[id(tensor)] = buffer.full_view()
        return self.values[id(tensor)]

    def _tensor(self, given: Tensor) -> TensorView:
        held = self._held(given)
        if isinstance(held, Number):
            raise UnsupportedError("a constant as a factor, a summand or a result")
        return held

    def _fuse(self, results: Sequence[TensorView]) -> None:
        """Let each statement whose result only one loop takes become a part of it."""
        needed = {view.buffer for view in results}
        for kernel in self.produced.values():
            needed.update(view.buffer for view in kernel.operands())
        root: dict[Buffer, Buffer] = {}
        members: dict[Buffer, list[Statement]] = {}
        takers: dict[Buffer, set[Buffer]] = {}
        apart: set[Buffer] = set(needed)
        for result, statement in reversed(self.statements.items()):
            roots = takers.get(result, set())
            root[result] = next(iter(roots)) if len(roots) == 1 and result not in apart else result
            members.setdefault(root[result], []).append(statement)
            for operand in statement.operands:
                if isinstance(operand, TensorView):
                    takers.setdefault(operand.buffer, set()).add(root[result])
                    if not operand.plain:
                        apart.add(operand.buffer)
        for result, statements in members.items():
            self.produced[result] = Loop(tuple(reversed(statements)))

    def _in_order(self, results: Sequence[TensorView]) -> tuple[Kernel, ...]:
        """The kernels, each as late as it can be, so that what it leaves is still in the cache."""
        order: dict[Kernel, None] = {}

        def place(buffer: Buffer) -> None:
            kernel = self.produced.get(buffer)
            if kernel is not None and kernel not in order:
                for view in kernel.operands():
                    place(view.buffer)
                order[kernel] = None

        for view in results:
            place(view.buffer)
        return tuple(order)


def _like(tensor: Tensor) -> Buffer:
    if not isinstance(tensor, Tensor):
        raise UnsupportedError(f"{type(tensor).__name__} for a tensor")
    if tensor.dtype not in DTYPES:
        raise UnsupportedError(f"numbers of {tensor.dtype}")
    return Buffer(tuple(tensor.shape), tensor.dtype)


def _dtype(operand: Operand) -> torch.dtype:
    return operand.dtype if isinstance(operand, Number) else operand.buffer.dtype


def _number(value: Any) -> float:
    if not isinstance(value, bool | int | float):
        raise UnsupportedError(f"{value!r} for a number")
    return value
