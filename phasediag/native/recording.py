"""What a function of tensors does, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from phasediag.native import elementary

aten = torch.ops.aten
Table = Mapping[Any, Callable[..., Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operator that was called once."""

    target: torch._ops.OpOverload
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    result: Tensor


def tensors_of(operation: Operation) -> list[Tensor]:
    """Its arguments that are tensors."""
    return [each for each in tree_leaves(operation.arguments) if isinstance(each, Tensor)]


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down what reaches the processor; composite operators as what they are made of."""

    def __init__(self, table: Table) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.table = table
        self.operations: list[Operation] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: skipping it would import it, which takes a second."""
        return False

    def __torch_dispatch__(
        self, func: torch._ops.OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call an operator, and keep it."""
        options = kwargs or {}
        with self:
            found = self.table.get(func, func.decompose)(*args, **options)
        if found is not NotImplemented:
            return found
        result = func(*args, **options)
        self.operations.append(Operation(func, args, options, result))
        return result


def recorded(
    function: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor]
) -> tuple[Sequence[Operation], Sequence[Tensor]]:
    """What a function does with tensors like these, and its results, which are among what it makes."""
    with torch.no_grad(), Recorder(_table()) as recorder:
        results = function(*examples)
    return recorder.operations, results


def _table() -> Table:
    """Operators in terms of others: those of activations for speed, the rest as PyTorch has them."""

    def single(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda x: function(x) if x.dtype == torch.float32 else NotImplemented

    own = {
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
        aten.select_backward.default: elementary.select_backward,
        aten.addmm.default: lambda c, a, b: torch.mm(a, b) + c,
    }
    return {**core_aten_decompositions(), **own}
