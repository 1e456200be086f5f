"""Crossings of neighbouring rows that belong together: the branches of a boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import pandas as pd

from phasediag.analysis.boundary import Boundary, Rows
from phasediag.analysis.scale import Scale
from phasediag.arrays import BoolArray, FloatArray, IntArray

Direction = Literal["rising", "falling"]
"""How the order parameter passes the level, with the axis along which it is looked for."""
MAIN: Final = 1
"""The branch that stands for the boundary where only one can: that of most rows."""


def boundary_table(
    lines: pd.DataFrame, facet: IntArray, boundary: Boundary, rows: Rows, settled: BoolArray, scale: Scale
) -> pd.DataFrame:
    """The crossings as `PhaseDiagram.boundary` describes them, each with the branch that it belongs to.

    Parameters
    ----------
    lines
        The facet columns and the other axis, one row a line, in order.
    facet
        Of each line, shape (lines,).
    settled
        Whether most trials of a cell have converged, shape (cells,).
    scale
        Of the axis along which it is crossed.
    """
    left = np.maximum(boundary.cell, 0)
    both = settled[left] & settled[np.minimum(left + 1, len(settled) - 1)]
    there = boundary.cell >= 0
    low, high = (np.where(both, ends, np.nan) for ends in (boundary.low, boundary.high))
    branch = followed(facet[boundary.row], boundary, rows)
    way = np.where(boundary.rising, "rising", "falling").astype(object)
    way[~there] = None
    open_ends = np.select(
        [np.isinf(low) & np.isinf(high), np.isinf(low), np.isinf(high)], ["both", "low", "high"], "none"
    )
    keys = {name: lines[name].to_numpy()[boundary.row] for name in lines}
    return pd.DataFrame(keys, index=pd.RangeIndex(len(boundary.row))).assign(
        position=scale.inverse(boundary.position), low=_value(scale, low), high=_value(scale, high),
        crossings=boundary.crossings, replicates=boundary.replicates,
        converged=pd.arrays.BooleanArray(both, ~there),
        branch=pd.arrays.IntegerArray(branch, ~there), direction=way,
        censored=open_ends.astype(object), support=np.where(both, boundary.support, np.nan),
        plateau=there & (False if boundary.flat is None else boundary.flat),
    )  # fmt: skip


def _value(scale: Scale, ends: FloatArray) -> FloatArray:
    """The values at coordinates; an open end is infinite on every scale."""
    return np.where(np.isinf(ends), ends, scale.inverse(ends))


def main_of(boundary: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """One row a facet and line: the crossing of the first branch, without a position where it has none.

    Parameters
    ----------
    boundary
        As `boundary_table` gives it.
    keys
        The columns of the facets and of the other axis.
    """
    first = ~boundary.duplicated(list(keys)) if keys else np.arange(len(boundary)) == 0
    main = boundary["branch"].eq(MAIN).fillna(False).to_numpy(dtype=bool)
    if not keys:
        return boundary[main] if main.any() else boundary[first]
    group = boundary.groupby(list(keys), sort=False, dropna=False).ngroup().to_numpy()
    lacking = first & ~np.isin(group, group[main])
    nothing: dict[str, object] = {
        "position": np.nan, "low": np.nan, "high": np.nan, "converged": pd.NA, "branch": pd.NA,
        "direction": None, "censored": "none", "support": np.nan, "plateau": False,
    }  # fmt: skip
    chosen = boundary[main | lacking].copy()
    for name, value in nothing.items():
        chosen[name] = chosen[name].mask(lacking[main | lacking], value)
    return chosen.reset_index(drop=True)


@dataclass(slots=True, eq=False)
class _Branch:
    """A branch as far as it has been followed."""

    rising: bool
    entries: list[int] = field(default_factory=list)
    line: int = 0
    position: float = 0.0


def followed(facet: IntArray, boundary: Boundary, rows: Rows) -> IntArray:
    """The branch of each crossing, counted from 1 in each facet; 0 where there is none.

    From line to line each branch goes on with the crossing of its direction such that all together move
    least, on the axis' own scale; one without a neighbour goes on in a later line, with what the others left.
    The first branch is that of most lines, of equally many the steepest.

    Parameters
    ----------
    facet
        Of each entry of the boundary, shape (entries,).
    rows
        Whose crossings these are.
    """
    left = np.maximum(boundary.cell, 0)
    right = np.minimum(left + 1, len(rows.value) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        steepness = np.abs(rows.value[right] - rows.value[left]) / (
            rows.coordinate[right] - rows.coordinate[left]
        )
    numbers = np.zeros(len(boundary.row), dtype=np.int64)
    there = np.flatnonzero(boundary.cell >= 0)
    for one in np.unique(facet[there]):
        branches: list[_Branch] = []
        own = there[facet[there] == one]
        for entries in np.split(own, np.flatnonzero(np.diff(boundary.row[own])) + 1):
            for rising in (False, True):
                _go_on(branches, entries[boundary.rising[entries] == rising], rising, boundary)
        order = sorted(branches, key=lambda each: (-len(each.entries), -steepness[each.entries].mean()))
        for number, branch in enumerate(order, start=MAIN):
            numbers[branch.entries] = number
    return numbers


def _go_on(branches: list[_Branch], entries: IntArray, rising: bool, boundary: Boundary) -> None:
    """Give the crossings of one line and direction to the branches, new ones where they are more."""
    if not len(entries):
        return
    line = int(boundary.row[entries[0]])
    known = [branch for branch in branches if branch.rising == rising]
    left = list(entries)
    for old in (False, True):
        waiting = [each for each in known if each.line < line and (each.line < line - 1) == old]
        if not waiting or not left:
            continue
        last = np.array([each.position for each in waiting])
        taken = _pairs(np.abs(boundary.position[left][:, None] - last))
        for entry, place in taken:
            _add(waiting[place], int(left[entry]), boundary)
        gone = {entry for entry, _ in taken}
        left = [each for at, each in enumerate(left) if at not in gone]
    for entry in left:
        branches.append(_Branch(rising=rising))
        _add(branches[-1], int(entry), boundary)


def _pairs(distance: FloatArray) -> list[tuple[int, int]]:
    """The rows and columns of a matrix, as many as the fewer of the two, whose entries sum to least."""
    if 1 in distance.shape:
        row, column = divmod(int(distance.argmin()), distance.shape[1])
        return [(row, column)]
    from scipy.optimize import linear_sum_assignment  # half a second to import, for several of each alone

    rows, columns = linear_sum_assignment(distance)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _add(branch: _Branch, entry: int, boundary: Boundary) -> None:
    branch.entries.append(entry)
    branch.line, branch.position = int(boundary.row[entry]), float(boundary.position[entry])
