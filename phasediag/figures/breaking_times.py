"""Times of breaking: against the distance from the transition, or as shares that have not broken yet."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from phasediag.analysis.breaking_times import BreakingTimes
from phasediag.analysis.labels import label, prose
from phasediag.figures.style import MARKERS, axes_or_new, caveat, legend, name_axes, shades, style

MOST_CURVES: Final = 6
"""More cells than this are drawn by some that lie evenly among them."""


def draw(times: BreakingTimes, ax: Axes | None = None) -> Axes:
    """Draw medians with intervals and the fitted power of |x - critical|; without one, shares in time."""
    own = ax is None
    with style():
        ax = axes_or_new(ax, height=3.4)
        (_draw_scaling if len(times.scaling) else _draw_shares)(ax, times)
        handles = ax.get_legend_handles_labels()[0]
        legend(ax, own, handles, "x-small", caveat(ax, "; ".join(times.warnings)) if own else "", columns=2)
    return ax


def _draw_scaling(ax: Axes, times: BreakingTimes) -> None:
    assert times.x is not None
    assert times.critical is not None
    groups = [name for name in times.cells if name != times.x] + ["generator"]
    parts = list(times.distribution.groupby(groups, dropna=False))
    exponents = times.scaling[times.scaling["quantity"] == "time"].set_index("generator")["exponent"]
    shown = parts if len(parts) <= MOST_CURVES else [parts[i] for i in _evenly(len(parts))]
    for number, (colour, (key, part)) in enumerate(zip(shades(len(shown)), shown, strict=True)):
        known = part[np.isfinite(part["median"])]
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
            ax.plot(at, middle * at**-exponent, color=colour, linewidth=0.8, label=f"power {-exponent:.3f}")
    ax.set(xscale="log", yscale="log")
    name_axes(ax, f"|{prose(times.x)} - {times.critical:g}|", f"time of breaking ({times.unit})")


def _draw_shares(ax: Axes, times: BreakingTimes) -> None:
    parts = list(times.times.groupby([*times.cells, "generator"], dropna=False))
    shown = parts if len(parts) <= MOST_CURVES else [parts[i] for i in _evenly(len(parts))]
    for colour, (_, part) in zip(shades(len(shown)), shown, strict=True):
        at, left = _survival(part)
        first = part.iloc[0]
        name = ", ".join(filter(None, [times.cell_name(first), f"generator {first['generator']}"]))
        ax.step(at, left, where="post", color=colour, linewidth=1, label=name)
        last = part.loc[~part["broken"], "time"]
        ax.plot(last, np.interp(last, at, left), "|", color=colour, markersize=6)
    ax.set_ylim(-0.02, 1.05)
    name_axes(ax, f"time ({times.unit})", f"share not yet broken, {label(times.observable)}")


def _survival(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The estimate of Kaplan and Meier: times, and the share not yet broken from each on."""
    ordered = part.sort_values("time")
    broken = ordered["broken"].to_numpy()
    at_risk = np.arange(len(ordered), 0, -1)
    left = np.cumprod(1 - broken / at_risk)
    return np.concatenate([[0], ordered["time"]]), np.concatenate([[1], left])


def _evenly(count: int) -> list[int]:
    return [round(place) for place in np.linspace(0, count - 1, MOST_CURVES).tolist()]
