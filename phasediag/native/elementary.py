"""Activations and their derivatives as native programs compute them."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, prod, sqrt
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

TANH_BOUND: Final = 9.02
"""From here on, the nearest number to tanh in float32 is 1."""
TANH_ABOVE: Final = (
    1.0, 0.136799156, 0.00386832839, 2.80074716e-05, 3.05850512e-08, -1.2203485e-11,
)  # fmt: skip
TANH_BELOW: Final = (1.0, 0.470132476, 0.0272458412, 0.000393863225, 1.28736747e-06)
ERF_BOUND: Final = 3.8325
"""From here on, the nearest number to erf in float32 is 1."""
ERF_ABOVE: Final = (1.1283792, 0.18730871, 0.052418593, 0.0036527729, 0.00028594403, 2.1231344e-06)
ERF_BELOW: Final = (1.0, 0.49933094, 0.11290067, 0.014742536, 0.0011417125, 3.8898346e-05)
SQRT_HALF: Final = sqrt(0.5)


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
    return _ratio(x, TANH_BOUND, TANH_ABOVE, TANH_BELOW)


def erf(x: Tensor) -> Tensor:
    """The error function in float32, as `tanh`: within 6 units in the last place."""
    return _ratio(x, ERF_BOUND, ERF_ABOVE, ERF_BELOW)


def _ratio(x: Tensor, bound: float, above: Sequence[float], below: Sequence[float]) -> Tensor:
    """One where it would round to more or lie beyond the bound: a compiler makes one choice of both."""
    square = x * x
    ratio = x.abs() * _polynomial(square, above) / _polynomial(square, below)
    return torch.copysign(torch.where((x.abs() > bound) | (ratio > 1), 1.0, ratio), x)


def tanh_backward(gradient: Tensor, y: Tensor) -> Tensor:
    """The gradient times the derivative of tanh where its value is `y`.

    Element by element, shapes that broadcast.
    """
    return gradient * (1 - y * y)


def threshold_backward(gradient: Tensor, x: Tensor, threshold: float) -> Tensor:
    """The gradient unless `x` is at most a threshold, as for `relu`; that of a NaN passes.

    Element by element.
    """
    return torch.where(x <= threshold, 0, gradient)


def sigmoid_backward(gradient: Tensor, y: Tensor) -> Tensor:
    """The gradient times the derivative of the logistic function where its value is `y`.

    Element by element.
    """
    return gradient * (1 - y) * y


def silu(x: Tensor) -> Tensor:
    """`x` times the logistic function. Element by element."""
    return x * torch.sigmoid(x)


def silu_backward(gradient: Tensor, x: Tensor) -> Tensor:
    """The gradient times the derivative of `silu` at `x`, element by element."""
    y = torch.sigmoid(x)
    return gradient * y * (1 + x * (1 - y))


def gelu(x: Tensor, *, approximate: str = "none") -> Any:
    """`x` times the normal distribution function."""
    return NotImplemented if approximate != "none" else 0.5 * x * (1 + torch.erf(x * SQRT_HALF))


def gelu_backward(gradient: Tensor, x: Tensor, *, approximate: str = "none") -> Any:
    """The gradient times the derivative of `gelu` at `x`, element by element; of the shape and dtype of `x`.

    `NotImplemented` for the approximation by tanh.
    """
    if approximate != "none":
        return NotImplemented
    density = torch.exp(-0.5 * x * x) * (SQRT_HALF / sqrt(pi))
    return gradient * (0.5 * (1 + torch.erf(x * SQRT_HALF)) + x * density)


def softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    """exp(x) over its sum along a dimension; of the shape of `x`."""
    del half_to_float
    shifted = torch.exp(x - x.amax(dim, keepdim=True))
    return shifted / shifted.sum(dim, keepdim=True)


def log_softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    """The logarithm of `softmax` along a dimension; of the shape of `x`."""
    del half_to_float
    shifted = x - x.amax(dim, keepdim=True)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


def softmax_backward(gradient: Tensor, y: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """The gradient through `softmax`, whose value is `y`. All of one shape."""
    del dtype
    weighted = gradient * y
    return weighted - y * weighted.sum(dim, keepdim=True)


def log_softmax_backward(gradient: Tensor, y: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """The gradient through `log_softmax`, whose value is `y`. All of one shape."""
    del dtype
    return gradient - y.exp() * gradient.sum(dim, keepdim=True)


def var_mean(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """Variance and mean over some dimensions, or all; these go, or with `keepdim` become 1."""
    dims = list(range(x.dim()) if dim is None else dim)
    mean = x.mean(dims, keepdim=True)
    count = prod(x.shape[each] for each in dims) - (1 if correction is None else correction)
    variance = (x - mean).square().sum(dims, keepdim=True) / count
    return (variance, mean) if keepdim else (variance.squeeze(dims), mean.squeeze(dims))


def layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Layer normalisation over the last dimensions, which have this shape.

    Returns the result, of the shape of `x`, and the means and inverse deviations, 1 in those dimensions.
    """
    variance, mean = var_mean(x, range(x.dim() - len(shape), x.dim()), correction=0, keepdim=True)
    inverse = torch.rsqrt(variance + eps)
    result = (x - mean) * inverse
    result = result if weight is None else result * weight
    return result if bias is None else result + bias, mean, inverse


def select_backward(gradient: Tensor, sizes: Sequence[int], dim: int, index: int) -> Tensor:
    """A tensor of these sizes with the gradient at one place of a dimension, zero at the others."""
    place = np.zeros([sizes[dim], *[1] * (len(sizes) - 1 - dim % len(sizes))], dtype=np.bool_)
    place[index] = True
    return torch.where(torch.from_numpy(place), gradient.unsqueeze(dim), 0)


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """By Horner's scheme, from the constant on."""
    value = coefficients[-1] * x + coefficients[-2]
    for coefficient in reversed(coefficients[:-2]):
        value = value * x + coefficient
    return value
