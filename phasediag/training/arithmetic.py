"""How much a network computes a sample, seen in a pass of its module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

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
    convolved: int = 0
    """Multiplications of convolutions."""


def arithmetic_of(run: Callable[[], object], samples: int) -> Arithmetic:
    """Count what a pass of so many samples computes, operator by operator.

    Best effort: where PyTorch does not show its operators, nothing is counted.
    """
    products = numbers = gathered = convolved = 0

    def called(operator: Any, given: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        nonlocal products, numbers, gathered, convolved
        result = operator(*given, **options)
        numbers += sum(each.numel() for each in leaves(result) if _made(each, given))
        name = str(operator).split(".")[1]
        if name == "convolution":
            places = _gathered(result, *given)
            gathered, convolved = gathered + places, convolved + places * _uses(*given)
        elif name in _PRODUCTS:
            products += _PRODUCTS[name](*given)
        return result

    with suppress(ImportError, AttributeError), seen_operators(called):
        run()
    return Arithmetic(
        products=ceil((products + convolved) / samples), numbers=ceil(numbers / 2 / samples),
        gathered=ceil(gathered / samples), convolved=ceil(convolved / samples),
    )  # fmt: skip


def _matrices(one: Tensor, other: Tensor, *options: Any) -> int:
    """Multiplications of a product of matrices, or of as many as both have."""
    return one.numel() * other.shape[-1]


def _added(start: Tensor, one: Tensor, other: Tensor, *options: Any) -> int:
    return _matrices(one, other)


def _attention(queries: Tensor, keys: Tensor, values: Tensor, *options: Any) -> int:
    """Multiplications of logits, and of weighted values."""
    return queries.numel() * keys.shape[-2] + queries[..., 0].numel() * values.shape[-2] * values.shape[-1]


_PRODUCTS: Final[Mapping[str, Callable[..., int]]] = {
    "mm": _matrices, "bmm": _matrices, "addmm": _added, "baddbmm": _added,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
}  # fmt: skip
"""Multiplications of operators of aten, from their arguments; others have elementwise results alone."""


def _gathered(result: Tensor, x: Tensor, weight: Tensor, *options: Any) -> int:
    """What a convolution gathers, as `Arithmetic.gathered` has it, of all samples."""
    transposed, groups = options[4], options[6]
    places = result.numel() // result.shape[1] if not transposed else x.numel() // x.shape[1]
    return int(places * weight[0].numel() * groups)


def _uses(x: Tensor, weight: Tensor, *options: Any) -> int:
    """For how many channels what a convolution gathers is multiplied."""
    transposed, groups = options[4], options[6]
    return int((x.shape[1] if transposed else weight.shape[0]) // groups)


def _made(result: Any, given: tuple[Any, ...]) -> bool:
    """Whether an operator made a tensor of floats, which no view of what it was given is."""
    if not isinstance(result, Tensor) or not result.is_floating_point():
        return False
    storage = result.untyped_storage().data_ptr()
    return all(not isinstance(each, Tensor) or each.untyped_storage().data_ptr() != storage for each in given)
