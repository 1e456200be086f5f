"""Many small minimisations at once: the simplex search of Nelder and Mead, one simplex a problem."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phasediag.arrays import FloatArray, IntArray

BatchedLosses = Callable[[FloatArray, IntArray], FloatArray]
"""The losses at parameters of shape (k, p), for the problems of these numbers, shape (k,)."""


def first_steps(starts: FloatArray) -> FloatArray:
    """Steps that suit where nothing is known of the scale of parameters: 5 % of each, 0.00025 of a zero.

    `scipy.optimize.minimize` takes the same. Shape (problems, p).
    """
    return np.where(starts != 0, 0.05 * starts, 0.00025)


def minima(
    losses: BatchedLosses,
    starts: FloatArray,
    steps: FloatArray,
    *,
    xatol: float,
    fatol: float,
    iterations: int,
) -> FloatArray:
    """Minimise the losses of many problems, each from its start, all in the same few calls.

    Each problem takes the steps that `scipy.optimize.minimize(method="Nelder-Mead")` takes for it alone
    (J. A. Nelder, R. Mead, Computer Journal 7, 308, 1965); a problem that has ended is evaluated no more.

    Parameters
    ----------
    losses
        Evaluates several problems at once; infinite where there is no value.
    starts
        Shape (problems, p).
    steps
        From the start to the other corners of the first simplex, one along each parameter; shape (p,), or
        (problems, p).
    xatol, fatol
        A problem ends where its corners are this close to the best, and so are their losses.
    iterations
        Most steps of a problem.

    Returns
    -------
    The best parameters of each problem, shape (problems, p).
    """
    number, size = starts.shape
    corners = np.repeat(starts[:, None], size + 1, axis=1)
    corners[:, 1:] += np.broadcast_to(steps, starts.shape)[:, None] * np.eye(size)
    problems = np.arange(number)
    values = np.stack([losses(corners[:, i], problems) for i in range(size + 1)], axis=1)
    _sort(corners, values)
    for _ in range(iterations):
        with np.errstate(invalid="ignore"):
            apart = np.abs(corners[:, 1:] - corners[:, :1]).max(axis=(1, 2)) > xatol
            differ = ~(np.abs(values[:, 1:] - values[:, :1]).max(axis=1) <= fatol)
        active = np.flatnonzero(apart | differ)
        if not len(active):
            break
        corners[active], values[active] = _step(losses, corners[active], values[active], active)
    return corners[:, 0]


def _step(
    losses: BatchedLosses, corners: FloatArray, values: FloatArray, problems: IntArray
) -> tuple[FloatArray, FloatArray]:
    """One step of each simplex: reflect the worst corner, then expand, contract or shrink."""
    worst = corners[:, -1]
    middle = corners[:, :-1].mean(axis=1)
    new = 2 * middle - worst
    reflected = losses(new, problems)
    better, poor = reflected < values[:, 0], reflected >= values[:, -2]
    outside = reflected < values[:, -1]
    reach = np.where(better, 2.0, np.where(outside, 0.5, -0.5))[:, None]
    again = np.flatnonzero(better | poor)
    tried = (middle + reach * (middle - worst))[again]
    second = losses(tried, problems[again])
    limit = np.where(outside, reflected, values[:, -1])[again]
    improves = (second < limit) | ((second == limit) & (outside & ~better)[again])
    new[again[improves]], reflected[again[improves]] = tried[improves], second[improves]
    shrinks = again[~improves & poor[again]]
    kept = np.full(len(corners), True)
    kept[shrinks] = False
    corners[kept, -1], values[kept, -1] = new[kept], reflected[kept]
    if len(shrinks):
        corners[shrinks, 1:] = (corners[shrinks, 1:] + corners[shrinks, :1]) / 2
        for corner in range(1, corners.shape[1]):
            values[shrinks, corner] = losses(corners[shrinks, corner], problems[shrinks])
    _sort(corners, values)
    return corners, values


def _sort(corners: FloatArray, values: FloatArray) -> None:
    """Put the corners of each simplex in order of their losses, in place."""
    order = np.argsort(values, axis=1, kind="stable")
    values[:] = np.take_along_axis(values, order, axis=1)
    corners[:] = np.take_along_axis(corners, order[:, :, None], axis=1)
