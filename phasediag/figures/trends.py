"""A column against others, each varied alone, one panel each."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from phasediag.analysis.labels import label
from phasediag.analysis.scale import Scale
from phasediag.analysis.trends import Trends
from phasediag.errors import AnalysisError
from phasediag.figures.style import COLUMN_WIDTH, INK, Figure, name_axes, set_scale, style


def draw(trends: Trends, ax: Axes | None = None) -> Figure:
    """Draw means over replicates with 95 % intervals, a panel an x; its title is the verdict.

    Raises
    ------
    AnalysisError
        Where Axes are given.
    """
    if ax is not None:
        raise AnalysisError("trends have a panel for each x, and one Axes was given: call plot()")
    count = len(trends.series)
    with style():
        figure = MatplotlibFigure(figsize=(max(0.75 * count, 1) * COLUMN_WIDTH, 2.5), layout="constrained")
        panels = figure.subplots(1, count, squeeze=False)[0]
        for panel, row in zip(panels, trends.series.itertuples(), strict=True):
            own = trends.means[trends.means["x"] == row.x].sort_values("value")
            at, mean = own["value"].to_numpy(), own["mean"].to_numpy()
            reach = np.nan_to_num(np.abs(own[["low", "high"]].to_numpy().T - mean))
            panel.errorbar(
                at, mean, reach, color=INK, marker="o", markersize=3.5, elinewidth=0.7, linewidth=0.9
            )
            if (at > 0).all() and at.max() > 10 * at.min():
                set_scale(panel.set_xscale, panel.xaxis, Scale(kind="log"), np.unique(at.astype(np.float64)))
            name_axes(panel, label(str(row.x)), label(trends.y) if panel is panels[0] else "")
            panel.set_title(
                f"{row.verdict}\n{row.correlation:.2f} [{row.low:.2f}, {row.high:.2f}]", fontsize=7
            )
    return figure
