"""Laws by which a count may follow a parameter, and their fits.

All are fitted by the quasi-likelihood of counts, sum of y log(mu) - mu, so that a zero is data like
any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

FloatArray = npt.NDArray[np.float64]

_ITERATIONS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A mean as a function of x."""

    name: str
    formula: str
    parameters: tuple[str, ...]
    mean: Callable[[FloatArray, FloatArray], FloatArray]
    """Of x, shape (points,), and the parameters, shape (parameters,)."""
    fit: Callable[[FloatArray, FloatArray, FloatArray], Sequence[float]]
    """The parameters of highest quasi-likelihood, from x, means and weights, shape (points,) each."""


def _fit_power_law(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    centre = np.log(x).mean()
    log_mean, exponent = log_linear(np.log(x) - centre, (weights * means)[None], weights[None])[:, 0]
    return [np.exp(log_mean - exponent * centre), exponent]


def _fit_exponential(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    log_mean, rate = log_linear(x - x.mean(), (weights * means)[None], weights[None])[:, 0]
    return [np.exp(log_mean - rate * x.mean()), rate]


def _fit_logarithmic(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    u = np.log(x) - np.log(x).mean()
    scale = float(weights @ means / weights.sum())
    middle, slope = _searched(lambda p: scale * (p[0] + p[1] * u), [1, 0], means, weights) * scale
    return [middle - slope * np.log(x).mean(), slope]


def _fit_saturating(growing: bool) -> Callable[[FloatArray, FloatArray, FloatArray], Sequence[float]]:
    def fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
        u = np.log(x) * (-1 if growing else 1)
        start = [float(np.log(means.max())), float(u.mean())]
        log_plateau, at = _searched(lambda p: np.exp(p[0] - np.logaddexp(0, u - p[1])), start, means, weights)
        return [np.exp(log_plateau), np.exp(-at if growing else at)]

    return fit


LAWS: Final[tuple[Law, ...]] = (
    Law(
        name="power law", formula="amplitude * x^exponent", parameters=("amplitude", "exponent"),
        mean=lambda x, p: p[0] * x ** p[1], fit=_fit_power_law,
    ),
    Law(
        name="exponential", formula="amplitude * exp(rate * x)", parameters=("amplitude", "rate"),
        mean=lambda x, p: p[0] * np.exp(p[1] * x), fit=_fit_exponential,
    ),
    Law(
        name="logarithmic", formula="offset + slope * log(x)", parameters=("offset", "slope"),
        mean=lambda x, p: p[0] + p[1] * np.log(x), fit=_fit_logarithmic,
    ),
    Law(
        name="saturating", formula="plateau / (1 + x / scale)", parameters=("plateau", "scale"),
        mean=lambda x, p: p[0] / (1 + x / p[1]), fit=_fit_saturating(growing=False),
    ),
    Law(
        name="saturating growth", formula="plateau / (1 + scale / x)", parameters=("plateau", "scale"),
        mean=lambda x, p: p[0] / (1 + p[1] / x), fit=_fit_saturating(growing=True),
    ),
    Law(
        name="constant", formula="mean", parameters=("mean",),
        mean=lambda x, p: np.full(len(x), p[0]), fit=lambda x, m, w: [float(w @ m / w.sum())],
    ),
)  # fmt: skip
"""The laws that are compared; of the two that saturate, only the one in the direction of the counts."""


def law(name: str) -> Law:
    """One of the compared laws."""
    return next(one for one in LAWS if one.name == name)


def log_linear(u: FloatArray, sums: FloatArray, weights: FloatArray) -> FloatArray:
    """Coefficients of log(mean) = a + b u of highest quasi-likelihood, shape (2, draws).

    Newton's method, for all draws at once; NaN for a draw that has no counts.

    Parameters
    ----------
    u
        Regressor around 0, shape (points,).
    sums, weights
        Sum and number of the counts, shape (draws, points).
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        a, b = np.log(sums.sum(axis=1) / weights.sum(axis=1)), np.zeros(len(sums))
        for _ in range(_ITERATIONS):
            mean = weights * np.exp(a[:, None] + b[:, None] * u)
            gradient = (sums - mean).sum(axis=1), ((sums - mean) * u).sum(axis=1)
            curvature = mean.sum(axis=1), (mean * u).sum(axis=1), (mean * u**2).sum(axis=1)
            determinant = curvature[0] * curvature[2] - curvature[1] ** 2
            step_a = (curvature[2] * gradient[0] - curvature[1] * gradient[1]) / determinant
            step_b = (curvature[0] * gradient[1] - curvature[1] * gradient[0]) / determinant
            shrink = 1 / np.maximum(1, np.maximum(np.abs(step_a), np.abs(step_b) * np.ptp(u)) / 2)
            a, b = a + shrink * step_a, b + shrink * step_b
    return np.where(np.isfinite(a) & np.isfinite(b), np.stack([a, b]), np.nan)


def _searched(
    curve: Callable[[FloatArray], FloatArray], start: list[float], means: FloatArray, weights: FloatArray
) -> FloatArray:
    """The parameters of highest quasi-likelihood of any curve, by simplex search."""

    def loss(parameters: FloatArray) -> float:
        with np.errstate(all="ignore"):
            expected = curve(parameters)
            allowed = np.isfinite(expected).all() and (expected > 0).all()
            return -quasi_likelihood(expected, means, weights) if allowed else np.inf

    options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000}
    return np.asarray(minimize(loss, start, method="Nelder-Mead", options=options).x)


def quasi_likelihood(curve: FloatArray, means: FloatArray, weights: FloatArray) -> float:
    """How well a curve describes means of so many counts: sum of y log(mu) - mu; shape (points,) each."""
    return float(weights @ (means * np.log(curve) - curve))
