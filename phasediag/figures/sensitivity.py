"""A result at the threshold of the grid, at half and at twice of it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.sensitivity import FACTORS, Sensitivity
from phasediag.errors import AnalysisError
from phasediag.figures.style import INK, axes_or_new, legend, name_axes, shades, style

_MARKS = {"halved": "v", "doubled": "^"}


def draw(sensitivity: Sensitivity, ax: Axes | None = None) -> Axes:
    """Draw each boundary point, or the exponent, at three thresholds, in the order of the table.

    Raises
    ------
    AnalysisError
        Where nothing is known at another threshold.
    """
    if sensitivity.rows is None:
        raise AnalysisError(f"{sensitivity.text}; there is nothing to draw")
    own = ax is None
    rows = sensitivity.rows
    known = "position" if "position" in rows else "exponent"
    at = np.arange(len(rows))
    with style():
        ax = axes_or_new(ax, height=2.8)
        ax.plot(rows[known], at, "o", color=INK, markersize=3.5, label="epsilon as given")
        for name, colour in zip(FACTORS, shades(len(FACTORS)), strict=True):
            ax.plot(rows[name], at, _MARKS[name], color=colour, markersize=3.5, label=f"epsilon {name}")
        name_axes(ax, known, "rows of the table")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax
