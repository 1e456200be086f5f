"""Figures of diagrams along one axis: the order parameter, and where it passes from phase to phase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from phasediag.analysis.diagram_words import fronts
from phasediag.analysis.labels import named
from phasediag.analysis.phases import PhaseDiagram
from phasediag.figures.look import DEFAULT, Look
from phasediag.figures.style import (
    COLUMN_WIDTH,
    FRONT,
    INK,
    MARKERS,
    UNCONVERGED,
    axes_or_new,
    caveat,
    legend,
    name_axes,
    set_scale,
    shades,
    style,
)


def draw_line(diagram: PhaseDiagram, ax: Axes | None = None, look: Look = DEFAULT) -> Axes:
    """Draw means and standard deviations against x, with each boundary and its 95 % interval.

    An interval that is open goes on to the edge of the Axes.

    Cells without a value are left out, unconverged ones are hollow, and diverged ones are crosses at the
    lower edge. A boundary beside unconverged cells is dashed: there it may be a front of training time.

    Parameters
    ----------
    diagram
        Without y; each facet is a curve.
    ax
        Where to draw; by default a new figure of one column's width.
    """
    own = ax is None
    with style():
        ax = axes_or_new(ax, *(look.size or (COLUMN_WIDTH, 3.4)))
        places = np.unique(diagram.x_scale.places(diagram.cells[diagram.x]))
        set_scale(ax.set_xscale, ax.xaxis, diagram.x_scale, look.seen("x", places))
        if look.y_scale:
            ax.set_yscale(look.y_scale)
        _draw_curves(ax, diagram)
        handles = [*ax.get_legend_handles_labels()[0], *_meanings(diagram)]
        height = legend(
            ax, own, handles, "x-small", caveat(ax, look.caveat(diagram)) if own else "", columns=3
        )
        below, _, beside = look.labels(diagram)
        name_axes(ax, below, beside, look.loses(height) if own else 0.0)
        ax.set_title(look.title)
        look.limit(ax)
    return ax


def _meanings(diagram: PhaseDiagram) -> list[Artist]:
    """What the lines and marks mean that every curve may have; only those that are drawn."""
    handles: list[Artist] = []
    early = fronts(diagram.boundary)
    if (diagram.boundary["position"].notna() & ~early).any():
        handles.append(Line2D([], [], color=INK, linewidth=1, label=f"boundary ({diagram.level:.3g})"))
    if early.any():
        handles.append(Line2D([], [], **FRONT, label=f"boundary, unconverged ({diagram.level:.3g})"))
    if diagram.boundary["low"].notna().any():
        handles.append(Patch(facecolor=INK, alpha=0.2, linewidth=0, label="its 95 % interval"))
    phases = set(diagram.cells["phase"])
    if "unconverged" in phases:
        handles.append(Line2D([], [], color=INK, label="unconverged", **UNCONVERGED))
    if "diverged" in phases:
        handles.append(Line2D([], [], color=INK, marker="x", linestyle="", label="diverged"))
    return handles


def _draw_curves(ax: Axes, diagram: PhaseDiagram) -> None:
    curves = list(_curves(diagram))
    colours = shades(len(curves))
    for number, (name, cells, boundary) in enumerate(curves):
        look = {"color": colours[number], "marker": MARKERS[number % len(MARKERS)], "markersize": 3.5}
        _draw_curve(ax, diagram, cells, name, look)
        for crossing in boundary.dropna(subset="position").to_dict("records"):
            _draw_crossing(ax, crossing, look["color"])
    if diagram.method == "level":
        ax.axhline(diagram.level, color="#808080", linewidth=0.7, linestyle=":")


def _draw_crossing(ax: Axes, crossing: Mapping[Any, Any], colour: Any) -> None:
    """A line, and the band of its interval; an open one goes on to the edge of the Axes."""
    early = not crossing["converged"]
    line = {**(FRONT if early else {"linewidth": 1}), "color": colour}
    ax.axvline(crossing["position"], **line, label="_front" if early else "_boundary")
    if not np.isnan(crossing["low"]):
        limits = ax.get_xlim()
        low, high = np.clip([crossing["low"], crossing["high"]], *limits)
        ax.axvspan(low, high, color=colour, alpha=0.2, linewidth=0, label="_interval")
        ax.set_xlim(limits)


def _curves(diagram: PhaseDiagram) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """The name, cells and boundary of each facet."""
    facets = list(diagram.facets)
    if not facets:
        yield "mean ± sd", diagram.cells, diagram.boundary
        return
    boundaries = dict(iter(diagram.boundary.groupby(facets, dropna=False)))
    for key, cells in diagram.cells.groupby(facets, dropna=False):
        yield ", ".join(map(named, facets, key)), cells, boundaries[key]


def _draw_curve(
    ax: Axes, diagram: PhaseDiagram, cells: pd.DataFrame, name: str, look: dict[str, Any]
) -> None:
    """The means of one facet with their spread; those of categories are not joined."""
    scale = diagram.x_scale
    cells = cells.assign(_at=scale.places(cells[diagram.x])).sort_values("_at")
    known = cells[cells["mean"].notna() & (cells["phase"] != "diverged")]
    ax.errorbar(
        known["_at"], known["mean"], known["std"].fillna(0), elinewidth=0.6, linewidth=0.9, label=name,
        linestyle="-" if scale.ordered else "", **look,
    )  # fmt: skip
    early = known[known["phase"] == "unconverged"]
    ax.plot(early["_at"], early["mean"], linestyle="", **{**look, "markerfacecolor": "white"}, zorder=5)
    lost = cells.loc[cells["phase"] == "diverged", "_at"]
    ax.plot(lost, np.full(len(lost), 0.02), "x", transform=ax.get_xaxis_transform(), color=look["color"])
