"""How a count scales: means, the power law with its band, and the alternatives."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from phasediag.analysis.fit_words import difference
from phasediag.analysis.labels import label
from phasediag.analysis.laws import REFERENCE, law
from phasediag.analysis.scale import Scale
from phasediag.analysis.scaling import ScalingFit
from phasediag.figures.style import DASHES, INK, axes_or_new, legend, name_axes, set_scale, style

_MEAN: Final = "#404040"
_COLOURS: Final = (0, 3, 2, 4, 1, 9, 5, 8)
"""Colours of the colour-blind-safe palette, in an order whose greys differ; dashes tell them apart too."""


def draw(fit: ScalingFit, ax: Axes | None = None) -> Axes:
    """Draw means and spread, the power law with its band, and the alternatives, on logarithmic axes.

    Means of zero, which a logarithmic axis cannot hold, are triangles at the lower edge.
    """
    own = ax is None
    with style():
        ax = axes_or_new(ax)
        values = fit.points[fit.x].to_numpy(dtype=np.float64)
        set_scale(ax.set_xscale, ax.xaxis, Scale(kind="log"), values)
        means = fit.points["mean"][fit.points["mean"] > 0].to_numpy(dtype=np.float64)
        set_scale(ax.set_yscale, ax.yaxis, Scale(kind="log"), np.sort(means))
        _draw_means(ax, fit.points, fit.x)
        _draw_laws(ax, fit)
        name_axes(ax, label(fit.x), label(fit.y))
        ax.set_ylim(means.min() / 2, means.max() * 2)
        height, side = (0.96, "top") if fit.exponent > 0 else (0.04, "bottom")
        ax.text(0.03, height, _exponent(fit), transform=ax.transAxes, fontsize="small", va=side)
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax


def _draw_laws(ax: Axes, fit: ScalingFit) -> None:
    x = np.geomspace(*fit.window, 200)
    palette = sns.color_palette("colorblind")
    others = 0
    for model in fit.models:
        curve = law(model["name"]).curve(x, np.array(list(model["parameters"].values())))
        if not np.isfinite(curve).all():
            continue
        behind = "" if model["behind"] == 0 else f", behind by {difference(model)}"
        if model["name"] == REFERENCE.name:
            ax.plot(x, curve, color=INK, linewidth=1.6, zorder=3, label=f"{REFERENCE.name}{behind}")
            continue
        ax.plot(x, curve, color=palette[_COLOURS[others % len(_COLOURS)]], linewidth=1,
                linestyle=DASHES[1 + others % (len(DASHES) - 1)],
                label=f"{model['name']}{behind}")  # fmt: skip
        others += 1
    band = fit.points[fit.points["low"].notna()]
    if len(band):
        ax.fill_between(band[fit.x], band["low"], band["high"], color=INK, alpha=0.18, linewidth=0)


def _exponent(fit: ScalingFit) -> str:
    bounds = "" if np.isnan(fit.low) else f" [{fit.low:.2f}, {fit.high:.2f}]"
    return f"exponent {fit.exponent:.2f}{bounds}".replace("-", "\N{MINUS SIGN}")


def _draw_means(ax: Axes, points: pd.DataFrame, name: str) -> None:
    """Points with their spread: filled inside the window of the fit, hollow outside."""
    for inside, face in ((True, _MEAN), (False, "white")):
        chosen = points[(points["inside"] == inside) & (points["mean"] > 0)]
        if len(chosen):
            x, mean, std = (chosen[c].to_numpy(dtype=np.float64) for c in (name, "mean", "std"))
            spread = np.nan_to_num([np.minimum(std, 0.9 * mean), std])
            ax.errorbar(x, mean, yerr=spread, fmt="o", markersize=3.5, color=_MEAN,
                        elinewidth=0.7, markerfacecolor=face,
                        label="mean ± sd" if inside else "outside the window")  # fmt: skip
    zero = points[points["mean"] == 0]
    if len(zero):
        ax.plot(zero[name], np.full(len(zero), 0.02), marker="v", linestyle="", markersize=4, color=_MEAN,
                transform=ax.get_xaxis_transform(), label="mean 0", clip_on=False)  # fmt: skip
