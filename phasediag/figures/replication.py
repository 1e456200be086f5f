"""The expected width of an interval against the number of replicates."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.bootstrap import FEWEST_REPLICATES
from phasediag.analysis.labels import label
from phasediag.analysis.replication import Replication
from phasediag.analysis.scale import Scale
from phasediag.figures.style import INK, axes_or_new, legend, name_axes, set_scale, style


def draw(replication: Replication, ax: Axes | None = None) -> Axes:
    """Draw the width of the median row's interval, with the wished one, on logarithmic axes.

    Parameters
    ----------
    replication
        What a pilot tells.
    ax
        Where to draw; by default a new figure of one column's width.
    """
    own = ax is None
    last = max(2 * replication.needed, 4 * FEWEST_REPLICATES)
    counts = np.unique(np.geomspace(FEWEST_REPLICATES, last, 60).round())
    widths = replication.expected(counts)
    with style():
        ax = axes_or_new(ax, height=2.6)
        set_scale(ax.set_xscale, ax.xaxis, Scale(kind="log"), counts)
        set_scale(ax.set_yscale, ax.yaxis, Scale(kind="log"), np.sort([*widths, replication.width]))
        ax.plot(counts, widths, color=INK, linewidth=1.0, label="median row, from the pilot")
        ax.axhline(replication.width, color=INK, linewidth=0.8, linestyle=":", label="wished")
        if replication.needed:
            ax.axvspan(
                replication.fewest, replication.most, color="0.85", zorder=0, label="as the pilot tells"
            )
        ax.set_xlim(counts[0], counts[-1])
        unit = f" ({replication.unit})" if replication.unit else ""
        name_axes(ax, "replicates", f"95 % interval of {label(replication.x)}{unit}")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax
