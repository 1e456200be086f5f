"""Many small nonlinear least-squares fits at once: the method of Levenberg and Marquardt, a row a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from phasediag.arrays import FloatArray, IntArray

Residuals = Callable[[FloatArray, IntArray], FloatArray]
"""The residuals at parameters of shape (k, p), of the fits of these numbers, shape (k,): shape (k, points).
A row of NaN where there are none."""
_DAMPING: Final = 1e-3
_SMALLEST: Final = 1e-10
_FREE: Final = 1e-7
"""Damping up to this leaves steps along the flattest valley as long as they are."""
_LARGEST: Final = 1e6
_EASIER: Final = 0.1
_HARDER: Final = 5.0


def least_squares(
    residuals: Residuals, starts: FloatArray, steps: FloatArray, *, tolerance: float = 1e-6,
    iterations: int = 60,
) -> FloatArray:  # fmt: skip
    """Minimise the sum of squares of each fit from its start, all in the same few calls.

    D. W. Marquardt, J. Soc. Indust. Appl. Math. 11, 431 (1963); derivatives are central differences. A fit
    that has ended is evaluated no more.

    Parameters
    ----------
    residuals
        Evaluates several fits at once.
    starts
        Shape (fits, p). A fit without residuals at its start stays there.
    steps
        Of the differences, shape (p,).
    tolerance
        A fit ends where a step that is hardly damped lowers its sum of squares by less than this share.
    iterations
        Most steps of a fit.

    Returns
    -------
    The best parameters of each fit, shape (fits, p).
    """
    at = starts.astype(np.float64, copy=True)
    numbers = np.arange(len(at), dtype=np.int64)
    now = residuals(at, numbers)
    cost = squares(now)
    damping = np.full(len(at), _DAMPING)
    active = np.isfinite(cost)
    for _ in range(iterations):
        rows = np.flatnonzero(active)
        if not len(rows):
            break
        slopes = jacobian(residuals, at[rows], rows, steps)
        tried = at[rows] + _step(slopes, now[rows], damping[rows])
        then = residuals(tried, rows)
        lower = squares(then)
        better = lower < cost[rows]
        little = better & (cost[rows] - lower <= tolerance * cost[rows]) & (damping[rows] <= _FREE)
        taken = rows[better]
        at[taken], now[taken], cost[taken] = tried[better], then[better], lower[better]
        damping[rows] *= np.where(better, _EASIER, _HARDER)
        damping = np.maximum(damping, _SMALLEST)
        active[rows] = ~little & (damping[rows] < _LARGEST)
    return at


def one_step(residuals: Residuals, starts: FloatArray, slopes: FloatArray) -> FloatArray:
    """Where one step of Gauss and Newton leads each fit: its minimum, to first order in how it differs.

    Parameters
    ----------
    starts
        Shape (fits, p).
    slopes
        The derivatives that all fits take, shape (points, p).
    """
    numbers = np.arange(len(starts), dtype=np.int64)
    now = residuals(starts, numbers)
    return starts + _step(np.broadcast_to(slopes, (len(starts), *slopes.shape)), now, np.zeros(len(starts)))


def squares(residuals: FloatArray) -> FloatArray:
    """The sum of squares of each row; infinite for a row of NaN."""
    total = np.sum(residuals**2, axis=1)
    return np.where(np.isfinite(total), total, np.inf)


def jacobian(residuals: Residuals, at: FloatArray, numbers: IntArray, steps: FloatArray) -> FloatArray:
    """The derivatives of the residuals by the parameters, zero where there are none; (fits, points, p)."""
    fits, size = at.shape
    moved = np.diag(steps)[:, None]
    both = np.concatenate([at + moved, at - moved]).reshape(-1, size)
    values = residuals(both, np.tile(numbers, 2 * size)).reshape(2, size, fits, -1)
    slopes = (values[0] - values[1]) / (2 * steps[:, None, None])
    by_parameter = np.moveaxis(slopes, 0, -1)
    return np.where(np.isnan(by_parameter), 0.0, by_parameter)


def _step(slopes: FloatArray, residuals: FloatArray, damping: FloatArray) -> FloatArray:
    """The damped step of each fit; damping of shape (fits,) in units of the diagonal."""
    square = np.einsum("knp,knq->kpq", slopes, slopes)
    downhill = -np.einsum("knp,kn->kp", slopes, residuals)
    diagonal = np.einsum("kpp->kp", square)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    alike = square / scale[:, :, None] / scale[:, None, :]
    alike += (damping[:, None] + 1e-12)[:, :, None] * np.eye(square.shape[1])
    return np.asarray(np.linalg.solve(alike, (downhill / scale)[..., None])[..., 0] / scale)
