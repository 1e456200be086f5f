"""Elementary functions as compiled programs on the CPU compute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

TANH_BOUND: Final = 9.02
"""From here on, the nearest number to tanh in float32 is 1."""
TANH_ABOVE: Final = (
    1.0, 0.136799156, 0.00386832839, 2.80074716e-05, 3.05850512e-08, -1.2203485e-11,
)  # fmt: skip
TANH_BELOW: Final = (1.0, 0.470132476, 0.0272458412, 0.000393863225, 1.28736747e-06)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent in float32, as a ratio of polynomials.

    A third of the time of a correctly rounded one where it is compiled: one division, and products that
    run side by side. The coefficients are a weighted least-squares fit of tanh(x)/x in x², reweighted
    until the relative error on 0 < x < 9.02 is even: 1.3e-9 before rounding.

    Parameters
    ----------
    x
        Float32, any shape.

    Returns
    -------
    Odd in `x`, within [-1, 1], within 8 units in the last place; to first order `x` near 0.
    """
    bounded = x.clamp(-TANH_BOUND, TANH_BOUND)
    square = bounded * bounded
    return (bounded * _polynomial(square, TANH_ABOVE) / _polynomial(square, TANH_BELOW)).clamp(-1, 1)


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """By Horner's scheme, from the constant on."""
    value = coefficients[-1] * x + coefficients[-2]
    for coefficient in reversed(coefficients[:-2]):
        value = value * x + coefficient
    return value


def replacements(device: torch.device) -> dict[Any, Callable[..., Any]]:
    """What stands for which operator in a graph that is compiled for a device, where it does not decline."""
    return {torch.ops.aten.tanh.default: _tanh_of_float32} if device.type == "cpu" else {}


def _tanh_of_float32(x: Tensor) -> Any:
    return tanh(x) if x.dtype == torch.float32 else NotImplemented
