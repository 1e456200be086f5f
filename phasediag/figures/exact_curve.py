"""The phase diagram with the boundary that theory gives, where `phasediag.exact` knows it."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasediag.analysis.exact_boundary import exact_result, known_boundary
from phasediag.analysis.phases import PhaseDiagram
from phasediag.figures.diagram import draw_curve


def draw_with_exact(diagram: PhaseDiagram, trials: pd.DataFrame, **look: Any) -> Axes | Figure:
    """Draw a diagram as `PhaseDiagram.plot` does, and the exact boundary in each panel where it is known.

    Parameters
    ----------
    diagram
        With or without facets.
    trials
        Those that the diagram was made of; their parameters tell which exact result applies.
    look
        Options of the figure: `phasediag.figures.look.Look`.

    Returns
    -------
    Axes, or a Figure with one panel a facet.
    """
    drawing: Axes | Figure = diagram.plot(**look)
    if exact_result(diagram) is None:
        return drawing
    facets = list(diagram.facets)
    if isinstance(drawing, Axes):
        panels = [] if facets else [(drawing, trials)]
    else:
        keys = diagram.cells[facets].drop_duplicates().sort_values(facets)
        parts = [trials.merge(keys.iloc[[row]], on=facets) for row in range(len(keys))]
        panels = list(zip(drawing.axes, parts, strict=False))
    for ax, part in panels:
        known = known_boundary(part, diagram)
        if known is None:
            continue
        for curve in (known.curve, known.again):
            if curve is not None:
                draw_curve(ax, curve, known.along, known.name)
    return drawing
