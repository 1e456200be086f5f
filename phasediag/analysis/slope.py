"""Where rows of values are steepest, and how sure that is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from phasediag.analysis.bootstrap import FEWEST_REPLICATES, Resamples, interval
from phasediag.analysis.boundary import (
    BLOCK,
    ROUNDING,
    Boundary,
    Rows,
    SingleValues,
    at_least_the_jump,
    behind,
    opened,
    resampled_means,
)
from phasediag.arrays import FloatArray, IntArray


def find_steepest(rows: Rows, samples: SingleValues, resamples: int, seed: int) -> Boundary:
    """Find the steepest place of each row, with its interval.

    The slope between neighbouring cells is taken to lie midway between them; the steepest place is the
    vertex of the parabola through the largest slope and the slopes beside it. A row without any change
    has none.

    Parameters
    ----------
    resamples, seed
        Of the bootstrap over replicates, resampled jointly over all cells.
    """
    count = int(rows.row[-1]) + 1
    position, low, high = (np.full(count, np.nan) for _ in range(3))
    cell = np.full(count, -1)
    usable = rows.linked & ~np.isnan(rows.value[:-1]) & ~np.isnan(rows.value[1:])
    draws = Resamples.of(int(samples.replicate.max()) + 1, resamples, seed)
    limits = np.searchsorted(rows.row, np.arange(count + 1))
    for row, (begin, end) in enumerate(pairwise(limits)):
        left = begin + np.flatnonzero(usable[begin : max(end - 1, begin)])
        if len(left) == 0 or np.ptp(rows.value[begin:end][~np.isnan(rows.value[begin:end])]) <= ROUNDING:
            continue
        at, steepest = _vertex(rows, left, rows.value[left][:, None], rows.value[left + 1][:, None])
        position[row], cell[row] = at[0], left[steepest[0]]
        number = min(rows.replicates[cell[row]], rows.replicates[cell[row] + 1])
        if number >= FEWEST_REPLICATES:
            low[row], high[row] = _interval(rows, samples, left, draws, int(number), position[row])
    every = np.arange(count)
    replicates = behind(rows, every, cell)
    sure = np.flatnonzero((cell >= 0) & (replicates >= FEWEST_REPLICATES))
    low[sure], high[sure] = np.fmin(low, position)[sure], np.fmax(high, position)[sure]
    low[sure], high[sure] = at_least_the_jump(rows, sure, cell[sure], low[sure], high[sure])
    low, high = opened(rows, every, low, high)
    rising = (cell >= 0) & (rows.value[np.minimum(cell + 1, len(rows.value) - 1)] > rows.value[cell])
    return Boundary(
        row=every, position=position, low=low, high=high, rising=rising,
        crossings=(cell >= 0).astype(np.int64), replicates=replicates, cell=cell,
        support=np.full(count, np.nan),
    )  # fmt: skip


def _interval(
    rows: Rows, samples: SingleValues, left: IntArray, draws: Resamples, replicates: int, position: float
) -> tuple[float, float]:
    cells = np.unique(np.concatenate([left, left + 1]))
    place = np.zeros(len(rows.row), dtype=np.int64)
    place[cells] = np.arange(len(cells))
    step = max(1, BLOCK // len(cells))
    parts = []
    for begin in range(0, len(draws.weights), step):
        some = Resamples(weights=draws.weights[begin : begin + step], times=draws.times[begin : begin + step])
        value = resampled_means(samples, cells, place, some)
        parts.append(_vertex(rows, left, value[place[left]], value[place[left + 1]])[0])
    rounding = ROUNDING * float(np.ptp(rows.coordinate[cells]))
    low, high = interval(
        np.concatenate(parts)[None], draws, position, replicates=replicates, rounding=rounding
    )
    return float(low[0]), float(high[0])


def _vertex(rows: Rows, left: IntArray, start: FloatArray, end: FloatArray) -> tuple[FloatArray, IntArray]:
    """The steepest place of each draw and the position in `left` of the cell before it, shape (draws,) each.

    `start` and `end` are the values beside each interval, shape (intervals, draws).
    """
    width = rows.coordinate[left + 1] - rows.coordinate[left]
    middle = (rows.coordinate[left + 1] + rows.coordinate[left]) / 2
    slope = np.nan_to_num(np.abs(end - start)) / width[:, None]
    top = np.argmax(slope, axis=0)
    before, after = np.maximum(top - 1, 0), np.minimum(top + 1, len(left) - 1)
    draw = np.arange(slope.shape[1])
    inside = (left[after] - left[before] == 2) & (before < top) & (top < after)
    one, two = middle[top] - middle[before], middle[after] - middle[top]
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = (slope[top, draw] - slope[before, draw]) / one
        fall = (slope[top, draw] - slope[after, draw]) / two
        shift = (rise * two - fall * one) / (rise + fall) / 2
    return middle[top] + np.where(inside & np.isfinite(shift), shift, 0.0), top
