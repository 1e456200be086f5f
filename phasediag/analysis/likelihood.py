"""The quasi-likelihood of counts: sum of y log(mu) - mu, so that a zero is data like any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.special import kl_div, xlogy

from phasediag.analysis.simplex import first_steps, minima
from phasediag.arrays import FloatArray, IntArray

_ITERATIONS: Final = 50
_LARGEST_LOG: Final = 700.0
"""Beyond, the exponential of a number is no number of double precision."""


def bounded_exp(value: float) -> float:
    """The exponential, at the largest or smallest number of double precision where it would be beyond."""
    return float(np.exp(np.clip(value, -_LARGEST_LOG, _LARGEST_LOG)))


def quasi_likelihood(curve: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """How well curves describe means of so many counts: sum of y log(mu) - mu over the points.

    A curve may be 0 where the mean is; where there are counts it cannot, and the likelihood is -inf.

    Parameters
    ----------
    curve
        Shape (..., points).
    means, weights
        Shape (points,), or that of the curve.

    Returns
    -------
    Shape (...,).
    """
    return np.asarray(((xlogy(means, curve) - curve) * weights).sum(axis=-1), dtype=np.float64)


def pearson(curve: FloatArray, counts: FloatArray) -> FloatArray:
    """The squared residual of each count over its variance: 0 where no count is foretold and there is none.

    Infinite where there is one all the same. Shape (counts,) each.
    """
    surprise = np.where(counts == 0, 0.0, np.inf)
    return np.divide((counts - curve) ** 2, curve, out=surprise, where=curve > 0)


def deviance(curve: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """The quasi-deviance of means of so many counts from a curve, shape (..., points).

    Infinite where a curve is 0 and the mean is not; NaN where a curve is negative or NaN.
    """
    divergence = kl_div(means, curve)
    return np.asarray(2 * weights * np.where(curve >= 0, divergence, np.nan))


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


def log_linear_designs(design: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """Coefficients (constant first) of log(mean) of highest quasi-likelihood for each of several designs.

    Newton's method with bounded steps.

    Parameters
    ----------
    design
        Regressors around 0, without the constant, shape (designs, points, regressors).
    means, weights
        Means and numbers of the counts, shape (points,).

    Returns
    -------
    Shape (designs, 1 + regressors).
    """
    full = np.concatenate([np.ones((*design.shape[:2], 1)), design], axis=-1)
    start = np.log(weights @ means / weights.sum())
    coefficients = np.zeros((len(full), full.shape[-1]))
    coefficients[:, 0] = start
    small = 1e-9 * np.eye(full.shape[-1])
    for _ in range(_ITERATIONS):
        expected = weights * np.exp(np.clip(np.einsum("bpk,bk->bp", full, coefficients), -50, 50))
        gradient = np.einsum("bpk,bp->bk", full, weights * means - expected)
        curvature = np.einsum("bpk,bp,bpl->bkl", full, expected, full) + small
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        coefficients = coefficients + step / np.maximum(1, np.abs(step).max(axis=1, keepdims=True))
    return coefficients


def searched(
    curve: Callable[[FloatArray], FloatArray], start: list[float], means: FloatArray, weights: FloatArray
) -> FloatArray:
    """The parameters of highest quasi-likelihood of any curve, by simplex search, shape (parameters,).

    Parameters
    ----------
    curve
        From parameters of shape (parameters, tries, 1) to means of shape (tries, points).
    start
        Where the search begins.
    means, weights
        Means and numbers of the counts, shape (points,).
    """

    def losses(parameters: FloatArray, _: IntArray) -> FloatArray:
        with np.errstate(all="ignore"):
            expected = curve(parameters.T[..., None])
            allowed = np.isfinite(expected).all(axis=1) & (expected > 0).all(axis=1)
            return np.where(allowed, -quasi_likelihood(expected, means, weights), np.inf)

    starts = np.array([start], dtype=np.float64)
    best = minima(losses, starts, first_steps(starts), xatol=1e-8, fatol=1e-10, iterations=4000)
    return np.asarray(best[0])
