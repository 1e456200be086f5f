"""Figures of diagrams along one axis: the order parameter, and where it passes from phase to phase."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasediag.analysis.labels import label
from phasediag.analysis.phases import PhaseDiagram

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#000000")
_MARKERS = "osD^vP"


def draw_line(diagram: PhaseDiagram, ax: Axes | None = None) -> Axes:
    """Draw means and standard deviations against x, with each boundary and its 95 % interval.

    Cells without a value are left out, unconverged ones are hollow, and diverged ones are crosses at the
    lower edge.

    Parameters
    ----------
    diagram
        Without y; each facet is a curve.
    ax
        Where to draw; by default a new figure of one column's width.
    """
    if ax is None:
        ax = Figure(figsize=(3.5, 3.0), layout="constrained").add_subplot()
    ax.set_xscale(diagram.x_scale.kind, **(
        {"linear_width": diagram.x_scale.width} if diagram.x_scale.kind == "asinh" else {}
    ))  # fmt: skip
    for number, (name, cells, boundary) in enumerate(_curves(diagram)):
        look = {"color": _COLOURS[number % 6], "marker": _MARKERS[number % 6], "markersize": 3.5}
        _draw_curve(ax, diagram.x, cells, name, look)
        position, low, high = (float(boundary[c].iloc[0]) for c in ("position", "low", "high"))
        if not np.isnan(position):
            ax.axvline(position, color=look["color"], linewidth=1, linestyle="--", label="_boundary")
        if not np.isnan(low):
            ax.axvspan(low, high, color=look["color"], alpha=0.2, linewidth=0, label="_interval")
    if diagram.method == "level":
        ax.axhline(diagram.level, color="#808080", linewidth=0.7, linestyle=":")
    ax.set(xlabel=label(diagram.x), ylabel=label(diagram.order))
    ax.legend(loc="best", fontsize="x-small", frameon=False)
    return ax


def _curves(diagram: PhaseDiagram) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """The name, cells and boundary of each facet."""
    facets = list(diagram.facets)
    if not facets:
        yield "mean ± sd", diagram.cells, diagram.boundary
        return
    boundaries = dict(iter(diagram.boundary.groupby(facets, dropna=False)))
    for key, cells in diagram.cells.groupby(facets, dropna=False):
        name = ", ".join(f"{label(f)} {v:g}" if isinstance(v, float) else f"{label(f)} {v}"
                         for f, v in zip(facets, key, strict=True))  # fmt: skip
        yield name, cells, boundaries[key]


def _draw_curve(ax: Axes, x: str, cells: pd.DataFrame, name: str, look: dict[str, Any]) -> None:
    known = cells[cells["mean"].notna() & (cells["phase"] != "diverged")].sort_values(x)
    ax.errorbar(
        known[x], known["mean"], known["std"].fillna(0), elinewidth=0.6, linewidth=0.9, label=name, **look
    )
    early = known[known["phase"] == "unconverged"]
    ax.plot(early[x], early["mean"], linestyle="", **{**look, "markerfacecolor": "white"}, zorder=5)
    lost = cells.loc[cells["phase"] == "diverged", x]
    ax.plot(lost, np.full(len(lost), 0.02), "x", transform=ax.get_xaxis_transform(), color=look["color"])
