"""A function with a symmetry is quadratic around its symmetric subspace (`docs/physics.md` Eq. 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
import torch
from torch import Tensor
from torch.func import grad

from phasediag.theory.kernel import WeightProjection
from phasediag.training.optimizers import Weights


def residuals(
    function: Callable[[Weights], Tensor],
    weights: Weights,
    projection: WeightProjection,
    scales: Sequence[float],
) -> Tensor:
    """What Eq. 4 leaves: |f(z + s w) - f(z) - s^2 w^T H w / 2|, z = P theta, w = (I - P) theta.

    No linear term is taken away: at a symmetric state it vanishes along w. What is left is O(s^3),
    and O(s^4) where w -> -w is itself a symmetry (a reflection).

    Parameters
    ----------
    function
        Of weights to a scalar, invariant under the group of P.
    weights
        theta, float64 if small scales are to be resolved.
    scales
        s.

    Returns
    -------
    Shape (scales,).
    """
    symmetric = projection(weights)
    broken = {name: weight - symmetric[name] for name, weight in weights.items()}

    def along(s: Tensor) -> Tensor:
        return function({name: symmetric[name] + s * broken[name] for name in broken})

    zero = torch.zeros((), dtype=next(iter(weights.values())).dtype)
    curvature = grad(grad(along))(zero)
    steps = torch.tensor(list(scales), dtype=zero.dtype)
    values = torch.stack([along(s) for s in steps])
    left: Tensor = values - along(zero) - steps.square() / 2 * curvature
    return left.abs()


def linear_term(
    function: Callable[[Weights], Tensor], weights: Weights, projection: WeightProjection
) -> float:
    """|w . grad f(z)|, which Eq. 4 says to be zero, in units of f."""
    symmetric = projection(weights)
    slope = grad(function)(symmetric)
    return abs(float(sum(((weights[n] - symmetric[n]) * slope[n]).sum() for n in weights)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Fitted order of a quantity in a scale."""

    order: float
    low: float
    high: float
    """95 % interval of the slope."""


def fitted_order(scales: Sequence[float], values: Tensor) -> Order:
    """Slope of log values against log scales, by least squares, with Student's interval."""
    x, y = np.log(np.asarray(scales)), np.log(values.numpy())
    fit = scipy.stats.linregress(x, y)
    width = float(scipy.stats.t.ppf(0.975, len(x) - 2) * fit.stderr)
    return Order(order=float(fit.slope), low=float(fit.slope) - width, high=float(fit.slope) + width)
