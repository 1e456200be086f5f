"""Where rows of values cross a level, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from phasediag.analysis.bootstrap import FEWEST_REPLICATES, Resamples, Sums, interval
from phasediag.arrays import BoolArray, FloatArray, IntArray

ROUNDING: Final = 1e-9
"""Share of a row's range that is rounding."""
STEP: Final = 0.9
"""Share of the change over three cells that the middle one has where it holds a step between plateaus."""
BLOCK: Final = 4_000_000
"""Cells times draws that are resampled at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Cells in rows: sorted by row, then by coordinate."""

    row: IntArray
    """The row of each cell, counted from 0 without gaps, shape (cells,)."""
    coordinate: FloatArray
    """On the scale on which to interpolate, shape (cells,)."""
    value: FloatArray
    """The mean of each cell, NaN where it has none, shape (cells,)."""
    replicates: IntArray
    """How many values are behind each mean, shape (cells,)."""
    linked: BoolArray
    """Whether a cell and the next are neighbours, shape (cells - 1,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SingleValues:
    """The single values behind the means."""

    cell: IntArray
    """Shape (trials,)."""
    replicate: IntArray
    """Shape (trials,)."""
    value: FloatArray
    """NaN where a trial has none, shape (trials,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boundary:
    """The crossing of each row, in coordinates; every array has shape (rows,)."""

    position: FloatArray
    low: FloatArray
    high: FloatArray
    crossings: IntArray
    replicates: IntArray
    cell: IntArray
    """The cell that the boundary follows, -1 where there is none."""
    drawn: FloatArray | None = None
    """The crossing in each of the `draws` where they are kept, shape (rows, draws); NaN without one."""
    draws: Resamples | None = None


def find_boundary(
    rows: Rows, samples: SingleValues, level: float, resamples: int, seed: int, *, keep: bool = False
) -> Boundary:
    """Find the steepest crossing of each row, with its interval.

    The rules are those of `phasediag.analysis.phases.phase_diagram`.

    Parameters
    ----------
    level
        In units of the values.
    resamples, seed
        Of the bootstrap over replicates.
    keep
        Whether to keep the crossing of every resample.
    """
    count = int(rows.row[-1]) + 1
    left = np.flatnonzero(rows.linked)
    steepest, crossings = _steepest(rows, left, rows.value[:, None], np.arange(len(rows.value)), level)
    crossed = np.flatnonzero(steepest[:, 0] >= 0)
    main = left[steepest[crossed, 0]]
    replicates = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(replicates, rows.row, rows.replicates)
    replicates[crossed] = np.minimum(rows.replicates[main], rows.replicates[main + 1])
    position = np.full(count, np.nan)
    position[crossed] = _crossing(rows, main, rows.value[main], rows.value[main + 1], level)
    low, high = np.full(count, np.nan), np.full(count, np.nan)
    sure = replicates[crossed] >= FEWEST_REPLICATES
    draws = Resamples.of(int(samples.replicate.max()) + 1, resamples, seed)
    drawn = np.full((count, len(draws.times)), np.nan) if keep else None
    if sure.any():
        crossed, main = crossed[sure], main[sure]
        bounds = _bootstrap(rows, samples, crossed, main, level, draws, drawn)
        bounds = np.fmin(bounds[0], position[crossed]), np.fmax(bounds[1], position[crossed])
        low[crossed], high[crossed] = at_least_the_jump(rows, crossed, main, *bounds)
        first = rows.coordinate[np.searchsorted(rows.row, np.arange(count), side="left")]
        last = rows.coordinate[np.searchsorted(rows.row, np.arange(count), side="right") - 1]
        low, high = np.maximum(low, first), np.minimum(high, last)
    cell = np.full(count, -1)
    cell[np.flatnonzero(steepest[:, 0] >= 0)] = left[steepest[steepest[:, 0] >= 0, 0]]
    return Boundary(
        position=position, low=low, high=high, crossings=crossings[:, 0], replicates=replicates, cell=cell,
        drawn=drawn, draws=draws,
    )  # fmt: skip


def _steepest(
    rows: Rows, left: IntArray, value: FloatArray, place: IntArray, level: float
) -> tuple[IntArray, IntArray]:
    """The position in `left` of each row's steepest crossing (-1: none) and the number of crossings.

    `value[place[cell]]` are the means of a cell, shape (draws,); results have shape (rows, draws).
    """
    count = int(rows.row[-1]) + 1
    steepest = np.full((count, value.shape[1]), -1, dtype=np.int64)
    crossings = np.zeros_like(steepest)
    if len(left) == 0:
        return steepest, crossings
    start, end = value[place[left]], value[place[left + 1]]
    crosses = ((start >= level) != (end >= level)) & ~np.isnan(start) & ~np.isnan(end)
    slope = np.where(crosses, np.abs(end - start), -1) / _width(rows, left)[:, None]
    used, first = np.unique(rows.row[left], return_index=True)
    crossings[used] = np.add.reduceat(crosses, first, axis=0, dtype=np.int64)
    best = np.repeat(np.maximum.reduceat(slope, first, axis=0), np.diff([*first, len(left)]), axis=0)
    index = np.where(crosses & (slope == best), np.arange(len(left))[:, None], len(left))
    index = np.minimum.reduceat(index, first, axis=0)
    steepest[used] = np.where(index < len(left), index, -1)
    return steepest, crossings


def _width(rows: Rows, left: IntArray) -> FloatArray:
    return rows.coordinate[left + 1] - rows.coordinate[left]


def _crossing(rows: Rows, left: IntArray, start: FloatArray, end: FloatArray, level: float) -> FloatArray:
    width = _width(rows, left.reshape(-1)).reshape(left.shape)
    return rows.coordinate[left] + width * (level - start) / (end - start)


def at_least_the_jump(
    rows: Rows, crossed: IntArray, main: IntArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Widen intervals to the cell where the order parameter jumps inside it.

    It does where it passes at least half of the row's range there, or a step between two plateaus, as of
    a rank: nearly all of what it changes over this cell and its neighbours. And where the replicates agree
    exactly, as counts do: they tell nothing of where it runs inside the cell.

    Parameters
    ----------
    crossed
        Rows that have a boundary, shape (crossed,).
    main, low, high
        The cell that the boundary of each follows and its interval, shape (crossed,).
    """
    known = ~np.isnan(rows.value)
    top, bottom = np.full(rows.row[-1] + 1, -np.inf), np.full(rows.row[-1] + 1, np.inf)
    np.maximum.at(top, rows.row[known], rows.value[known])
    np.minimum.at(bottom, rows.row[known], rows.value[known])
    change = np.abs(rows.value[main + 1] - rows.value[main])
    jumps = change > (0.5 - ROUNDING) * (top - bottom)[crossed]
    before, after = np.maximum(main - 1, 0), np.minimum(main + 2, len(rows.row) - 1)
    inside = (
        (before < main) & (after > main + 1) & (rows.row[before] == crossed) & (rows.row[after] == crossed)
    )
    with np.errstate(invalid="ignore"):  # both may be -inf
        beside = np.abs(rows.value[main] - rows.value[before])
        beside += np.abs(rows.value[after] - rows.value[main + 1])
    jumps |= inside & (change >= STEP * (change + beside))
    jumps |= high - low <= ROUNDING * (rows.coordinate[main + 1] - rows.coordinate[main])
    low = np.where(jumps, np.minimum(low, rows.coordinate[main]), low)
    return low, np.where(jumps, np.maximum(high, rows.coordinate[main + 1]), high)


def _bootstrap(
    rows: Rows, samples: SingleValues, crossed: IntArray, main: IntArray, level: float, draws: Resamples,
    drawn: FloatArray | None,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """The bounds of the rows `crossed`, whose crossings follow the cells `main`; shape (crossed,) each.

    Crossings are kept in `drawn`, where it is given.
    """
    left = _may_cross(rows, samples, crossed, level)
    low, high = np.empty(len(crossed)), np.empty(len(crossed))
    last = np.searchsorted(rows.row[left], crossed, side="right")
    step = max(1, BLOCK // len(draws.weights))
    begin = 0
    while begin < len(crossed):
        offset = 0 if begin == 0 else last[begin - 1]
        end = max(begin + 1, int(np.searchsorted(last, offset + step)))
        block = left[offset : last[end - 1]]
        part = slice(begin, end)
        position = _block(rows, samples, crossed[part], main[part], block, level, draws)
        if drawn is not None:
            drawn[crossed[part]] = position
        at = _crossing(rows, main[part], rows.value[main[part]], rows.value[main[part] + 1], level)
        low[part], high[part] = _bounds(rows, main[part], position, at, draws)
        begin = end
    return low, high


def _may_cross(rows: Rows, samples: SingleValues, crossed: IntArray, level: float) -> IntArray:
    """The cells that some resample's crossing may follow: all others stay on one side of the level."""
    above, below = np.zeros(len(rows.row), dtype=bool), np.zeros(len(rows.row), dtype=bool)
    known = ~np.isnan(samples.value)
    above[samples.cell[known & (samples.value >= level)]] = True
    below[samples.cell[known & (samples.value < level)]] = True
    usable = ~np.isnan(rows.value)
    possible = (above[:-1] & below[1:]) | (below[:-1] & above[1:])
    wanted = np.isin(rows.row[:-1], crossed)
    return np.flatnonzero(rows.linked & possible & wanted & usable[:-1] & usable[1:])


def _block(
    rows: Rows, samples: SingleValues, crossed: IntArray, main: IntArray, left: IntArray,
    level: float, draws: Resamples,
) -> FloatArray:  # fmt: skip
    """The crossing of each draw, shape (crossed, draws)."""
    cells = np.unique(np.concatenate([left, left + 1]))
    place = np.zeros(len(rows.row), dtype=np.int64)
    place[cells] = np.arange(len(cells))
    value = resampled_means(samples, cells, place, draws)
    steepest, _ = _steepest(rows, left, value, place, level)
    chosen = steepest[crossed]
    start = left[np.maximum(chosen, 0)]
    draw = np.arange(value.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = _crossing(rows, start, value[place[start], draw], value[place[start + 1], draw], level)
    beside = _beyond_the_end(rows, crossed, main, value[place[main]], level)
    unknown = np.isnan(value[place[main]]) | np.isnan(value[place[main + 1]])
    return np.where(chosen >= 0, inside, np.where(unknown, np.nan, beside))


def _bounds(
    rows: Rows, main: IntArray, position: FloatArray, at: FloatArray, draws: Resamples
) -> tuple[FloatArray, FloatArray]:
    """The interval of each row's crossings, which lie `at`; NaN where replicates agree exactly."""
    rounding = ROUNDING * _width(rows, main)
    behind = np.minimum(rows.replicates[main], rows.replicates[main + 1])
    low, high = np.empty(len(main)), np.empty(len(main))
    for count in np.unique(behind):
        same = behind == count
        low[same], high[same] = interval(
            position[same], draws, at[same], replicates=int(count), rounding=rounding[same]
        )
    return low, high


def _beyond_the_end(
    rows: Rows, crossed: IntArray, main: IntArray, value: FloatArray, level: float
) -> FloatArray:
    """The end of the row towards which a crossing has left it, shape (crossed, draws)."""
    first = rows.coordinate[np.searchsorted(rows.row, crossed, side="left")][:, None]
    last = rows.coordinate[np.searchsorted(rows.row, crossed, side="right") - 1][:, None]
    falls = (rows.value[main] >= level)[:, None]
    return np.where((value >= level) == falls, last, first)


def resampled_means(samples: SingleValues, cells: IntArray, place: IntArray, draws: Resamples) -> FloatArray:
    """The mean of each cell in each draw, NaN where none of its replicates was drawn.

    Parameters
    ----------
    cells
        The cells wanted, shape (wanted,).
    place
        The position of each cell in `cells`, shape (all cells,).

    Returns
    -------
    Shape (wanted, draws).
    """
    wanted = np.zeros(len(place), dtype=bool)
    wanted[cells] = True
    rows = np.flatnonzero(wanted[samples.cell] & ~np.isnan(samples.value))
    shape = len(cells), draws.weights.shape[1]
    sums = Sums.of(place[samples.cell[rows]], samples.replicate[rows], samples.value[rows], shape)
    return sums.drawn_means(draws.weights)
