"""By how much a boundary moves with the start of the trials, of any two starts that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from scipy import special

from phasediag.analysis.bootstrap import CONFIDENCE, FEWEST_REPLICATES, interval
from phasediag.analysis.boundary import ROUNDING, jumps_inside
from phasediag.analysis.phases import Located

NAN: Final = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """By how much a boundary moves between two starts, in coordinates."""

    by: float = NAN
    """From the smaller start to the larger; NaN where one of them has no boundary."""
    low: float = NAN
    high: float = NAN
    """The interval of `by`; infinite where a start leaves the row without a boundary."""
    text: str = ""
    unknown: str = ""
    """Why nothing can be said; empty where something can."""

    @property
    def moves(self) -> bool:
        """Whether the interval excludes zero."""
        return bool(self.low > 0 or self.high < 0)


NOT_COMPARED: Final = Shift()
"""Where no starts are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What the row of one start says."""

    name: str
    entry: int
    cell: int
    """The cell before the boundary; -1 without one."""
    above: bool
    """Whether its values are above the level: all of them without a boundary, else those before it."""
    cells: slice
    """The cells of the row of this start."""


def shift_between(located: Located, entries: Sequence[int], names: Sequence[str]) -> Shift:
    """The largest shift between two starts, with its interval.

    Of several pairs the one is stated that excludes zero most clearly, with an interval widened for their
    number (Bonferroni). Replicates that agree exactly, or jump inside one cell, tell the boundary no better
    than to its cell, and the shift no better than to both.

    Parameters
    ----------
    entries
        Those of the boundary, one a start, in order.
    names
        What a sentence calls each start.
    """
    starts = []
    for entry, name in zip(entries, names, strict=True):
        start = _start(located, entry, name)
        if isinstance(start, str):
            return Shift(unknown=start)
        starts.append(start)
    if all(start.cell < 0 for start in starts) and len({start.above for start in starts}) == 1:
        return Shift()
    pairs = list(combinations(starts, 2))
    shifts = [_pair(located, one, other, len(pairs)) for one, other in pairs]
    unknown = [shift for shift in shifts if shift.unknown]
    moving = [shift for shift in shifts if shift.moves]
    if moving:
        return max(moving, key=lambda shift: max(shift.low, -shift.high))
    return unknown[0] if unknown else max(shifts, key=lambda shift: abs(shift.by))


def _start(located: Located, entry: int, name: str) -> _Start | str:
    """What the row of a start says; why nothing where it says nothing."""
    rows, cell = located.rows, int(located.boundary.cell[entry])
    begin, end = (
        int(np.searchsorted(rows.row, located.boundary.row[entry], side=side)) for side in ("left", "right")
    )
    above = rows.value[begin:end][~np.isnan(rows.value[begin:end])] >= located.level
    if cell >= 0:
        side = bool(rows.value[cell] >= located.level)
    elif not len(above) or (above.any() and not above.all()):
        return f"no boundary at {name}: a cell is missing between its phases"
    else:
        side = bool(above[0])
    return _Start(name=name, entry=entry, cell=cell, above=side, cells=slice(begin, end))


def _pair(located: Located, one: _Start, other: _Start, pairs: int) -> Shift:
    if one.cell < 0 and other.cell < 0:
        return _everywhere(located, one, other) if one.above != other.above else Shift()
    if one.cell >= 0 and other.cell >= 0:
        if one.above != other.above:
            return Shift(unknown=f"the boundaries at {one.name} and {other.name} go opposite ways")
        return _moved(located, one, other, pairs)
    return _left_the_row(located, one, other)


def _moved(located: Located, one: _Start, other: _Start, pairs: int) -> Shift:
    """Both have a boundary."""
    boundary, rows = located.boundary, located.rows
    ends = rows.coordinate[[one.cell, other.cell]], rows.coordinate[[one.cell + 1, other.cell + 1]]
    late = _unfinished(located, (one, other), float(ends[0].min()), float(ends[1].max()))
    if late:
        return Shift(unknown=late)
    before, after = boundary.position[[one.entry, other.entry]]
    by = float(after - before)
    replicates = int(boundary.replicates[[one.entry, other.entry]].min())
    low, high = _statistical(located, one, other, by, replicates, pairs)
    both = np.array([one.cell, other.cell])
    coarse = np.isnan(low) or bool(jumps_inside(rows, rows.row[both], both).any())
    if coarse and replicates >= FEWEST_REPLICATES:
        low = float(np.fmin(low, ends[0][1] - ends[1][0]))
        high = float(np.fmax(high, ends[1][1] - ends[0][0]))
    text = f"by {by:.3g} [{low:.3g}, {high:.3g}] from {one.name} to {other.name}"
    return Shift(by=by, low=low, high=high, text=text)


def _statistical(
    located: Located, one: _Start, other: _Start, by: float, replicates: int, pairs: int
) -> tuple[float, float]:
    """The interval over replicates, resampled alike at both starts, widened for the number of pairs."""
    boundary = located.boundary
    assert boundary.drawn is not None
    assert boundary.draws is not None
    with np.errstate(invalid="ignore"):
        shifts = boundary.drawn[other.entry] - boundary.drawn[one.entry]
    rounding = ROUNDING * float(np.ptp(located.rows.coordinate))
    low, high = interval(shifts[None], boundary.draws, by, replicates=replicates, rounding=rounding)
    tail = (1 - CONFIDENCE) / 2
    wider = special.stdtrit(max(replicates - 1, 1), tail / pairs) / special.stdtrit(
        max(replicates - 1, 1), tail
    )
    return float(by - wider * (by - low[0])), float(by + wider * (high[0] - by))


def _left_the_row(located: Located, one: _Start, other: _Start) -> Shift:
    """One has a boundary; the other stays on one side of the level in all of its row.

    Its boundary lies beyond that end of the row towards which the phase that it is not in lies.
    """
    known, lost = (one, other) if one.cell >= 0 else (other, one)
    rows, boundary = located.rows, located.boundary
    if boundary.replicates[known.entry] < FEWEST_REPLICATES:
        return Shift(unknown="the hysteresis has no interval")
    row = rows.coordinate[lost.cells]
    low, high = boundary.low[known.entry], boundary.high[known.entry]
    beyond_last = lost.above == known.above
    end = float(row[-1] if beyond_last else row[0])
    span = (float(low), end) if beyond_last else (end, float(high))
    late = _unfinished(located, (known, lost), *span)
    if late:
        return Shift(unknown=late)
    if not _surely(located, lost):
        return Shift(unknown=f"no boundary at {lost.name}, and some of its trials lie beyond the level")
    least = end - float(high) if beyond_last else float(low) - end
    if not least > ROUNDING * float(np.ptp(row)):
        side = "last" if beyond_last else "first"
        return Shift(
            unknown=f"no boundary at {lost.name}: it may lie just beyond the {side} cell; widen the axis"
        )
    sign = 1 if (lost is other) == beyond_last else -1
    bounds = sorted((sign * least, sign * np.inf))
    text = f"by at least {least:.3g}; at {lost.name} it is nowhere in the row"
    return Shift(low=float(bounds[0]), high=float(bounds[1]), text=text)


def _everywhere(located: Located, one: _Start, other: _Start) -> Shift:
    """Neither has a boundary, and they are in different phases all along the row."""
    row = located.rows.coordinate[one.cells]
    late = _unfinished(located, (one, other), float(row[0]), float(row[-1]))
    if late or not (_surely(located, one) and _surely(located, other)):
        return Shift(unknown=late or "no boundary")
    length = float(row[-1] - row[0])
    text = f"{one.name} and {other.name} are in different phases in all of the row"
    return Shift(low=length, high=np.inf, text=text)


def _surely(located: Located, start: _Start) -> bool:
    """Whether every trial of its row is on its side of the level, in cells of 3 replicates or more."""
    samples = located.samples
    own = (samples.cell >= start.cells.start) & (samples.cell < start.cells.stop) & ~np.isnan(samples.value)
    few = located.rows.replicates[start.cells].min() < FEWEST_REPLICATES
    return not few and bool(((samples.value[own] >= located.level) == start.above).all())


def _unfinished(located: Located, starts: Sequence[_Start], low: float, high: float) -> str:
    """That most trials of a cell in this span have not converged; empty where all have."""
    for start in starts:
        at = located.rows.coordinate[start.cells]
        if (~located.settled[start.cells] & (at >= low - ROUNDING) & (at <= high + ROUNDING)).any():
            return (
                f"perhaps a front of training time: at {start.name} cells between the boundaries have not "
                "converged"
            )
    return ""
