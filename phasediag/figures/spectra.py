"""Spectra of distances: what lies behind a degree of symmetry, and how clear the threshold is."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.labels import label
from phasediag.analysis.scale import Scale
from phasediag.analysis.spectra import Spectra
from phasediag.figures.style import INK, axes_or_new, legend, name_axes, set_scale, style
from phasediag.observables.known import built_in

_MOST_VECTOR_POINTS: Final = 20_000
_DEPTH: Final = 1e-5
"""Share of epsilon below which distances are drawn as one."""


def draw(spectra: Spectra, ax: Axes | None = None) -> Axes:
    """Draw the last distances of every trial against a parameter, and epsilon.

    A gap between the points above and below epsilon means that the counts do not hang on the
    threshold. Distances far below epsilon, and zeros, are drawn at the lower edge.

    Parameters
    ----------
    spectra
        What `phasediag.analysis.spectra.spectra` makes of measurements.
    ax
        Where to draw; by default a new figure of one column's width.
    """
    rows = spectra.rows
    own = ax is None
    with style():
        ax = axes_or_new(ax)
        values = np.unique(rows["at"].to_numpy(dtype=np.float64))
        if len(values) > 1:
            set_scale(ax.set_xscale, ax.xaxis, Scale.of(values), values)
        _draw_points(ax, spectra)
        epsilon = rows.groupby("at")["epsilon"].median()
        ax.plot(epsilon.index, epsilon, color=INK, linestyle="--", linewidth=1.1, label="epsilon (median)")
        what = (
            known.word
            if (known := built_in().get(spectra.observable))
            else spectra.observable.rpartition(":")[2]
        )
        ax.set_yscale("log")
        name_axes(ax, label(spectra.x), f"{what} ({spectra.layer})")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax


def _draw_points(ax: Axes, spectra: Spectra) -> None:
    """Dark points at or above epsilon, light ones below it."""
    distances, at, epsilon = spectra.distances, spectra.repeated("at"), spectra.repeated("epsilon")
    above = distances >= epsilon
    floor = float(max(epsilon.min() * _DEPTH, np.finfo(np.float64).tiny))
    many = len(distances) > _MOST_VECTOR_POINTS
    for chosen, colour, marker, text in (
        (above, "#20304a", "o", "at least epsilon"), (~above, "#e69f00", "x", "below epsilon"),
    ):  # fmt: skip
        if chosen.any():
            ax.plot(at[chosen], np.maximum(distances[chosen], floor), linestyle="", marker=marker,
                    clip_on=False, markersize=2.2, markeredgewidth=0.6, color=colour, alpha=0.6,
                    rasterized=many, label=text)  # fmt: skip
