"""Times of breaking: against the distance from the transition, or as shares that have not broken yet."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from phasediag.analysis.breaking_times import BreakingTimes
from phasediag.analysis.labels import label, prose
from phasediag.analysis.scale import Scale
from phasediag.figures.style import (
    DASHES,
    MARKERS,
    axes_or_new,
    caveat,
    legend,
    name_axes,
    set_scale,
    shades,
    style,
)

MOST_CURVES: Final = len(DASHES)
"""More cells than this are drawn by some that lie evenly among them."""

_Part = tuple[Any, pd.DataFrame]
"""The values of a cell and a generator, and their rows."""


def draw(times: BreakingTimes, ax: Axes | None = None) -> Axes:
    """Draw medians with intervals and the fitted power of |x - critical|; without one, shares in time."""
    own = ax is None
    with style():
        ax = axes_or_new(ax, height=3.4)
        chosen = (_draw_scaling if len(times.scaling) else _draw_shares)(ax, times)
        handles = ax.get_legend_handles_labels()[0]
        said = "; ".join(filter(None, [*times.warnings, chosen]))
        legend(ax, own, handles, "x-small", caveat(ax, said) if own else "", columns=2)
    return ax


def _draw_scaling(ax: Axes, times: BreakingTimes) -> str:
    assert times.x is not None
    assert times.critical is not None
    groups = [name for name in times.cells if name != times.x] + ["generator"]
    parts = list(times.distribution.groupby(groups, dropna=False))
    exponents = times.scaling[times.scaling["quantity"] == "time"].set_index("generator")["exponent"]
    shown, chosen = _some(parts)
    for number, (colour, (key, part)) in enumerate(zip(shades(len(shown)), shown, strict=True)):
        known = part[np.isfinite(part["median"]) & (part[times.x] != times.critical)]
        distance = np.abs(known[times.x] - times.critical)
        order = np.argsort(distance.to_numpy())
        at, median = distance.to_numpy()[order], known["median"].to_numpy()[order]
        ends = known[["low", "high"]].to_numpy()[order].T
        reach = np.where(np.isfinite(ends), np.abs(ends - median), 0)
        name = ", ".join(f"{prose(n)} {v:g}" for n, v in zip(groups, key, strict=True))
        ax.errorbar(at, median, reach, color=colour, marker=MARKERS[number % len(MARKERS)], linestyle="",
                    markersize=3.5, elinewidth=0.7, label=name)  # fmt: skip
        exponent = exponents.get(key[-1], np.nan)
        if np.isfinite(exponent) and len(at) > 1:
            middle = np.exp(np.log(median).mean() + exponent * np.log(at).mean())
            ax.plot(
                at,
                middle * at**-exponent,
                color=colour,
                linewidth=0.8,
                label=f"power −{exponent:.3f}" if exponent >= 0 else f"power {-exponent:.3f}",
            )
    drawn = times.distribution[np.isfinite(times.distribution["median"])]
    distances = np.unique(np.abs(drawn[times.x] - times.critical).to_numpy(dtype=np.float64))
    for setter, axis, values in (
        (ax.set_xscale, ax.xaxis, distances[distances > 0]),
        (ax.set_yscale, ax.yaxis, np.unique(drawn["median"].to_numpy(dtype=np.float64))),
    ):
        set_scale(setter, axis, Scale(kind="log"), values)
    name_axes(ax, f"|{prose(times.x)} − {times.critical:g}|", f"time of breaking ({times.unit})")
    return chosen


def _draw_shares(ax: Axes, times: BreakingTimes) -> str:
    """Those alone that break, where any does; the others would lie on each other at the top."""
    parts = list(times.times.groupby([*times.cells, "generator"], dropna=False))
    parts = [each for each in parts if each[1]["broken"].any()] or parts[:1]
    shown, chosen = _some(parts)
    for colour, dashes, (_, part) in zip(shades(len(shown)), DASHES, shown, strict=False):
        at, left = _survival(part)
        first = part.iloc[0]
        name = ", ".join(filter(None, [times.cell_name(first), f"generator {first['generator']}"]))
        ax.step(at, left, where="post", color=colour, linewidth=1.2, linestyle=dashes, label=name)
        last = part.loc[~part["broken"], "time"]
        ax.plot(last, np.interp(last, at, left), "|", color=colour, markersize=6)
    ax.set_ylim(-0.02, 1.05)
    name_axes(ax, f"time ({times.unit})", f"share not yet broken, {label(times.observable)}")
    return chosen


def _survival(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The estimate of Kaplan and Meier: times, and the share not yet broken from each on."""
    ordered = part.sort_values("time")
    broken = ordered["broken"].to_numpy()
    at_risk = np.arange(len(ordered), 0, -1)
    left = np.cumprod(1 - broken / at_risk)
    return np.concatenate([[0], ordered["time"]]), np.concatenate([[1], left])


def _some(parts: list[_Part]) -> tuple[list[_Part], str]:
    """As many parts as can be told apart, evenly among all, and what is to be said of that."""
    if len(parts) <= MOST_CURVES:
        return parts, ""
    places = np.linspace(0, len(parts) - 1, MOST_CURVES).round().astype(int)
    return [parts[place] for place in places], f"{MOST_CURVES} of {len(parts)} curves"
