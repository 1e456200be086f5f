"""Counts against the combined strength: where they follow it, all cells lie on one curve."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.labels import label, named
from phasediag.analysis.scale import Scale
from phasediag.analysis.strength import StrengthFit
from phasediag.figures.style import INK, MARKERS, axes_or_new, legend, name_axes, set_scale, shades, style


def draw(fit: StrengthFit, ax: Axes | None = None) -> Axes:
    """Draw the mean count of every cell against its strength, on logarithmic axes, and the monotone curve.

    Each label noise has a colour and a marker; means of zero are left out.
    """
    own = ax is None
    points = fit.points[fit.points["mean"] > 0].sort_values("strength")
    noises = np.unique(points["label_noise"])
    with style():
        ax = axes_or_new(ax)
        for setter, axis, name in ((ax.set_xscale, ax.xaxis, "strength"), (ax.set_yscale, ax.yaxis, "mean")):
            set_scale(setter, axis, Scale(kind="log"), np.sort(points[name].to_numpy(dtype=np.float64)))
        for number, (noise, colour) in enumerate(zip(noises, shades(len(noises)), strict=True)):
            some = points[points["label_noise"] == noise]
            marker, text = MARKERS[number % len(MARKERS)], named("label_noise", float(noise))
            ax.plot(some["strength"], some["mean"], marker, color=colour, markersize=3.5, label=text)
        ax.plot(points["strength"], points["fit"], color=INK, linewidth=1.1, label="monotone curve")
        name_axes(ax, "combined strength γ + T Var", label(fit.y))
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax
