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
from scipy.special import kl_div, xlogy

FloatArray = npt.NDArray[np.float64]

_ITERATIONS: Final = 50
_BREAKS: Final = 15
_LARGEST_LOG: Final = 700.0
"""Beyond, the exponential of a number is no number of double precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A mean as a function of x."""

    name: str
    formula: str
    parameters: tuple[str, ...]
    mean: Callable[[FloatArray, FloatArray], FloatArray]
    """Of x, shape (points,), and the parameters, shape (parameters,); `curve` where numbers may be large."""
    fit: Callable[[FloatArray, FloatArray, FloatArray], Sequence[float]]
    """The parameters of highest quasi-likelihood, from x, means and weights, shape (points,) each."""
    polynomial: bool
    """Whether y is a power of x where x is large and where it is small."""
    price: int
    """What the parameters cost in an information criterion: their number, and 2 more for a change point
    (Y. Ninomiya, Annals of the Institute of Statistical Mathematics 67, 943, 2015)."""
    points: int
    """How many values of x it needs at least."""

    def curve(self, x: FloatArray, parameters: FloatArray) -> FloatArray:
        """The means at x, shape (points,); NaN or infinite where they are no numbers of double precision."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            return np.asarray(self.mean(x, parameters), dtype=np.float64)


def _fit_power_law(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    centre = np.log(x).mean()
    log_mean, exponent = log_linear(np.log(x) - centre, (weights * means)[None], weights[None])[:, 0]
    return [_exp(log_mean - exponent * centre), exponent]


def _fit_exponential(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    log_mean, rate = log_linear(x - x.mean(), (weights * means)[None], weights[None])[:, 0]
    return [_exp(log_mean - rate * x.mean()), rate]


def _exp(value: float) -> float:
    """The exponential, at the largest or smallest number of double precision where it would be beyond."""
    return float(np.exp(np.clip(value, -_LARGEST_LOG, _LARGEST_LOG)))


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
        return [_exp(log_plateau), _exp(-at if growing else at)]

    return fit


def _fit_broken(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    """The break is searched between the second and the last but one x, on a grid that is refined twice."""
    u = np.log(x)
    low, high = u[1], u[-2]
    for _ in range(3):
        breaks = np.linspace(low, high, _BREAKS)
        away = u - breaks[:, None]
        design = np.stack([np.minimum(away, 0), np.maximum(away, 0)], axis=-1)
        coefficients = _poisson(design, means, weights)
        curve = coefficients[:, :1] + np.einsum("bpk,bk->bp", design, coefficients[:, 1:])
        with np.errstate(over="ignore", invalid="ignore"):
            gain = (weights * (means * curve - np.exp(curve))).sum(axis=1)
        best = int(np.argmax(np.where(np.isfinite(gain), gain, -np.inf)))
        low, high = breaks[max(best - 1, 0)], breaks[min(best + 1, _BREAKS - 1)]
    return [*np.exp([coefficients[best, 0], breaks[best]]), *coefficients[best, 1:]]


def _poisson(design: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """Coefficients (constant first) of log(mean) of highest quasi-likelihood for each design.

    Newton's method with bounded steps. `design` has shape (designs, points, regressors).
    """
    full = np.concatenate([np.ones((*design.shape[:2], 1)), design], axis=-1)
    start = np.log(weights @ means / weights.sum())
    found = np.concatenate([np.full((len(full), 1), start), np.zeros((len(full), design.shape[-1]))], axis=1)
    small = 1e-9 * np.eye(full.shape[-1])
    for _ in range(_ITERATIONS):
        expected = weights * np.exp(np.clip(np.einsum("bpk,bk->bp", full, found), -50, 50))
        gradient = np.einsum("bpk,bp->bk", full, weights * means - expected)
        curvature = np.einsum("bpk,bp,bpl->bkl", full, expected, full) + small
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        found = found + step / np.maximum(1, np.abs(step).max(axis=1, keepdims=True))
    return found


def _broken(x: FloatArray, p: FloatArray) -> FloatArray:
    amplitude, at, below, above = p
    u = np.log(x / at)
    return np.asarray(amplitude * np.exp(below * np.minimum(u, 0) + above * np.maximum(u, 0)))


LAWS: Final[tuple[Law, ...]] = (
    Law(
        name="power law", formula="amplitude * x^exponent", parameters=("amplitude", "exponent"),
        mean=lambda x, p: p[0] * x ** p[1], fit=_fit_power_law,
        polynomial=True, price=2, points=3,
    ),
    Law(
        name="exponential", formula="amplitude * exp(rate * x)", parameters=("amplitude", "rate"),
        mean=lambda x, p: p[0] * np.exp(p[1] * x), fit=_fit_exponential,
        polynomial=False, price=2, points=3,
    ),
    Law(
        name="logarithmic", formula="offset + slope * log(x), at least 0", parameters=("offset", "slope"),
        mean=lambda x, p: np.maximum(p[0] + p[1] * np.log(x), 0), fit=_fit_logarithmic,
        polynomial=False, price=2, points=3,
    ),
    Law(
        name="saturating", formula="plateau / (1 + x / scale)", parameters=("plateau", "scale"),
        mean=lambda x, p: p[0] / (1 + x / p[1]), fit=_fit_saturating(growing=False),
        polynomial=True, price=2, points=3,
    ),
    Law(
        name="saturating growth", formula="plateau / (1 + scale / x)", parameters=("plateau", "scale"),
        mean=lambda x, p: p[0] / (1 + p[1] / x), fit=_fit_saturating(growing=True),
        polynomial=True, price=2, points=3,
    ),
    Law(
        name="constant", formula="mean", parameters=("mean",),
        mean=lambda x, p: np.full(len(x), p[0]), fit=lambda x, m, w: [float(w @ m / w.sum())],
        polynomial=False, price=1, points=3,
    ),
    Law(
        name="broken power law", formula="amplitude * (x / at)^below, ^above beyond at",
        parameters=("amplitude", "at", "below", "above"), mean=_broken, fit=_fit_broken,
        polynomial=True, price=6, points=6,
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
    """How well a curve describes means of so many counts: sum of y log(mu) - mu; shape (points,) each.

    A curve may be 0 where the mean is; where there are counts it cannot, and the likelihood is -inf.
    """
    return float(weights @ (xlogy(means, curve) - curve))


def pearson(curve: FloatArray, counts: FloatArray) -> FloatArray:
    """The squared residual of each count over its variance: 0 where no count is foretold and there is none.

    Infinite where there is one all the same. Shape (counts,) each.
    """
    surprise = np.where(counts == 0, 0.0, np.inf)
    return np.divide((counts - curve) ** 2, curve, out=surprise, where=curve > 0)


def prediction_error(one: Law, x: FloatArray, means: FloatArray, weights: FloatArray) -> float:
    """How badly a law, fitted to two thirds of the window, foretells the rest: its quasi-deviance a point.

    Both ends are foretold in turn. Infinite where a law foretells no count and there is one, or no number;
    NaN where the two thirds hold too few values of x, or no count.
    """
    part = -(-2 * len(x) // 3)
    if part < one.points or part == len(x):
        return float("nan")
    total = 0.0
    for known in (slice(0, part), slice(len(x) - part, None)):
        rest = np.full(len(x), True)
        rest[known] = False
        if not means[known].any():
            return float("nan")
        curve = one.curve(x[rest], np.asarray(one.fit(x[known], means[known], weights[known])))
        if not np.isfinite(curve).all():
            return float("inf")
        total += float(deviance(curve, means[rest], weights[rest]).sum())
    return total / (2 * (len(x) - part))


def deviance(curve: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """The quasi-deviance of means of so many counts from a curve, shape (points,).

    Infinite where a curve is 0 and the mean is not; NaN where a curve is negative or NaN.
    """
    found = kl_div(means, curve)
    return np.asarray(2 * weights * np.where(curve >= 0, found, np.nan))
