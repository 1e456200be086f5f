"""The boundary against the length of training, and where it goes."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from phasediag.analysis.labels import label, shown
from phasediag.analysis.limit import EXTRAPOLATED, BoundaryLimit, courses
from phasediag.analysis.scale import Scale
from phasediag.figures.style import MARKERS, axes_or_new, legend, name_axes, set_scale, shades, style

MOST_ROWS: Final = 6
"""More rows than this are told apart by nobody; some, evenly chosen, are drawn."""
_BEYOND: Final = 4.0
"""How far beyond the longest length, as a factor, the figure goes."""


def draw(limit: BoundaryLimit, ax: Axes | None = None) -> Axes:
    """Draw the boundary of each row against the length, on a logarithmic axis, with its 95 % intervals.

    The lines are the fitted b + c t^-p; beyond the longest length a band is the interval of the limit b. A
    row of which the limit cannot be told has points alone.
    """
    own = ax is None
    every = list(courses(limit))
    chosen = [every[at] for at in np.unique(np.linspace(0, len(every) - 1, MOST_ROWS).round().astype(int))]
    lengths = limit.lengths
    end = _BEYOND * lengths[-1]
    with style():
        ax = axes_or_new(ax)
        handles = []
        for (keys, rows, row), colour, marker in zip(chosen, shades(len(chosen)), MARKERS, strict=False):
            name = ", ".join(f"{label(key)} = {shown(value)}" for key, value in keys.items())
            there = rows[rows["position"].notna() & rows["trained"]]
            at, position = there["length"].to_numpy(float), there["position"].to_numpy(float)
            ends = there[["low", "high"]].to_numpy(float).T
            reach = np.where(np.isfinite(ends), np.abs(ends - position), 0.0)
            ax.errorbar(
                at, position, reach, color=colour, marker=marker, markersize=3.5, elinewidth=0.7, linestyle=""
            )
            if row["verdict"] == EXTRAPOLATED:
                times = np.geomspace(lengths[0], end, 200)
                course = row["limit"] + row["amplitude"] * (times / row["longest"]) ** -row["exponent"]
                ax.plot(times, course, "-", color=colour, linewidth=0.9)
                beyond = [lengths[-1], end]
                ax.fill_between(beyond, row["low"], row["high"], color=colour, alpha=0.25, linewidth=0)
                ax.plot(beyond, [row["limit"]] * 2, "--", color=colour, linewidth=0.7)
            handles.append(Line2D([], [], color=colour, marker=marker, markersize=3.5, label=name))
        set_scale(ax.set_xscale, ax.xaxis, Scale(kind="log"), np.array([*lengths, end]))
        ax.set_xlim(lengths[0] / 1.3, end)
        name_axes(ax, limit.time.replace("_", " "), f"boundary in {label(limit.x)}")
        legend(ax, own, handles if limit.keys else [], "x-small")
    return ax
