"""How far each exponent of a collapse may move while all others follow it: intervals along curved valleys."""

from __future__ import annotations

from typing import Final

import numpy as np

from phasediag.analysis.least_squares import jacobian, least_squares, squares
from phasediag.analysis.size_fit import SizeFit
from phasediag.arrays import FloatArray, IntArray

_STEPS: Final = np.arange(0.25, 4.01, 0.25)
"""Where chi squared is looked at, in half widths of the symmetric interval."""


def along_the_valley(fit: SizeFit, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Intervals that follow the profile of chi squared, from symmetric ones.

    An exponent and the analytic corrections replace each other over a wide range: the minimum of chi
    squared is a bent valley, and errors to first order, as draws near the minimum, know its curvature in
    one place alone. An end is where the least chi squared at a fixed value has risen by as much as a
    parabola with the curvature of the minimum has at the symmetric end; for a parabola it is that end.
    What the symmetric interval knows of replicates whose errors hang together is kept.

    Parameters
    ----------
    low, high
        Symmetric intervals of the named parameters, shape (names,); those that are not finite stay.

    Returns
    -------
    Both ends, shape (names,); infinite where chi squared stays below at four times the distance.
    """
    own = fit.function.residuals(fit.function.curves.mean[None], fit.function.curves.error[None])
    slopes = jacobian(own, fit.parameters[None], np.zeros(1, dtype=np.int64), fit.differences)[0]
    spread = np.linalg.pinv(slopes.T @ slopes, hermitian=True)
    low, high = low.copy(), high.copy()
    for name in np.flatnonzero(np.isfinite(low) & np.isfinite(high) & (spread.diagonal()[: len(low)] > 0)):
        half = (high[name] - low[name]) / 2
        allowed = float(half / np.sqrt(spread[name, name]))
        ends = _ends(fit, int(name), half, allowed, spread[name] / spread[name, name])
        low[name], high[name] = fit.parameters[name] + ends
    return low, high


def _ends(fit: SizeFit, name: int, half: float, allowed: float, follow: FloatArray) -> FloatArray:
    """How far down and up one parameter may move.

    Parameters
    ----------
    half
        Of the symmetric interval.
    allowed
        The root of the rise of chi squared at its ends.
    follow
        How the parameters follow this one, to first order, shape (p,).
    """
    others = np.flatnonzero(np.arange(len(fit.parameters)) != name)
    side = np.array([-1.0, 1.0])
    at, before, ends = np.tile(fit.parameters, (2, 1)), np.zeros(2), side * np.inf
    for number, step in enumerate(_STEPS):
        fixed = fit.parameters[name] + side * step * half
        at = at + (fixed - at[:, name])[:, None] * follow
        rise = _followed(fit, at, name, others)
        root = np.sqrt(np.where(np.isfinite(rise), np.maximum(rise, 0), allowed**2))
        passed = np.isinf(ends) & (root >= allowed)
        share = (allowed - before) / np.maximum(root - before, 1e-12)
        previous = _STEPS[number - 1] if number else 0.0
        ends = np.where(passed, side * half * (previous + np.clip(share, 0, 1) * (step - previous)), ends)
        if np.isfinite(ends).all():
            break
        before = root
    return ends


def _followed(fit: SizeFit, at: FloatArray, name: int, others: IntArray) -> FloatArray:
    """Fit the other parameters, in place; by how much chi squared is above its minimum, shape (rows,)."""
    curves, rows = fit.function.curves, len(at)
    shape = (rows, len(curves.mean))
    own = fit.function.residuals(np.broadcast_to(curves.mean, shape), np.broadcast_to(curves.error, shape))
    fixed = at[:, name].copy()

    def with_one_fixed(parameters: FloatArray, numbers: IntArray) -> FloatArray:
        return own(np.insert(parameters, name, fixed[numbers], axis=1), numbers)

    at[:, others] = least_squares(with_one_fixed, at[:, others], fit.differences[others], tolerance=1e-4)
    return squares(own(at, np.arange(rows))) - fit.chi2
