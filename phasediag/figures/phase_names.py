"""The names of phases, written where they have room."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from scipy.ndimage import binary_erosion

from phasediag.analysis.phases import PhaseDiagram
from phasediag.arrays import FloatArray, IntArray
from phasediag.figures.mesh import Panel, crossed, edges, roomiest
from phasediag.figures.style import halo

_PLACES: Final = 60
"""Places of a panel that is seen in other proportions than it was run in, along each axis."""
_LETTER: Final = 2
"""Half of the height of a letter, in these places."""


def name_regions(ax: Axes, diagram: PhaseDiagram, panel: Panel, *, as_run: bool) -> None:
    """Write the name of each phase where it is farthest from all others; not where it does not fit.

    A name keeps off the lines where it can.

    Parameters
    ----------
    ax
        With their scales and limits.
    as_run
        Whether all cells are seen and equally large; else room is looked for in what is seen.
    """
    free = ~crossed(panel, diagram)
    columns, rows, x, y = np.arange(len(panel.x)), np.arange(len(panel.y)), panel.x, panel.y
    if not as_run:
        columns, x = _seen(ax.xaxis, ax.get_xlim(), edges(panel.x, diagram.x_scale))
        rows, y = _seen(ax.yaxis, ax.get_ylim(), edges(panel.y, diagram.y_scale))
    inside: npt.NDArray[np.bool_] = (columns >= 0) & (rows >= 0)[:, None]
    for name in (*diagram.phases, "diverged"):
        cells = (panel.phase == name)[np.ix_(rows, columns)] & inside
        if not as_run:
            cells = binary_erosion(cells, iterations=_LETTER)
        place = roomiest(cells & free[np.ix_(rows, columns)], len(name)) or roomiest(cells, len(name))
        if place is None:
            continue
        row, column, rotation = place
        text = ax.text(
            x[column], y[row], name, ha="center", va="center", fontsize="small", color="#202020",
            rotation=rotation, path_effects=halo(2.2), clip_on=True,
        )  # fmt: skip
        text.set_in_layout(False)


def _seen(axis: Axis, limits: tuple[float, float], lines: FloatArray) -> tuple[IntArray, FloatArray]:
    """Places that are evenly spaced on paper: the cell of each, -1 beyond all of them, and its position."""
    transform = axis.get_transform()
    low, high = transform.transform(np.array(limits, dtype=np.float64))
    shares = (np.arange(_PLACES) + 0.5) / _PLACES
    at = np.asarray(transform.inverted().transform(float(low) + shares * float(high - low)))
    cell = np.searchsorted(lines, at, side="right") - 1
    return np.where(cell < len(lines) - 1, cell, -1), at
