"""Parts of a boundary that no row crosses: where it runs along x, between two rows."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.boundary import Boundary, Rows, SingleValues, find_boundary
from phasediag.analysis.branches import boundary_table, followed
from phasediag.analysis.layout import Layout
from phasediag.analysis.level import crosses
from phasediag.analysis.plane import Plane
from phasediag.arrays import BoolArray, IntArray


def across_table(
    plane: Plane, rows: Rows, boundary: Boundary, samples: SingleValues, settled: BoolArray, level: float,
    resamples: int, seed: int,
) -> pd.DataFrame:  # fmt: skip
    """Find where the level is crossed along y and no line between the crossings of two rows passes.

    The isoline of the means passes every side of the lattice whose ends lie on both sides of the level. The
    sides along x are the crossings of the rows. Those along y lie on the line from a row's crossing to
    that of the next row, but where the isoline runs along x, or ends at a side of the diagram.

    Parameters
    ----------
    plane
        With an axis y.
    rows, boundary
        The cells in rows along x, and all their crossings.
    samples
        By the cells of the diagram.
    settled
        Whether most trials of a cell have converged, shape (cells,).
    level, resamples, seed
        As `find_boundary` takes them.

    Returns
    -------
    As `PhaseDiagram.across` describes it.
    """
    group, scale = plane.group, plane.y_scale
    columns = plane.columns
    along_y = columns.rows(rows.value, rows.replicates)
    one = np.flatnonzero(along_y.linked)
    one = one[crosses(along_y.value[one], along_y.value[one + 1], level)[0]]
    fresh = one[~_passed((columns.order[one], columns.order[one + 1]), plane.rows, rows, boundary)]
    cells = np.flatnonzero(np.isin(along_y.row, along_y.row[fresh]))
    codes, line = np.unique(columns.line[cells], return_inverse=True)
    width = len(group.levels[-1])
    facet, at = np.divmod(codes, width)
    lines = group.decoded(facet, len(group.names) - 2).assign(**{group.names[-1]: group.levels[-1][at]})
    if not len(fresh):
        return boundary_table(lines, facet, _NOTHING, rows, settled, scale)
    part = Rows(
        row=line, coordinate=along_y.coordinate[cells], value=along_y.value[cells],
        replicates=along_y.replicates[cells], linked=(np.diff(line) == 0) & along_y.linked[cells[:-1]],
    )  # fmt: skip
    own = columns.order[cells]
    crossed = find_boundary(part, _of_cells(samples, own, len(settled)), level, resamples, seed)
    new = crossed.taken((crossed.cell >= 0) & np.isin(cells[crossed.cell], fresh))
    return boundary_table(lines, facet, new, part, settled[own], scale)


def _of_cells(samples: SingleValues, cells: IntArray, count: int) -> SingleValues:
    """The samples of some of `count` cells, in their order."""
    number = np.full(count, -1)
    number[cells] = np.arange(len(cells))
    own = np.flatnonzero(number[samples.cell] >= 0)
    return SingleValues(
        cell=number[samples.cell[own]], replicate=samples.replicate[own], value=samples.value[own]
    )


def _passed(sides: tuple[IntArray, IntArray], layout: Layout, rows: Rows, boundary: Boundary) -> BoolArray:
    """Whether a line between crossings of neighbouring rows passes each side from one cell to the other."""
    facet = layout.facet[np.searchsorted(rows.row, boundary.row)]
    branch = followed(facet, boundary, rows)
    order = np.lexsort((boundary.row, branch))
    first, then = order[:-1], order[1:]
    joined = (branch[first] > 0) & (branch[first] == branch[then])
    joined &= (boundary.row[then] == boundary.row[first] + 1) & (facet[first] == facet[then])
    first, then = first[joined], then[joined]
    ends = boundary.position[first], boundary.position[then]
    low, high = np.minimum(*ends), np.maximum(*ends)
    by_row = np.argsort(boundary.row[first], kind="stable")
    low, high, at = low[by_row], high[by_row], boundary.row[first][by_row]
    begin, end = (np.searchsorted(at, rows.row[side], side="left") for side in sides)
    place = rows.coordinate[sides[0]]
    return np.array(
        [
            ((low[a:b] <= u) & (high[a:b] >= u)).any()
            for a, b, u in zip(begin, end, place, strict=True)
        ],
        dtype=bool,
    )  # fmt: skip


_NOTHING: Final = Boundary(
    row=np.zeros(0, dtype=np.int64), position=np.zeros(0), low=np.zeros(0), high=np.zeros(0),
    rising=np.zeros(0, dtype=bool), crossings=np.zeros(0, dtype=np.int64),
    replicates=np.zeros(0, dtype=np.int64), cell=np.zeros(0, dtype=np.int64), support=np.zeros(0),
)  # fmt: skip
"""No crossing at all."""
