"""A column against the width, one curve a series."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from phasediag.analysis.labels import label, named
from phasediag.analysis.scale import Scale
from phasediag.analysis.width_saturation import WidthSaturation
from phasediag.figures.style import (
    DASHES,
    MARKERS,
    axes_or_new,
    caveat,
    legend,
    name_axes,
    set_scale,
    shades,
    style,
)


def draw(saturation: WidthSaturation, ax: Axes | None = None) -> Axes:
    """Draw means over replicates with 95 % intervals against the width, both logarithmic."""
    own = ax is None
    groups = list(saturation.groups)
    with style():
        ax = axes_or_new(ax, height=3.2)
        verdicts = saturation.series
        for number, (colour, (_, row)) in enumerate(
            zip(shades(len(verdicts)), verdicts.iterrows(), strict=True)
        ):
            same = np.ones(len(saturation.means), dtype=np.bool_)
            for name in groups:
                same &= (saturation.means[name] == row[name]).to_numpy()
            curve = saturation.means[same].sort_values(saturation.by)
            mean = curve["mean"].to_numpy()
            ends = curve[["low", "high"]].to_numpy().T
            reach = np.nan_to_num(np.abs(ends - mean))
            where = ", ".join(named(name, row[name]) for name in groups)
            name = f"{where}: {row['verdict']}" if where else row["verdict"]
            ax.errorbar(curve[saturation.by], mean, reach, color=colour, markersize=3.5, elinewidth=0.7,
                        marker=MARKERS[number % len(MARKERS)], linestyle=DASHES[number % len(DASHES)],
                        linewidth=0.9, label=name)  # fmt: skip
        ax.set_xscale("log")
        heights = np.unique(saturation.means["mean"].to_numpy(dtype=np.float64))
        set_scale(ax.set_yscale, ax.yaxis, Scale(kind="log"), heights[heights > 0])
        widths = np.unique(saturation.means[saturation.by].to_numpy(dtype=np.float64))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticks(widths, [f"{width:g}" for width in widths])
        name_axes(ax, label(saturation.by), label(saturation.y))
        handles = ax.get_legend_handles_labels()[0]
        legend(
            ax, own, handles, "x-small", caveat(ax, "; ".join(saturation.warnings)) if own else "", columns=1
        )
    return ax
