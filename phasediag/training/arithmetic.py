"""How much a network computes a sample, seen in a pass of its module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor

from phasediag.native.nested import leaves
from phasediag.native.unpublished import seen_operators


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """What a pass forward of one sample takes."""

    products: int
    """Multiplications."""
    numbers: int
    """Results, of which two count as one: those of a layer and of its activation."""
    gathered: int = 0
    """Numbers that convolutions gather: of each place of a result, all that is multiplied for it. Where there
    are few channels, that takes longer than the products."""


def arithmetic_of(run: Callable[[], object], samples: int) -> Arithmetic:
    """Count what a pass of so many samples computes, operator by operator.

    Results are counted best effort: where PyTorch does not show its operators, they are none.
    """
    from torch.utils.flop_counter import FlopCounterMode

    numbers = gathered = 0

    def called(operator: Any, given: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        nonlocal numbers, gathered
        result = operator(*given, **options)
        numbers += sum(each.numel() for each in leaves(result) if _made(each, given))
        if operator is torch.ops.aten.convolution.default:
            gathered += _gathered(result, *given)
        return result

    with FlopCounterMode(display=False) as counter:
        shown: AbstractContextManager[Any] = nullcontext()
        with suppress(ImportError, AttributeError):
            shown = seen_operators(called)
        with shown:
            run()
    return Arithmetic(
        products=ceil(counter.get_total_flops() / 2 / samples), numbers=ceil(numbers / 2 / samples),
        gathered=ceil(gathered / samples),
    )  # fmt: skip


def _gathered(result: Tensor, x: Tensor, weight: Tensor, *options: Any) -> int:
    """What a convolution gathers, as `Arithmetic.gathered` has it, of all samples."""
    transposed, groups = options[4], options[6]
    places = result.numel() // result.shape[1] if not transposed else x.numel() // x.shape[1]
    return int(places * weight[0].numel() * groups)


def _made(result: Any, given: tuple[Any, ...]) -> bool:
    """Whether an operator made a tensor of floats, which no view of what it was given is."""
    if not isinstance(result, Tensor) or not result.is_floating_point():
        return False
    storage = result.untyped_storage().data_ptr()
    return all(not isinstance(each, Tensor) or each.untyped_storage().data_ptr() != storage for each in given)
