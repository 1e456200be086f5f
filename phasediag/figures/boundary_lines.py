"""The boundary over the cells of a diagram: a line for each branch, with the band of its interval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from phasediag.analysis.diagram_words import fronts
from phasediag.analysis.phases import PhaseDiagram
from phasediag.arrays import FloatArray
from phasediag.figures.mesh import Panel, alone
from phasediag.figures.style import FRONT, INK, UNCONVERGED, halo

BAND: Final[dict[str, Any]] = {"facecolor": (1, 1, 1, 0.88), "edgecolor": INK, "linewidth": 0.5}
OPEN: Final[dict[str, Any]] = {
    "color": INK, "linestyle": "", "markersize": 3.5, "markerfacecolor": "white", "markeredgewidth": 0.7,
}  # fmt: skip
"""Where an interval goes on beyond the grid."""
_STROKE: Final[dict[str, Any]] = {"color": INK, "linewidth": 1.6}
_HALF: Final = 0.42
"""Half of the length of the stroke of a category, whose cells are 1 wide."""


def draw_boundary(
    ax: Axes, diagram: PhaseDiagram, panel: Panel, x_span: tuple[float, float], y_span: tuple[float, float]
) -> None:
    """Draw each branch of one facet, along y and where it runs along x.

    Of categories each has its own crossing, as wide as its cells: nothing joins it to that of the next.

    Parameters
    ----------
    x_span, y_span
        What the Axes show: an open interval is drawn to its end.
    """
    draw = _draw_line if diagram.y_scale.ordered else _draw_points
    for line in _lines(panel.boundary, diagram.y, panel.y):
        draw(ax, line, diagram.y, x_span, flip=False)
    draw = _draw_line if diagram.x_scale.ordered else _draw_points
    for line in _lines(panel.across, diagram.x, panel.x) if panel.across is not None else ():
        draw(ax, line, diagram.x, y_span, flip=True)


def _lines(crossings: pd.DataFrame, name: str, values: FloatArray) -> Iterator[pd.DataFrame]:
    """Each branch by the values of the other axis in order, without a position where it has none."""
    every = np.unique(crossings[name]) if len(crossings) else values
    for _, branch in crossings.dropna(subset="position").groupby("branch"):
        yield branch.set_index(name).reindex(every).rename_axis(name).reset_index()


def _draw_points(ax: Axes, line: pd.DataFrame, name: str, span: tuple[float, float], *, flip: bool) -> None:
    """A stroke for each category where its cells are crossed, with the interval as a bar in its middle."""
    there = line.dropna(subset="position")
    other, position, low, high = (
        there[column].to_numpy(dtype=np.float64) for column in (name, "position", "low", "high")
    )
    early = fronts(there)
    stroke, bar = (ax.hlines, ax.vlines) if flip else (ax.vlines, ax.hlines)
    for chosen, look, words in ((~early, _STROKE, "_boundary"), (early, FRONT, "_front")):
        if chosen.any():
            lines = stroke(position[chosen], other[chosen] - _HALF, other[chosen] + _HALF, label=words)
            lines.set(**look, path_effects=halo())
    known = ~np.isnan(low)
    if known.any():
        ends = bar(other[known], *np.clip([low[known], high[known]], *span), label="_interval")
        ends.set(color=INK, linewidth=0.8, path_effects=halo())
    for side, edge, marker in ((low, span[0], "v" if flip else "<"), (high, span[1], "^" if flip else ">")):
        beyond = other[np.isinf(side)]
        if len(beyond):
            at = np.full(len(beyond), edge)
            ax.plot(*((beyond, at) if flip else (at, beyond)), **OPEN, marker=marker, clip_on=False,
                    label="_open")  # fmt: skip


def _draw_line(ax: Axes, line: pd.DataFrame, name: str, span: tuple[float, float], *, flip: bool) -> None:
    other, position, low, high = (
        line[column].to_numpy(dtype=np.float64) for column in (name, "position", "low", "high")
    )

    def points(place: FloatArray, at: FloatArray) -> tuple[FloatArray, FloatArray]:
        return (at, place) if flip else (place, at)

    early = fronts(line)
    beside = early | np.append(early[1:], False) | np.append(False, early[:-1])
    if early.any():
        ax.plot(*points(np.where(beside, position, np.nan), other), **FRONT, path_effects=halo(),
                label="_front")  # fmt: skip
        ax.plot(*points(position[early], other[early]), **{**UNCONVERGED, "markersize": 2.8}, color=INK,
                label="_early")  # fmt: skip
    settled = np.where(early, np.nan, position)
    start, end = np.clip(low, *span), np.clip(high, *span)
    (ax.fill_between if flip else ax.fill_betweenx)(other, start, end, **BAND, label="_interval")
    single = alone(~np.isnan(low))
    ends = (ax.vlines if flip else ax.hlines)(other[single], start[single], end[single])
    ends.set(color=INK, linewidth=0.8, path_effects=halo())
    for side, edge, marker in ((low, span[0], "v" if flip else "<"), (high, span[1], "^" if flip else ">")):
        beyond = other[np.isinf(side)]
        if len(beyond):
            ax.plot(*points(np.full(len(beyond), edge), beyond), **OPEN, marker=marker, clip_on=False,
                    label="_open")  # fmt: skip
    if not early.all():
        ax.plot(*points(settled, other), color=INK, linewidth=1.3, path_effects=halo(), label="_boundary",
                marker="o" if alone(~np.isnan(settled)).any() else "", markersize=2.5)  # fmt: skip
