"""Where rows of values cross a level, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from phasediag.analysis.bootstrap import FEWEST_REPLICATES, Resamples, Sums, interval
from phasediag.analysis.level import between, crosses
from phasediag.arrays import BoolArray, FloatArray, IntArray

ROUNDING: Final = 1e-9
"""Share of a row's range that is rounding."""
STEP: Final = 0.9
"""Share of the change over three cells that the middle one has where it holds a step between plateaus."""
BLOCK: Final = 4_000_000
"""Crossings that may be, times draws, that are looked at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Cells in rows: sorted by row, then by coordinate."""

    row: IntArray
    """The row of each cell, counted from 0 without gaps, shape (cells,)."""
    coordinate: FloatArray
    """The place of each cell, on the scale on which to interpolate, shape (cells,)."""
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
    """The cell of each trial, shape (trials,)."""
    replicate: IntArray
    """The replicate of each trial, shape (trials,)."""
    value: FloatArray
    """NaN where a trial has none, shape (trials,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boundary:
    """All crossings of all rows, in coordinates, by row and position.

    A row without any has one entry, without a position. Every array has shape (entries,).
    """

    row: IntArray
    position: FloatArray
    low: FloatArray
    high: FloatArray
    """The interval: -inf or inf where it is open, beyond the end of the row."""
    rising: BoolArray
    """Whether the values rise through the level with the coordinate."""
    crossings: IntArray
    """How many crossings the row has."""
    replicates: IntArray
    cell: IntArray
    """The cell that the crossing follows, -1 where there is none."""
    support: FloatArray
    """The share of the draws that have this crossing; NaN where there is no interval."""
    drawn: FloatArray | None = None
    """The crossing in each of the `draws` where they are kept, shape (entries, draws); infinite beyond the
    end of the row, NaN without an interval."""
    draws: Resamples | None = None
    flat: BoolArray | None = None
    """Whether one side of a crossing lies at the level; None: not looked at."""

    def taken(self, entries: BoolArray) -> Boundary:
        """Some of the entries."""
        columns = {name: getattr(self, name)[entries] for name in _COLUMNS}
        return replace(self, drawn=None if self.drawn is None else self.drawn[entries], **columns)

    def facing(self, *, rising: bool) -> Boundary:
        """The crossings of one direction alone; a row that has none of it keeps one entry."""
        wrong = (self.cell >= 0) & (self.rising != rising)
        right = np.bincount(self.row, (self.cell >= 0) & ~wrong) > 0
        kept = self.taken(~wrong | (~right[self.row] & (np.diff(self.row, prepend=-1) > 0)))
        gone = (kept.cell >= 0) & (kept.rising != rising)
        position, low, high, support = (
            np.where(gone, np.nan, values) for values in (kept.position, kept.low, kept.high, kept.support)
        )
        return replace(
            kept, position=position, low=low, high=high, support=support, rising=kept.rising & ~gone,
            cell=np.where(gone, -1, kept.cell),
            drawn=None if kept.drawn is None else np.where(gone[:, None], np.nan, kept.drawn),
        )  # fmt: skip


_COLUMNS: Final = (
    "row", "position", "low", "high", "rising", "crossings", "replicates", "cell", "support",
)  # fmt: skip


def find_boundary(
    rows: Rows, samples: SingleValues, level: float, resamples: int, seed: int, *, keep: bool = False
) -> Boundary:
    """Find every crossing of each row, with its interval.

    In a draw of the replicates a crossing is the nearest one of its direction, up to half way to the next
    such crossing of the row. Where there is none it has left: for the end of the row, beyond which nothing
    was measured, or it has met its neighbour of the other direction, so that both are gone.

    Parameters
    ----------
    level
        In units of the values.
    resamples, seed
        Of the bootstrap over replicates.
    keep
        Whether to keep the crossings of every draw.
    """
    left = np.flatnonzero(rows.linked)
    crossed, _ = crosses(rows.value[left], rows.value[left + 1], level)
    row, cell, crossings = _entries(rows, left[crossed])
    there = np.flatnonzero(cell >= 0)
    main = cell[there]
    position, low, high, support = (np.full(len(row), np.nan) for _ in range(4))
    rising = np.zeros(len(row), dtype=bool)
    coordinate, value = rows.coordinate, rows.value
    position[there] = between(coordinate[main], coordinate[main + 1], value[main], value[main + 1], level)
    rising[there] = rows.value[main] < level
    replicates = behind(rows, row, cell)
    draws = Resamples.of(int(samples.replicate.max()) + 1, resamples, seed)
    drawn = np.full((len(row), len(draws.times)), np.nan) if keep else None
    sure = np.flatnonzero((cell >= 0) & (replicates >= FEWEST_REPLICATES))
    targets = _Targets.of(row, cell, position, rising)
    for part, moved, crossing in _drawn(rows, samples, targets, sure, level, draws):
        low[part], high[part] = _bounds(rows, cell[part], moved, position[part], replicates[part], draws)
        support[part] = (crossing @ draws.times) / draws.times.sum()
        if drawn is not None:
            drawn[part] = moved
    low[sure], high[sure] = (
        choose(ends[sure], position[sure]) for choose, ends in ((np.fmin, low), (np.fmax, high))
    )
    low[sure], high[sure] = at_least_the_jump(rows, row[sure], cell[sure], low[sure], high[sure])
    low, high = opened(rows, row, low, high)
    return Boundary(
        row=row, position=position, low=low, high=high, rising=rising, crossings=crossings,
        replicates=replicates, cell=cell, support=support, drawn=drawn, draws=draws,
    )  # fmt: skip


def behind(rows: Rows, row: IntArray, cell: IntArray) -> IntArray:
    """The replicates of entries: the fewer of the two cells beside a crossing, or of the row without one.

    `row` and `cell` of each entry, `cell` negative where its row has no crossing; all of shape (entries,).
    """
    fewest = np.full(int(rows.row[-1]) + 1, np.iinfo(np.int64).max)
    np.minimum.at(fewest, rows.row, rows.replicates)
    beside = np.minimum(rows.replicates[cell], rows.replicates[np.minimum(cell + 1, len(rows.row) - 1)])
    return np.where(cell >= 0, beside, fewest[row])


def opened(rows: Rows, row: IntArray, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Intervals of entries, their ends infinite where they lie beyond the row: nothing was measured there.

    `row`, `low` and `high` of each entry, and both results, have shape (entries,); in units of the
    coordinate.
    """
    first = rows.coordinate[np.searchsorted(rows.row, row, side="left")]
    last = rows.coordinate[np.searchsorted(rows.row, row, side="right") - 1]
    rounding = ROUNDING * (last - first)
    return np.where(low < first - rounding, -np.inf, low), np.where(high > last + rounding, np.inf, high)


def _entries(rows: Rows, main: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """The row and the cell of each entry, and the number of crossings of its row."""
    count = int(rows.row[-1]) + 1
    number = np.bincount(rows.row[main], minlength=count)
    without = np.flatnonzero(number == 0)
    row = np.concatenate([rows.row[main], without])
    cell = np.concatenate([main, np.full(len(without), -1)])
    order = np.argsort(row, kind="stable")
    return row[order], cell[order], number[row[order]]


def _width(rows: Rows, left: IntArray) -> FloatArray:
    return rows.coordinate[left + 1] - rows.coordinate[left]


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
        The row of each crossing, shape (crossed,).
    main, low, high
        The cell that each crossing follows and its interval, NaN where replicates agree; shape (crossed,).
    """
    jumps = jumps_inside(rows, crossed, main) | ~(high - low > ROUNDING * _width(rows, main))
    low = np.where(jumps, np.fmin(low, rows.coordinate[main]), low)
    return low, np.where(jumps, np.fmax(high, rows.coordinate[main + 1]), high)


def jumps_inside(rows: Rows, crossed: IntArray, main: IntArray) -> BoolArray:
    """Whether the order parameter jumps between a cell and the next one of its row.

    It does where it passes at least half of the row's range there, or nearly all of what it changes over
    this cell and its neighbours (`STEP`).

    Parameters
    ----------
    rows
        The cells of all rows, with their mean order parameters.
    crossed
        The row of each crossing, shape (crossed,).
    main
        The cell that each crossing follows, shape (crossed,).

    Returns
    -------
    Shape (crossed,).
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
    return np.asarray(jumps | (inside & (change >= STEP * (change + beside))))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Targets:
    """What each entry is looked for in a draw; every array has shape (entries,)."""

    row: IntArray
    cell: IntArray
    position: FloatArray
    rising: BoolArray
    nearest_from: FloatArray
    nearest_to: FloatArray
    """Half way to the row's next crossings of the same direction."""
    gone_down: FloatArray
    gone_up: FloatArray
    """Where it is taken to be when it has left: at the next crossing of its row, infinite without one."""

    @classmethod
    def of(cls, row: IntArray, cell: IntArray, position: FloatArray, rising: BoolArray) -> _Targets:
        """From what is known of each entry, by row and position."""
        spans = [np.full(len(row), side * np.inf) for side in (-1, 1)]
        for way in (False, True):
            own = np.flatnonzero((cell >= 0) & (rising == way))
            one, other = own[:-1], own[1:]
            same = row[one] == row[other]
            middle = (position[one] + position[other])[same] / 2
            spans[0][other[same]], spans[1][one[same]] = middle, middle
        same = row[1:] == row[:-1]
        return cls(
            row=row, cell=cell, position=position, rising=rising, nearest_from=spans[0],
            nearest_to=spans[1], gone_down=np.append(-np.inf, np.where(same, position[:-1], -np.inf)),
            gone_up=np.append(np.where(same, position[1:], np.inf), np.inf),
        )  # fmt: skip


def _drawn(
    rows: Rows, samples: SingleValues, targets: _Targets, sure: IntArray, level: float, draws: Resamples
) -> Iterator[tuple[IntArray, FloatArray, BoolArray]]:
    """Some entries after others, with the crossing of each draw and whether it has one.

    Shapes (some,), (some, draws), (some, draws).
    """
    left = _may_cross(rows, samples, targets.row[sure], targets.cell[sure], level)
    in_row = rows.row[left]
    first, last = (np.searchsorted(in_row, targets.row[sure], side=end) for end in ("left", "right"))
    looked = np.cumsum(last - first)
    step = max(1, BLOCK // len(draws.weights))
    begin = 0
    while begin < len(sure):
        offset = 0 if begin == 0 else looked[begin - 1]
        end = max(begin + 1, int(np.searchsorted(looked, offset + step)))
        part = slice(begin, end)
        own = left[first[begin] : last[end - 1]]
        pairs = first[part] - first[begin], (last - first)[part]
        yield sure[part], *_matched(rows, samples, targets, sure[part], own, pairs, level, draws)
        begin = end


def _may_cross(
    rows: Rows, samples: SingleValues, crossed: IntArray, main: IntArray, level: float
) -> IntArray:
    """The cells that a draw's crossing may follow, and `main`: all others stay on one side of the level."""
    above, below = np.zeros(len(rows.row), dtype=bool), np.zeros(len(rows.row), dtype=bool)
    known = ~np.isnan(samples.value)
    above[samples.cell[known & (samples.value >= level)]] = True
    below[samples.cell[known & (samples.value < level)]] = True
    usable = ~np.isnan(rows.value)
    possible = (above[:-1] & below[1:]) | (below[:-1] & above[1:])
    possible[main] = True  # however a mean is rounded
    wanted = np.isin(rows.row[:-1], crossed)
    return np.flatnonzero(rows.linked & possible & wanted & usable[:-1] & usable[1:])


def _matched(
    rows: Rows, samples: SingleValues, targets: _Targets, entries: IntArray, left: IntArray,
    pairs: tuple[IntArray, IntArray], level: float, draws: Resamples,
) -> tuple[FloatArray, BoolArray]:  # fmt: skip
    """The crossing of each entry in each draw, and whether the draw has one; shape (entries, draws) each.

    `left` are the cells that may be crossed; `pairs` the first of them in the row of each entry, and how
    many there are.
    """
    cells = np.unique(np.concatenate([left, left + 1]))
    place = np.zeros(len(rows.row), dtype=np.int64)
    place[cells] = np.arange(len(cells))
    value = resampled_means(samples, cells, place, draws)
    start, end = value[place[left]], value[place[left + 1]]
    crossed, rises = crosses(start, end, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        at = between(rows.coordinate[left, None], rows.coordinate[left + 1, None], start, end, level)
    begin, number = pairs
    entry = np.repeat(np.arange(len(entries)), number)
    heads = np.cumsum(number) - number
    candidate = np.arange(len(entry)) - heads[entry] + begin[entry]
    own = entries[entry]
    at = at[candidate]
    here = crossed[candidate] & (rises[candidate] == targets.rising[own, None])
    here &= (at >= targets.nearest_from[own, None]) & (at <= targets.nearest_to[own, None])
    away = np.where(here, np.abs(at - targets.position[own, None]), np.inf)
    least = np.minimum.reduceat(away, heads, axis=0)
    matched = least < np.inf
    nearest = np.minimum.reduceat(np.where(here & (away == least[entry]), at, np.inf), heads, axis=0)
    main = targets.cell[entries]
    one, other = value[place[main]], value[place[main + 1]]
    before = (one < level) == targets.rising[entries, None]
    left_to = np.where(before, targets.gone_up[entries, None], targets.gone_down[entries, None])
    unknown = np.isnan(one) | np.isnan(other)
    return np.where(matched, nearest, np.where(unknown, np.nan, left_to)), matched


def _bounds(
    rows: Rows, main: IntArray, moved: FloatArray, position: FloatArray, replicates: IntArray,
    draws: Resamples,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """The interval of each entry's crossings; NaN where replicates agree exactly."""
    rounding = ROUNDING * _width(rows, main)
    low, high = np.empty(len(main)), np.empty(len(main))
    for count in np.unique(replicates):
        same = replicates == count
        low[same], high[same] = interval(
            moved[same], draws, position[same], replicates=int(count), rounding=rounding[same]
        )
    return low, high


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
