"""Boundaries of which one side lies at the level: where the values meet it is then chance, or the grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.boundary import Boundary, Rows
from phasediag.arrays import BoolArray, FloatArray, IntArray

NEAR: Final = 2.0
"""Standard errors within which the mean of a cell may be the level."""
CLEAR: Final = 5.0
"""Standard errors from which on it is not."""
FARTHER: Final = 2.0
"""Times as far from the crossing as the nearest clear cell of one side those of the other are looked at."""
_LOOKED_AT: Final = 3
"""How many of the nearest cells are looked at."""
_FEWEST: Final = 2
"""How many of these at the level make a plateau."""


def without_plateaus(boundary: Boundary, rows: Rows, cells: pd.DataFrame, level: float) -> Boundary:
    """The boundary without the intervals of crossings at the end of a plateau at the level, which are `flat`.

    A curve that passes a level is clear of it on both sides, about equally far away. Where it is so on one
    alone, as a growth rate that is zero once a network has settled, the cell beside the crossing may be half
    way to the plateau, and neither the line through it nor the scatter of replicates tells where the values
    would have crossed.

    Parameters
    ----------
    cells
        `std` and `replicates` of each cell, in the order of `rows`.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        error = cells["std"].to_numpy() / np.sqrt(cells["replicates"].to_numpy(dtype=np.float64))
    away = np.abs(rows.value - level)
    with np.errstate(invalid="ignore"):
        at_level, clear = away <= NEAR * error, away > CLEAR * error
    flat = _flat(boundary, rows, at_level, clear, -1) | _flat(boundary, rows, at_level, clear, 1)
    low, high = (np.where(flat, np.nan, ends) for ends in (boundary.low, boundary.high))
    return replace(boundary, low=low, high=high, flat=flat)


def _flat(boundary: Boundary, rows: Rows, at_level: BoolArray, clear: BoolArray, side: int) -> BoolArray:
    """Whether a plateau begins behind the cell on this side of each crossing, shape (entries,)."""
    there = boundary.cell >= 0
    left = np.maximum(boundary.cell, 0)
    last = len(at_level) - 1
    known = np.flatnonzero(clear)
    if not len(known):
        return np.zeros(len(left), dtype=np.bool_)
    place = np.searchsorted(known, left + 1) if side < 0 else np.searchsorted(known, left, side="right") - 1
    inside = there & (place >= 0) & (place < len(known))
    other = known[np.clip(place, 0, len(known) - 1)]
    inside &= rows.row[other] == boundary.row
    position = np.where(there, boundary.position, 0.0)
    mirrored = position + FARTHER * (position - rows.coordinate[other])
    keys = _keys(rows, rows.row, rows.coordinate)
    first = np.searchsorted(keys, _keys(rows, boundary.row, mirrored), side="left" if side < 0 else "right")
    begin = np.minimum(first - 1, left - 1) if side < 0 else np.maximum(first, left + 2)
    number = np.zeros(len(left), dtype=np.int64)
    for step in range(_LOOKED_AT):
        cell = begin + side * step
        own = np.clip(cell, 0, last)
        number += (cell == own) & (rows.row[own] == boundary.row) & at_level[own]
    return np.asarray(inside & (number >= _FEWEST))


def _keys(rows: Rows, row: IntArray, coordinate: FloatArray) -> FloatArray:
    """Numbers in the order of row and coordinate; beyond the ends of a row they are still its own."""
    low, reach = float(rows.coordinate.min()), max(float(np.ptp(rows.coordinate)), 1e-300)
    return np.asarray(row + np.clip(0.25 + (coordinate - low) / reach / 2, 0.1, 0.9))
