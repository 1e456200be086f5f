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


def draw_boundary(
    ax: Axes, diagram: PhaseDiagram, panel: Panel, x_span: tuple[float, float], y_span: tuple[float, float]
) -> None:
    """Draw each branch of one facet, along y and where it runs along x.

    Parameters
    ----------
    x_span, y_span
        What the Axes show: an open interval is drawn to its end.
    """
    for line in _lines(panel.boundary, diagram.y, panel.y):
        _draw_line(ax, line, diagram.y, x_span, flip=False)
    if panel.across is not None:
        for line in _lines(panel.across, diagram.x, panel.x):
            _draw_line(ax, line, diagram.x, y_span, flip=True)


def _lines(crossings: pd.DataFrame, name: str, values: FloatArray) -> Iterator[pd.DataFrame]:
    """Each branch by the values of the other axis in order, without a position where it has none."""
    every = np.unique(crossings[name]) if len(crossings) else values
    for _, branch in crossings.dropna(subset="position").groupby("branch"):
        yield branch.set_index(name).reindex(every).rename_axis(name).reset_index()


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
