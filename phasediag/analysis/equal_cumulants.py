"""Where the cumulants of two sizes are equal: between which x, and how surely."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.bootstrap import Resamples, interval
from phasediag.analysis.level import crosses, untied
from phasediag.arrays import FloatArray, IntArray

_POINTS: Final = 4
"""Through which the difference is interpolated."""
_HALVINGS: Final = 40
COLUMNS: Final = ("smaller", "larger", "position", "low", "high", "binder")


def equal_cumulants(
    cells: pd.DataFrame, x: str, size: str | None, values: FloatArray, drawn: FloatArray, draws: Resamples
) -> pd.DataFrame:
    """Where the cumulants of each two neighbouring sizes are equal.

    Far from a transition the cumulants of all sizes agree, and chance makes them cross there too. Among the
    changes of sign of the difference the one is taken that parts it best: with the most of one sign, in units
    of its errors, on one side and of the other on the other. Between the two x the difference is the
    cubic through two points to each side: where curves level off, a line would move the crossing.

    Parameters
    ----------
    cells
        One row a cell, with the columns x and size.
    values, drawn
        Of each cell, shape (cells,), and in draws of replicates, shape (cells, draws).

    Returns
    -------
    One row a pair of sizes, with the columns `COLUMNS`; NaN where they do not cross, `low` and `high`
    infinite where so many draws do not that it may lie beyond the data.
    """
    rows = []
    sizes: list[float] = [] if size is None else np.unique(cells[size]).tolist()
    for smaller, larger in pairwise(sizes):
        first, second = (_curve(cells, x, str(size), each) for each in (smaller, larger))
        at = np.intersect1d(first.index, second.index)
        one, other = (curve[at].to_numpy().astype(np.int64) for curve in (first, second))
        position, low, high, height = _crossing(at, one, other, values, drawn, draws)
        rows.append((smaller, larger, position, low, high, height))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _curve(cells: pd.DataFrame, x: str, size: str, value: float) -> pd.Series[int]:
    """The numbers of the cells of one size, by x."""
    own = np.flatnonzero(cells[size] == value)
    return pd.Series(own, index=cells[x].to_numpy()[own])


def _crossing(
    at: FloatArray, one: IntArray, other: IntArray, values: FloatArray, drawn: FloatArray, draws: Resamples
) -> tuple[float, float, float, float]:
    nothing = (np.nan, np.nan, np.nan, np.nan)
    if len(at) < 2:
        return nothing
    apart = drawn[other] - drawn[one]
    share = draws.times / draws.times.sum()
    spread = np.sqrt(np.maximum(apart**2 @ share - (apart @ share) ** 2, 0))
    error = np.maximum(spread, 1e-3 * max(float(np.nanmax(spread)), 1e-12))
    position = _zero(at, (values[other] - values[one])[:, None], error)[0]
    if np.isnan(position):
        return nothing
    zeros = _zero(at, apart, error)
    zeros = np.where(np.isnan(zeros), np.where(np.arange(len(zeros)) % 2 == 0, np.inf, -np.inf), zeros)
    low, high = interval(zeros, draws, position)
    height = np.interp(position, at, (values[one] + values[other]) / 2)
    return position, float(low), float(high), float(height)


def _zero(at: FloatArray, apart: FloatArray, error: FloatArray) -> FloatArray:
    """The zero of each difference that parts it best, NaN where there is none; apart has shape (x, draws)."""
    strength = np.nan_to_num(apart / error[:, None], nan=0.0)
    before = np.cumsum(strength, axis=0)
    parted = np.abs(before[-1] - 2 * before[:-1])
    sided = untied(apart)
    changes, _ = crosses(sided[:-1], sided[1:], 0.0)
    best = np.argmax(np.where(changes, parted, -1.0), axis=0)
    first = np.clip(best - 1, 0, max(0, len(at) - _POINTS))
    near = first + np.arange(min(_POINTS, len(at)))[:, None]
    x, y = at[near], apart[near, np.arange(apart.shape[1])]
    low, high = at[best], at[best + 1]
    rising = _polynomial(x, y, high) > _polynomial(x, y, low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = (_polynomial(x, y, middle) < 0) == rising
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(changes.any(axis=0), (low + high) / 2, np.nan)


def _polynomial(x: FloatArray, y: FloatArray, at: FloatArray) -> FloatArray:
    """Lagrange's polynomial through the points of each column; x and y of shape (points, draws)."""
    total = np.zeros_like(at)
    for own in range(len(x)):
        others = np.delete(x, own, axis=0)
        total = total + y[own] * np.prod((at - others) / (x[own] - others), axis=0)
    return total
