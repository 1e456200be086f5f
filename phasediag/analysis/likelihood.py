"""The quasi-likelihood of counts: sum of y log(mu) - mu, so that a zero is data like any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy.special import kl_div, xlogy

from phasediag.analysis.simplex import first_steps, minima
from phasediag.arrays import FloatArray, IntArray

_ITERATIONS: Final = 50
_SETTLED: Final = 1e-13
"""A step of Newton's method below this moves nothing."""
_LARGEST_LOG: Final = 700.0
"""Beyond, the exponential of a number is no number of double precision."""


def bounded_exp(values: FloatArray) -> FloatArray:
    """The exponentials, at the largest or smallest number of double precision where one would be beyond.

    Any shape, kept.
    """
    return np.asarray(np.exp(np.clip(values, -_LARGEST_LOG, _LARGEST_LOG)))


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


def deviance(curve: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """The quasi-deviance of means of so many counts from a curve, shape (..., points).

    Infinite where a curve is 0 and the mean is not; NaN where a curve is negative or NaN.
    """
    divergence = kl_div(means, curve)
    return np.asarray(2 * weights * np.where(curve >= 0, divergence, np.nan))


def log_linear(u: FloatArray, sums: FloatArray, weights: FloatArray) -> FloatArray:
    """Coefficients of log(mean) = a + b u of highest quasi-likelihood, shape (2, problems).

    Newton's method, for all problems at once; NaN for one that has no counts.

    Parameters
    ----------
    u
        Regressor around 0, shape (points,) or (problems, points).
    sums, weights
        Sum and number of the counts, shape (problems, points).
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
            reach = np.maximum(np.abs(step_a), np.abs(step_b) * np.ptp(u, axis=-1))
            shrink = 1 / np.maximum(1, reach / 2)
            a, b = a + shrink * step_a, b + shrink * step_b
            if not (reach > _SETTLED).any():
                break
    return np.where(np.isfinite(a) & np.isfinite(b), np.stack([a, b]), np.nan)


def log_linear_designs(design: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """Coefficients (constant first) of log(mean) of highest quasi-likelihood for each of several designs.

    Newton's method with bounded steps.

    Parameters
    ----------
    design
        Regressors around 0, without the constant, shape (designs, points, regressors).
    means, weights
        Means and numbers of the counts, shape (points,), or (designs, points).

    Returns
    -------
    Shape (designs, 1 + regressors).
    """
    full = np.concatenate([np.ones((*design.shape[:2], 1)), design], axis=-1)
    means, weights = (np.broadcast_to(each, full.shape[:2]) for each in (means, weights))
    with np.errstate(divide="ignore"):
        start = np.log((weights * means).sum(axis=-1) / weights.sum(axis=-1))
    coefficients = np.zeros((len(full), full.shape[-1]))
    coefficients[:, 0] = np.maximum(start, -_LARGEST_LOG)
    small = 1e-9 * np.eye(full.shape[-1])
    for _ in range(_ITERATIONS):
        expected = weights * np.exp(np.clip(np.einsum("bpk,bk->bp", full, coefficients), -50, 50))
        gradient = np.einsum("bpk,bp->bk", full, weights * means - expected)
        curvature = np.einsum("bpk,bp,bpl->bkl", full, expected, full, optimize=True) + small
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        step = step / np.maximum(1, np.abs(step).max(axis=1, keepdims=True))
        coefficients = coefficients + step
        if not (np.abs(step) > _SETTLED).any():
            break
    return coefficients


def profiled(
    gain: Callable[[FloatArray], FloatArray], low: float, high: float, problems: int, tries: int = 15,
    rounds: int = 8,
) -> FloatArray:  # fmt: skip
    """The argument of highest gain of each problem, on a lattice that is refined around the best.

    Parameters
    ----------
    gain
        From arguments of shape (problems, tries) to what each gains, of that shape; NaN is none.
    low, high
        Where the argument is searched.

    Returns
    -------
    Shape (problems,).
    """
    lower, upper = np.full(problems, low), np.full(problems, high)
    rows = np.arange(problems)
    best = lower
    for _ in range(rounds):
        lattice = np.linspace(lower, upper, tries, axis=1)
        gains = gain(lattice)
        place = np.argmax(np.where(np.isfinite(gains), gains, -np.inf), axis=1)
        best = lattice[rows, place]
        lower, upper = (
            lattice[rows, np.clip(place + shift, 0, tries - 1)] for shift in (-1, 1)
        )  # fmt: skip
    return best


def searched(
    curve: Callable[[FloatArray], FloatArray], starts: Sequence[Sequence[float]] | FloatArray,
    means: FloatArray, weights: FloatArray,
) -> FloatArray:  # fmt: skip
    """The parameters of highest quasi-likelihood of any curve, by simplex searches, for all problems at once.

    Parameters
    ----------
    curve
        From parameters of shape (parameters, tries, 1) to means of shape (tries, points).
    starts
        Where the searches begin, of which the best counts: shape (starts, parameters).
    means, weights
        Means and numbers of the counts, shape (problems, points).

    Returns
    -------
    Shape (problems, parameters).
    """
    begin = np.atleast_2d(np.asarray(starts, dtype=np.float64))
    many, problems = len(begin), len(means)
    asked = weights > 0

    def losses(parameters: FloatArray, tries: IntArray) -> FloatArray:
        problem = tries // many
        with np.errstate(all="ignore"):
            expected = np.where(asked[problem], curve(parameters.T[..., None]), 1.0)
            allowed = np.isfinite(expected).all(axis=1) & (expected > 0).all(axis=1)
            gains = quasi_likelihood(expected, means[problem], weights[problem])
        return np.where(allowed, -gains, np.inf)

    all_starts = np.tile(begin, (problems, 1))
    steps = first_steps(all_starts)
    minimal = minima(losses, all_starts, steps, xatol=1e-8, fatol=1e-10, iterations=4000)
    values = losses(minimal, np.arange(len(minimal))).reshape(problems, many)
    best = np.argmin(values, axis=1)
    return np.asarray(minimal.reshape(problems, many, -1)[np.arange(problems), best])
