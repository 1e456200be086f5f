"""Whether counts follow one index of several strengths, by a monotone curve of no stated form.

The index is gamma + c_1 n_1 + c_2 n_2 + ..., coefficients above zero. Only the order of the cells along it
enters: the curve is the isotonic regression of the counts' means (R. E. Barlow et al., Statistical Inference
under Order Restrictions, 1972), which for counts is also the fit of largest quasi-likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from scipy.optimize import isotonic_regression

from phasediag.analysis.likelihood import deviance
from phasediag.arrays import BoolArray, FloatArray, IntArray

POINTS: Final = {1: 81, 2: 13}
"""Values of each coefficient that are tried, by the number of coefficients."""
ROUNDS: Final = {1: 1, 2: 2}
"""How often a finer grid is laid around the best."""
SHIFTS: Final = 30
"""Values of each noise's own shift that are tried."""
TURNS: Final = 2
"""How often each noise is shifted while the others stay."""
_BEYOND: Final = 3.0
"""Times the smallest and largest coefficient at which two cells change their order."""
_TIED: Final = 1e-9
"""Deviances that differ by less, relatively, are those of one order."""
_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """What an index is made of, in each cell."""

    gamma: FloatArray
    """The number that counts as it is, shape (cells,)."""
    noises: FloatArray
    """What each coefficient multiplies, shape (coefficients, cells); none is zero everywhere."""

    def index(self, coefficients: FloatArray) -> FloatArray:
        """Gamma + sum c n of each cell, shape (cells,)."""
        return np.asarray(self.gamma + coefficients @ self.noises)

    def grids(self) -> list[FloatArray]:
        """Values of each coefficient, ascending: from where it changes no order to where it alone counts."""
        points = POINTS[len(self.noises)]
        apart = _gaps(self.gamma)
        grids = []
        for noise in self.noises:
            between = _gaps(noise)
            low = apart[0] / between[-1] / _BEYOND if len(apart) else between[0] / between[-1] / _BEYOND
            high = apart[-1] / between[0] * _BEYOND if len(apart) else between[-1] / between[0] * _BEYOND
            grids.append(np.geomspace(low, high, points))
        return grids


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MonotoneFit:
    """An index and its curve."""

    coefficients: FloatArray
    """0 or infinite where the best lies at the end of what was tried."""
    low: FloatArray
    high: FloatArray
    """Between these values of each coefficient, some order of the cells is as good; as `coefficients`."""
    index: FloatArray
    """The index of each cell, shape (cells,)."""
    curve: FloatArray
    """The mean of each cell, of those without counts too; shape (cells,)."""
    inside: BoolArray
    """Which cells lie between the ends of those with counts, shape (cells,)."""


def fit_index(cells: Cells, means: FloatArray, weights: FloatArray, rising: bool) -> MonotoneFit:
    """The coefficients and the monotone curve of least deviance.

    The deviance hangs on the order alone, so that it is constant between two values of a coefficient: the
    geometric middle of the best is taken.

    Parameters
    ----------
    means, weights
        Of each cell, shape (cells,); cells of weight 0 have no part in the fit.
    rising
        Whether the curve rises with the index.
    """
    grids = cells.grids()
    best, low, high = _best(cells, means, weights, rising, grids)
    for turn in range(ROUNDS[len(grids)]):
        finer = [
            value * np.geomspace((grid[0] / grid[1]) ** 1.5, (grid[1] / grid[0]) ** 1.5, 7) ** (0.4**turn)
            for value, grid in zip(best, grids, strict=True)
        ]
        best, low, high = _best(cells, means, weights, rising, finer)
    index = cells.index(best)
    known = weights > 0
    curve = carried(index, known, isotonic(index[known], means[known], weights[known], rising))
    inside = (index >= index[known].min()) & (index <= index[known].max())
    named = (_named(each, grids) for each in (best, low, high))
    return MonotoneFit(
        **dict(zip(("coefficients", "low", "high"), named, strict=True)), index=index, curve=curve,
        inside=inside,
    )  # fmt: skip


def _named(values: FloatArray, grids: list[FloatArray]) -> FloatArray:
    """The coefficients, 0 or infinite where they are at the end of what was tried; shape (coefficients,)."""
    return np.array([
        0.0 if value <= grid[1] else np.inf if value >= grid[-2] else value
        for value, grid in zip(values, grids, strict=True)
    ])  # fmt: skip


def fit_shifts(
    cells: Cells, level: IntArray, start: FloatArray, means: FloatArray, weights: FloatArray, rising: bool
) -> FloatArray:  # fmt: skip
    """The monotone curve in gamma + a shift of each noise's own, at all cells; shape (cells,).

    The shifts are searched one after the other, from those of a fitted index; that of the first noise stays.

    Parameters
    ----------
    level
        The number of each cell's noise, shape (cells,).
    start
        The fitted index of each cell, shape (cells,).
    """
    index = start.copy()
    apart = _gaps(cells.gamma)
    grid = np.append(0.0, np.geomspace(apart[0] / _BEYOND, apart[-1] * _BEYOND, SHIFTS))
    for _ in range(TURNS):
        for number in range(1, int(level.max()) + 1):
            own = level == number
            tried = np.repeat(index[None], len(grid) + 1, axis=0)
            tried[1:, own] = cells.gamma[own] + grid[:, None]
            losses = _losses(tried, means, weights, rising)
            tied = np.flatnonzero(losses <= losses.min() + _TIED * (1 + abs(losses.min())))
            index = index if tied[0] == 0 else tried[tied[len(tied) // 2]]
    known = weights > 0
    return carried(index, known, isotonic(index[known], means[known], weights[known], rising))


def isotonic(index: FloatArray, means: FloatArray, weights: FloatArray, rising: bool) -> FloatArray:
    """The monotone curve of least deviance at each cell; cells of the same index have the same mean."""
    at, place = np.unique(index, return_inverse=True)
    total = np.bincount(place, weights, minlength=len(at))
    pooled = np.bincount(place, weights * means, minlength=len(at)) / total
    return np.asarray(isotonic_regression(pooled, weights=total, increasing=rising).x[place])


def carried(index: FloatArray, known: BoolArray, curve: FloatArray) -> FloatArray:
    """A curve at all cells, from those where it is known: between two, on the line in the index's logarithm.

    Beyond the ends it is what it is there.
    """
    order = np.argsort(index[known], kind="stable")
    floor = max(float(index[index > 0].min(initial=np.inf)), _TINY) / 10
    logs = np.log(np.maximum(index, floor if np.isfinite(floor) else 1.0))
    every = np.interp(logs, logs[known][order], curve[order])
    every[known] = curve
    return every


def _best(
    cells: Cells, means: FloatArray, weights: FloatArray, rising: bool, grids: list[FloatArray]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The middle of the best coefficients on a grid, and the next ones beyond; shape (coefficients,) each."""
    tried = np.array(list(product(*grids)))
    losses = _losses(cells.gamma + tried @ cells.noises, means, weights, rising)
    tied = losses <= losses.min() + _TIED * (1 + abs(losses.min()))
    best = tried[tied]
    steps = np.array([grid[1] / grid[0] for grid in grids])
    return np.exp(np.log(best).mean(axis=0)), best.min(axis=0) / steps, best.max(axis=0) * steps


def _losses(indices: FloatArray, means: FloatArray, weights: FloatArray, rising: bool) -> FloatArray:
    """The deviance of the monotone curve along each index, shape (indices,); `indices` has a row each.

    Cells of the same index are taken in the order in which they come.
    """
    known = weights > 0
    order = np.argsort(indices[:, known], axis=1, kind="stable")
    means, weights = means[known][order], weights[known][order]
    curves = np.array([
        isotonic_regression(some, weights=weight, increasing=rising).x
        for some, weight in zip(means, weights, strict=True)
    ])  # fmt: skip
    return np.asarray(deviance(np.maximum(curves, _TINY), means, weights).sum(axis=1))


def _gaps(values: FloatArray) -> FloatArray:
    """The differences between distinct values, ascending."""
    distinct = np.unique(values)
    later = np.tri(len(distinct), k=-1, dtype=np.bool_)
    return np.asarray(np.unique((distinct[:, None] - distinct)[later]))
