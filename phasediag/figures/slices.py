"""Cuts through a diagram: a column along one parameter, with its intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from phasediag.analysis.labels import label, shown
from phasediag.analysis.scale import Scale
from phasediag.analysis.slices import Slices
from phasediag.figures.style import (
    DASHES,
    INK,
    MARKERS,
    UNCONVERGED,
    axes_or_new,
    legend,
    name_axes,
    set_scale,
    shades,
    style,
)


def draw(slices: Slices, ax: Axes | None = None) -> Axes:
    """Draw means over replicates with Student's 95 % interval, one curve a value of the splitting column.

    Hollow points are means in which most trials have not converged.

    Parameters
    ----------
    slices
        What `phasediag.analysis.slices.slices` makes of trials.
    ax
        Where to draw; by default a new figure of one column's width.
    """
    table, x, by, level = slices.means, slices.x, slices.by, slices.level
    groups = [(None, table)] if by is None else list(table.groupby(by, dropna=False))
    own = ax is None
    with style():
        ax = axes_or_new(ax, height=3.4)
        values = np.unique(table[x].to_numpy(dtype=np.float64))
        if len(values) > 1:
            set_scale(ax.set_xscale, ax.xaxis, Scale.of(values), values)
        if level is not None:
            ax.axhline(level, color="#808080", linewidth=0.8, linestyle=":", label=f"level {level:g}")
        for number, ((value, part), colour) in enumerate(zip(groups, shades(len(groups)), strict=True)):
            text = "mean, 95 % interval" if by is None else shown(value)
            _draw_slice(ax, part, x, number, colour if by is not None else INK, text)
        name_axes(ax, label(x), label(slices.order, slices.declared))
        handles = ax.get_legend_handles_labels()[0]
        if (table["unconverged_share"] > 0.5).any():
            handles.append(Line2D([], [], color=INK, label="unconverged", **UNCONVERGED))
        legend(ax, own, handles, "x-small", label(by) if by else "", columns=4 if by else 2)
    return ax


def _draw_slice(ax: Axes, part: pd.DataFrame, x: str, number: int, colour: object, text: str) -> None:
    at, mean, low, high = (part[name].to_numpy(dtype=np.float64) for name in (x, "mean", "low", "high"))
    look = {"color": colour, "linestyle": DASHES[number % len(DASHES)], "linewidth": 1.1}
    ax.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.plot(at, mean, **look, marker=MARKERS[number % len(MARKERS)], markersize=3.5, label=text)
    early = part["unconverged_share"].to_numpy(dtype=np.float64) > 0.5
    ax.plot(at[early], mean[early], linestyle="", marker=MARKERS[number % len(MARKERS)], markersize=3.5,
            color=colour, markerfacecolor="white", label="_unconverged")  # fmt: skip
