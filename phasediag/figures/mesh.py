"""A facet's cells spread over a mesh, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import distance_transform_edt

from phasediag.analysis.axes import COLLAPSE
from phasediag.analysis.phases import PhaseDiagram
from phasediag.analysis.scale import Scale
from phasediag.arrays import BoolArray, FloatArray, IntArray
from phasediag.errors import AnalysisError

_MOST_CELLS: Final = 4_000_000
LETTER: Final = 0.036
"""Width of a letter, as a share of a panel."""
MARGIN: Final = 0.03
"""Kept free around a word, as a share of a panel."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """One facet on the mesh of all x and y; arrays have shape (len(y), len(x)).

    Categories stand at their positions, in the tables too.
    """

    x: FloatArray
    y: FloatArray
    value: FloatArray
    phase: npt.NDArray[np.object_]
    """Empty where no cell was run."""
    unconverged: BoolArray
    boundary: pd.DataFrame
    across: pd.DataFrame | None
    collapse: pd.DataFrame | None

    @property
    def missing(self) -> BoolArray:
        """Cells that were planned but have no value. Shape (rows, columns)."""
        return np.asarray((self.phase == "") | (self.phase == "missing"))


def panel_of(diagram: PhaseDiagram, key: pd.Series[Any]) -> Panel:
    """Spread the cells of one facet over the mesh; positions of refinements take the nearest cell."""
    scales = {diagram.x: diagram.x_scale, diagram.y: diagram.y_scale}
    x, y = (np.unique(scales[name].places(diagram.cells[name])) for name in scales)
    if len(x) * len(y) > _MOST_CELLS:
        raise AnalysisError(
            f"{len(x)} values of {diagram.x} times {len(y)} of {diagram.y} are too many to draw: these "
            "points form no grid; round them to one first"
        )
    cells = _facet(diagram.cells, key)
    row = np.searchsorted(y, diagram.y_scale.places(cells[diagram.y]))
    column = np.searchsorted(x, diagram.x_scale.places(cells[diagram.x]))

    def placed(table: pd.DataFrame) -> pd.DataFrame:
        own = _facet(table, key)
        return own.assign(**{n: scale.places(own[n]) for n, scale in scales.items() if n in own})

    source = nearest(row, column, (diagram.x_scale, diagram.y_scale), x, y)
    value, phase, unconverged = (
        np.append(cells[name].to_numpy(dtype=kind), filler)[source]
        for name, kind, filler in (
            ("mean", object, np.nan), ("phase", object, ""), ("unconverged_share", object, 0.0)
        )
    )  # fmt: skip
    return Panel(
        x=x, y=y, value=value.astype(np.float64), phase=phase,
        unconverged=unconverged.astype(np.float64) > 0.5,
        boundary=placed(diagram.boundary),
        across=None if diagram.across is None else placed(diagram.across),
        collapse=None if diagram.collapse is None else placed(diagram.collapse),
    )  # fmt: skip


def _facet(frame: pd.DataFrame, key: pd.Series[Any]) -> pd.DataFrame:
    for name, value in key.items():
        same = frame[name].isna() if pd.isna(value) else frame[name] == value
        frame = frame[same]
    return frame


def nearest(
    row: IntArray, column: IntArray, scales: tuple[Scale, Scale], x: FloatArray, y: FloatArray
) -> IntArray:
    """Which cell each position of a mesh shows; one past the last where it is missing.

    Parameters
    ----------
    row, column
        Of each cell, shape (cells,).
    scales
        Of x and of y.
    x, y
        The positions of the mesh, ascending.

    Returns
    -------
    Numbers of cells, shape (len(y), len(x)).
    """
    present = np.full((len(y), len(x)), False)
    present[row, column] = True
    source = np.full(present.shape, len(row))
    source[row, column] = np.arange(len(row))
    rows, columns = present.max(axis=1), present.max(axis=0)
    planned_columns = 2 * present.sum(axis=0) >= rows.sum()
    planned_rows = 2 * present[:, planned_columns].sum(axis=1) >= planned_columns.sum()
    regular = 2 * present.sum() >= rows.sum() * columns.sum()
    planned = regular & planned_rows[:, None] & planned_columns
    fill = ~present & ~planned & rows[:, None] & columns & all(scale.ordered for scale in scales)
    if fill.any():
        from scipy.spatial import cKDTree

        u, v = _unit(scales[0].forward(x)), _unit(scales[1].forward(y))
        tree = cKDTree(np.column_stack([u[column], v[row]]))
        wanted = np.nonzero(fill)
        source[wanted] = tree.query(np.column_stack([u[wanted[1]], v[wanted[0]]]))[1]
    return source


def _unit(coordinates: FloatArray) -> FloatArray:
    shifted: FloatArray = coordinates - coordinates.min()
    return shifted / float(shifted.max())


def edges(centres: FloatArray, scale: Scale) -> FloatArray:
    """Cell edges half way between the centres, on the axis' own scale. Shape (cells,) to (cells + 1,).

    Categories are equally wide.
    """
    if not scale.ordered:
        return np.append(centres - 0.5, centres[-1] + 0.5)
    u = scale.forward(centres)
    inner = (u[1:] + u[:-1]) / 2
    return scale.inverse(np.concatenate([[2 * u[0] - inner[0]], inner, [2 * u[-1] - inner[-1]]]))


def alone(known: BoolArray) -> BoolArray:
    """Known values without a known neighbour, which no line or band would show. Shape (values,), kept."""
    padded = np.pad(known, 1)
    return known & ~padded[:-2] & ~padded[2:]


def crossed(panel: Panel, diagram: PhaseDiagram) -> BoolArray:
    """Cells that the boundary, its interval or the collapse threshold runs through, shape (rows, columns)."""
    hit = np.full(panel.value.shape, False)
    _mark(hit, panel.boundary, panel.y, diagram.y, edges(panel.x, diagram.x_scale))
    if panel.across is not None:
        _mark(hit.T, panel.across, panel.x, diagram.x, edges(panel.y, diagram.y_scale))
    if panel.collapse is not None and len(panel.collapse):
        flip = diagram.x != "weight_decay"
        along, across = (panel.x, panel.y) if flip else (panel.y, panel.x)
        lines = edges(across, diagram.y_scale if flip else diagram.x_scale)
        other = panel.collapse[diagram.x if flip else diagram.y].to_numpy(dtype=np.float64)
        at = panel.collapse[COLLAPSE]
        (hit.T if flip else hit)[np.searchsorted(along, other)] |= _overlap(lines, at, at)
    return hit


def _mark(hit: BoolArray, crossings: pd.DataFrame, values: FloatArray, name: str, lines: FloatArray) -> None:
    """Mark the cells that some crossings or their intervals run through, shape (values, cells of a line)."""
    ends = crossings[["position", "low", "high"]]
    place = np.searchsorted(values, crossings[name].to_numpy(dtype=np.float64))
    np.logical_or.at(hit, place, _overlap(lines, ends.min(axis=1), ends.max(axis=1)))


def _overlap(lines: FloatArray, low: pd.Series[Any], high: pd.Series[Any]) -> BoolArray:
    """Whether each cell between two lines meets each interval, shape (intervals, cells); not NaN ones."""
    start, end = (each.to_numpy(dtype=np.float64)[:, None] for each in (low, high))
    return np.asarray((lines[:-1] <= end) & (lines[1:] >= start))


def roomiest(cells: BoolArray, letters: int) -> tuple[int, int, int] | None:
    """Where in a panel a word fits best: far from other cells, across or else upright.

    Parameters
    ----------
    cells
        The cells that the word may cover, shape (rows, columns) of the panel.
    letters
        Length of the word.

    Returns
    -------
    Row, column and rotation in degrees (0 or 90); None where it does not fit.
    """
    inside = np.pad(cells, 1)
    height, width = cells.shape
    for rotation, count, room, (tall, wide) in (
        (0, width, (1e3, 1 / width), (1.0, 0.25)),
        (90, height, (1 / height, 1e3), (0.25, 1.0)),
    ):
        depth = distance_transform_edt(inside, sampling=(tall / height, wide / width))[1:-1, 1:-1]
        along = distance_transform_edt(inside, sampling=room)[1:-1, 1:-1]
        depth[2 * along - 1 / count < LETTER * letters + MARGIN] = 0
        if depth.max() > 0:
            row, column = np.unravel_index(np.argmax(depth), depth.shape)
            return int(row), int(column), rotation
    return None
