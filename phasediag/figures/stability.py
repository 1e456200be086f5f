"""The stability of symmetric states as a line over a phase diagram."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasediag.analysis.phases import PhaseDiagram
from phasediag.arrays import FloatArray
from phasediag.figures.diagram import draw_curve

NAME: Final = "symmetric state marginal (escape)"
COLOUR: Final = "#2a78d6"


def draw_stability(drawing: Axes | Figure, diagram: PhaseDiagram, stable: PhaseDiagram) -> None:
    """Lay the boundary of stability over the panels of a diagram of the same plane.

    Parameters
    ----------
    drawing
        Of the diagram: Axes, or a Figure with one panel a facet.
    stable
        As `phasediag.analysis.stability.stability` gives it.
    """
    facets = list(diagram.facets)
    boundary = stable.boundary.dropna(subset="position")
    if isinstance(drawing, Axes):
        panels: list[tuple[Axes, pd.DataFrame]] = [] if facets else [(drawing, boundary)]
    else:
        keys = diagram.cells[facets].drop_duplicates().sort_values(facets)
        parts = [boundary.merge(keys.iloc[[row]], on=facets) for row in range(len(keys))]
        panels = list(zip(drawing.axes, parts, strict=False))
    for ax, part in panels:
        if not diagram.y:
            for position in part["position"]:
                ax.axvline(position, color=COLOUR, linestyle="--", linewidth=1, label=NAME)
        elif len(part):
            draw_curve(ax, _curve(part, diagram.y), "y", NAME, COLOUR)


def _curve(part: pd.DataFrame, y: str) -> Any:
    """The position as a function of y, on the branch of most rows; NaN beyond the rows."""
    rows = part[part["branch"] == part["branch"].min()].sort_values(y)

    def at(values: FloatArray) -> FloatArray:
        position: FloatArray = np.interp(values, rows[y], rows["position"], left=np.nan, right=np.nan)
        return position

    return at
