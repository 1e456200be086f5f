"""Counts before and after trials were trained for longer."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.extension import Extension
from phasediag.figures.style import INK, axes_or_new, legend, name_axes, shades, style


def draw(extension: Extension, ax: Axes | None = None) -> Axes:
    """Draw the count of each trial when trained for longer against what it was; on the line nothing moved.

    Trials whose count had settled are full, the others hollow.
    """
    own = ax is None
    pairs = extension.pairs
    with style():
        ax = axes_or_new(ax, height=2.8)
        colour = shades(1)[0]
        for stays, fill, name in ((False, "white", "not called settled"), (True, colour, "called settled")):
            some = pairs[pairs["settled"] == stays]
            if len(some):
                ax.plot(
                    some["count before"], some["count after"], "o", color=colour, markerfacecolor=fill,
                    markersize=3.5, label=name,
                )  # fmt: skip
        most = float(np.nanmax(pairs[["count before", "count after"]].to_numpy(), initial=1.0))
        ax.plot([0, most], [0, most], "-", color=INK, linewidth=0.6, zorder=0)
        name_axes(ax, f"{extension.count}", f"{extension.count}, trained longer")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax
