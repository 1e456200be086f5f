"""The share of pairs of cells that a boundary parts, against their distance."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.roughness import Roughness
from phasediag.analysis.scale import Scale
from phasediag.figures.style import INK, axes_or_new, legend, name_axes, set_scale, style


def draw(roughness: Roughness, ax: Axes | None = None) -> Axes:
    """Draw the shares with the fitted power, and that of a smooth line, on logarithmic axes.

    Parameters
    ----------
    roughness
        What was counted.
    ax
        Where to draw; by default a new figure of one column's width.
    """
    own = ax is None
    distances, shares = (roughness.pairs[name].to_numpy(np.float64) for name in ("distance", "share"))
    with style():
        ax = axes_or_new(ax, height=2.6)
        for setter, axis, values in ((ax.set_xscale, ax.xaxis, distances), (ax.set_yscale, ax.yaxis, shares)):
            set_scale(setter, axis, Scale(kind="log"), np.sort(values))
        ax.plot(distances, shares, "o", color=INK, markersize=3.5, label="pairs of cells")
        at, share = np.exp(np.log(distances).mean()), np.exp(np.log(shares).mean())
        ends = np.array([distances[0], distances[-1]])
        for dimension, dashes, name in (
            (roughness.dimension, "-", f"dimension {roughness.dimension:.2f}"),
            (1.0, ":", "a smooth line"),
        ):
            curve = share * (ends / at) ** (2 - dimension)
            ax.plot(ends, curve, linestyle=dashes, color=INK, linewidth=0.8, label=name)
        name_axes(ax, "distance (cells)", "share of pairs in different phases")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax
