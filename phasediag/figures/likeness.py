"""By how much the heads of two checkpoints differ."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.likeness import ALIKE, QUANTITIES, Likeness
from phasediag.figures.style import MARKERS, axes_or_new, legend, name_axes, shades, style


def draw(likeness: Likeness, ax: Axes | None = None) -> Axes:
    """Draw differences with 95 % intervals, one row a pair, over the band that is called alike."""
    own = ax is None
    rows = likeness.pairs
    names = list(dict.fromkeys(zip(rows["first"], rows["second"], strict=True)))
    with style():
        ax = axes_or_new(ax, width=5.0, height=1.2 + 0.45 * len(names))
        ax.axvspan(-ALIKE, ALIKE, color="0.9", linewidth=0, label="alike")
        for number, (what, colour) in enumerate(zip(QUANTITIES, shades(len(QUANTITIES)), strict=True)):
            part = rows[rows["quantity"] == what]
            at = np.arange(len(names)) + 0.15 * (number - 1.5)
            reach = np.abs(part[["low", "high"]].to_numpy().T - part["difference"].to_numpy())
            ax.errorbar(part["difference"], at, xerr=reach, color=colour, marker=MARKERS[number],
                        linestyle="", markersize=3.5, elinewidth=0.7, label=what)  # fmt: skip
        ax.set_yticks(range(len(names)), [f"{first}\n{second}" for first, second in names], fontsize=6)
        ax.invert_yaxis()
        name_axes(ax, "second less first, over a head's width", "")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small", columns=5)
    return ax
