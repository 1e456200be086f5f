"""Loops of ramps: the order parameter on the way up and on the way down, and where each way changes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from phasediag.analysis.labels import label, named
from phasediag.analysis.loops import Hysteresis
from phasediag.analysis.scale import Scale
from phasediag.figures.style import (
    INK,
    UNCONVERGED,
    axes_or_new,
    caveat,
    legend,
    name_axes,
    set_scale,
    shades,
    style,
)

_WAYS: Final[dict[str, dict[str, Any]]] = {
    "up": {"marker": "^", "linestyle": "-"},
    "down": {"marker": "v", "linestyle": "--"},
}
"""The look of each way: triangles point where it goes."""


def draw(loop: Hysteresis, ax: Axes | None = None) -> Axes:
    """Draw means with their 95 % intervals on both ways, and a band for each end with its interval.

    Points whose stages have not all converged are hollow.
    """
    own = ax is None
    with style():
        ax = axes_or_new(ax, height=3.4)
        values = np.unique(loop.curves[loop.x])
        set_scale(ax.set_xscale, ax.xaxis, Scale.of(values), values)
        facets = list(loop.facets)
        groups = list(loop.curves.groupby(facets, dropna=False)) if facets else [((), loop.curves)]
        colours = shades(len(groups))
        for colour, (key, curves) in zip(colours, groups, strict=True):
            ends = loop.ends
            for name, value in zip(facets, key, strict=True):
                ends = ends[ends[name] == value]
            _draw_loop(ax, loop, curves, ends, colour)
        ax.axhline(loop.level, color="#808080", linewidth=0.7, linestyle=":")
        name_axes(ax, label(loop.x), label(loop.order, loop.about))
        handles = [*_meanings(loop), *_names(loop, groups, colours)]
        caption = "; ".join([*(() if facets else loop.loops["verdict"]), *loop.warnings])
        legend(ax, own, handles, "x-small", caveat(ax, caption) if own else "", columns=3)
    return ax


def _draw_loop(ax: Axes, loop: Hysteresis, curves: pd.DataFrame, edges: pd.DataFrame, colour: Any) -> None:
    for way, look in _WAYS.items():
        points = curves[curves["way"] == way].sort_values(loop.x)
        ends = np.clip(points[["low", "high"]].to_numpy().T, *loop.about.bounds)
        reach = np.nan_to_num(np.abs(ends - points["mean"].to_numpy()))
        ax.errorbar(
            points[loop.x], points["mean"], reach, color=colour, markersize=3, linewidth=0.9, elinewidth=0.6,
            **look,
        )  # fmt: skip
        early = points[points["converged"] < 1]
        hollow = {"color": colour, "linestyle": "", "markersize": 3, "markerfacecolor": "white", "zorder": 5}
        ax.plot(early[loop.x], early["mean"], marker=look["marker"], **hollow)
        for _, end in edges[(edges["way"] == way) & (edges["crossed"] > 0)].iterrows():
            ax.axvline(end["position"], color=colour, linestyle=look["linestyle"], linewidth=0.8)
            left, right = ax.get_xlim()
            ax.axvspan(max(end["low"], left), min(end["high"], right), color=colour, alpha=0.18, linewidth=0)


def _meanings(loop: Hysteresis) -> list[Artist]:
    handles: list[Artist] = [
        Line2D([], [], color=INK, markersize=3.5, label=f"way {way}", **look) for way, look in _WAYS.items()
    ]
    handles.append(Patch(facecolor=INK, alpha=0.18, linewidth=0, label="its end, 95 % and stages"))
    if (loop.curves["converged"] < 1).any():
        handles.append(Line2D([], [], color=INK, label="unconverged", **{**UNCONVERGED, "marker": "^"}))
    return handles


def _names(loop: Hysteresis, groups: list[Any], colours: list[Any]) -> list[Artist]:
    """The values of the facets, and the verdict of each."""
    facets = list(loop.facets)
    if not facets:
        return []
    verdicts = loop.loops.set_index(facets)["verdict"]
    return [
        Line2D([], [], color=colour, label=f"{', '.join(map(named, facets, key))}: {verdict}")
        for colour, (key, _), verdict in zip(colours, groups, verdicts, strict=True)
    ]
