"""Finite-size scaling: the curves of several widths, scaled so that they lie on top of each other."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.finite_size import SizeCollapse
from phasediag.analysis.labels import label, prose
from phasediag.analysis.scale import Scale
from phasediag.figures.style import (
    DASHES,
    MARKERS,
    axes_or_new,
    legend,
    name_axes,
    set_scale,
    shades,
    style,
)


def draw(collapse: SizeCollapse, ax: Axes | None = None) -> Axes:
    """Draw one scaled curve a size, with standard errors; where the scaling holds, all lie on one.

    Parameters
    ----------
    collapse
        Of the form `power` it is drawn on logarithmic axes.
    ax
        Where to draw; by default a new figure of one column's width.
    """
    own = ax is None
    points = collapse.points.sort_values("scaled_x")
    sizes = np.unique(points[collapse.size])
    with style():
        ax = axes_or_new(ax, height=3.0)
        if collapse.form == "power":
            for setter, axis, name in (
                (ax.set_xscale, ax.xaxis, "scaled_x"), (ax.set_yscale, ax.yaxis, "scaled_y")
            ):  # fmt: skip
                set_scale(setter, axis, Scale(kind="log"), np.sort(points[name].to_numpy(dtype=np.float64)))
        for number, (size, colour) in enumerate(zip(sizes, shades(len(sizes)), strict=True)):
            curve = points[points[collapse.size] == size]
            ax.errorbar(curve["scaled_x"], curve["scaled_y"], yerr=curve["scaled_error"], color=colour,
                        linewidth=0.8, elinewidth=0.6, marker=MARKERS[number % len(MARKERS)],
                        linestyle=DASHES[number % len(DASHES)], markersize=3.5,
                        label=f"{prose(collapse.size)} {size:g}")  # fmt: skip
        name_axes(ax, *_names(collapse))
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax


def _names(collapse: SizeCollapse) -> tuple[str, str]:
    """What the axes say: the columns, and the powers of the size L by which they are scaled."""
    value = collapse.parameters["value"]
    along, up = value["x_exponent"], -value["y_exponent"]
    x = label(collapse.x)
    if collapse.form == "critical":
        x = f"({x} - {value['critical']:.3g})"
    return f"{x} × {_power_of_size(along)}", f"{label(collapse.y)} × {_power_of_size(up)}"


def _power_of_size(exponent: float) -> str:
    return f"L^{exponent:.2f}".replace("-", "\N{MINUS SIGN}")
