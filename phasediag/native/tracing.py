"""What a function of tensors does, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phasediag.native import elementary
from phasediag.native.nested import leaves
from phasediag.native.unpublished import decompositions, seen_operators

aten = torch.ops.aten
Decompositions = Mapping[Any, Callable[..., Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operator that was called once."""

    target: Any
    """An overload, such as `torch.ops.aten.add.Tensor`."""
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    result: Tensor


def name_of(target: Any) -> str:
    """An operator's name without its overload, `aten::add`."""
    name: str = target.name()
    namespace, _, rest = name.partition("::")
    return f"{namespace}::{rest.partition('.')[0]}"


def tensors_of(operation: Operation) -> list[Tensor]:
    """The tensors among the arguments of an operation, in their order."""
    return [each for each in leaves(operation.arguments) if isinstance(each, Tensor)]


class OperatorLog:
    """Writes down the operators of some names that reach the processor; others as what they are made of."""

    def __init__(self, names: Container[str]) -> None:
        self.names, self.table = names, _table()
        self.operations: list[Operation] = []
        self.recording = seen_operators(self._called)

    def _called(self, target: Any, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Call an operator, and keep it."""
        made_of = self.table.get(target)
        if made_of is None and name_of(target).split("::")[1] not in self.names:
            made_of = decompositions().get(target, target.decompose)
        if made_of is not None:
            with self.recording:
                result = made_of(*arguments, **options)
            if result is not NotImplemented:
                return result
        result = target(*arguments, **options)
        self.operations.append(Operation(target, arguments, options, result))
        return result


def recorded(
    function: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor], names: Container[str]
) -> tuple[Sequence[Operation], Sequence[Tensor]]:
    """What a function does with tensors like these, and its results.

    Parameters
    ----------
    names
        Of the operators that are kept as they are.
    """
    recorder = OperatorLog(names)
    with torch.no_grad(), recorder.recording:
        results = function(*examples)
    return recorder.operations, results


def _table() -> Decompositions:
    """Operators in terms of others, where PyTorch has no such terms, or slower ones."""

    def single(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda x: function(x) if x.dtype == torch.float32 else NotImplemented

    return {
        aten.tanh.default: single(elementary.tanh),
        aten.erf.default: single(elementary.erf),
        aten.tanh_backward.default: elementary.tanh_backward,
        aten.threshold_backward.default: elementary.threshold_backward,
        aten.sigmoid_backward.default: elementary.sigmoid_backward,
        aten.silu.default: elementary.silu,
        aten.silu_backward.default: elementary.silu_backward,
        aten.gelu.default: elementary.gelu,
        aten.gelu_backward.default: elementary.gelu_backward,
        aten._softmax.default: elementary.softmax,
        aten._softmax_backward_data.default: elementary.softmax_backward,
        aten._log_softmax.default: elementary.log_softmax,
        aten._log_softmax_backward_data.default: elementary.log_softmax_backward,
        aten.native_layer_norm.default: elementary.layer_norm,
        aten.var_mean.correction: elementary.var_mean,
        aten.var.correction: lambda x, *given, **options: elementary.var_mean(x, *given, **options)[0],
        aten.select_backward.default: elementary.select_backward,
        torch.ops.prims.convert_element_type.default: lambda x, dtype: x.to(dtype),
        aten.addmm.default: lambda c, a, b: torch.mm(a, b) + c,
    }
