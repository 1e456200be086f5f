"""The points of a boundary as they are, and where other choices put them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.systematics import Systematics
from phasediag.figures.style import INK, MARKERS, axes_or_new, legend, name_axes, shades, style


def draw(systematics: Systematics, ax: Axes | None = None) -> Axes:
    """Draw each boundary point under each choice, in the order of the table."""
    own = ax is None
    rows = systematics.rows
    columns = list(rows.columns)
    choices = columns[columns.index("position") + 1 :]
    at = np.arange(len(rows))
    with style():
        ax = axes_or_new(ax, height=2.8)
        ax.plot(rows["position"], at, "o", color=INK, markersize=3.5, label="as stated")
        for number, (name, colour) in enumerate(zip(choices, shades(len(choices)), strict=True)):
            look: dict[str, Any] = {
                "marker": MARKERS[number % len(MARKERS)],
                "markerfacecolor": "none",
                "markersize": 3.5,
            }
            ax.plot(rows[name], at, linestyle="", color=colour, label=name.replace("_", " "), **look)
        name_axes(ax, "position", "rows of the table")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax
