"""Spectra of distances: what lies behind a degree of symmetry, and how clear the threshold is."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from phasediag.analysis.frame import need_columns, numbers
from phasediag.analysis.labels import label
from phasediag.analysis.scale import Scale
from phasediag.errors import AnalysisError
from phasediag.figures.style import INK, axes_or_new, legend, name_axes, set_scale, style
from phasediag.observables.known import built_in

_MOST_VECTOR_POINTS: Final = 20_000
_DEPTH: Final = 1e-5
"""Share of epsilon below which distances are not told apart."""


def draw_spectra(
    measurements: pd.DataFrame, trials: pd.DataFrame, x: str, observable: str = "permutation",
    layer: str | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw the last distances of every trial against a parameter, and epsilon.

    A gap between the points above and below epsilon means that the counts do not hang on the
    threshold. Distances far below epsilon, and zeros, are drawn at the lower edge.

    Parameters
    ----------
    measurements
        Rows of `load_measurements(..., last=True)`, with distances.
    trials
        The trials of the same sweep: those in it are drawn, so filter it to one point of the other axes.
    x
        A numeric parameter.
    observable, layer
        Whose distances; layer None: the first.
    ax
        Where to draw; by default a new figure of one column's width.

    Raises
    ------
    AnalysisError
        For unknown columns, or where no distances are left.
    """
    need_columns(trials, ("trial_id", x))
    need_columns(measurements, ("trial_id", "layer", "observable", "step", "epsilon", "distances"))
    rows = measurements[measurements["observable"] == observable]
    rows = rows[(rows["layer"] == (layer or rows["layer"].min())) & rows["distances"].notna()]
    rows = rows.sort_values("step", kind="stable").drop_duplicates("trial_id", keep="last")
    rows = rows.merge(pd.DataFrame({"trial_id": trials["trial_id"], "at": numbers(trials, x)}), on="trial_id")
    if rows.empty:
        raise AnalysisError(
            f"no distances of {observable}{f' on {layer}' if layer else ''} are stored for these trials; set "
            "`measure: {distances: last}` in the grid and launch it with --remeasure"
        )
    own = ax is None
    with style():
        ax = axes_or_new(ax)
        values = np.unique(rows["at"].to_numpy(dtype=np.float64))
        if len(values) > 1:
            set_scale(ax.set_xscale, ax.xaxis, Scale.of(values), values)
        _draw_points(ax, rows)
        epsilon = rows.groupby("at")["epsilon"].median()
        ax.plot(epsilon.index, epsilon, color=INK, linestyle="--", linewidth=1.1, label="epsilon (median)")
        what = known.word if (known := built_in().get(observable)) else observable.rpartition(":")[2]
        ax.set_yscale("log")
        name_axes(ax, label(x), f"{what} ({rows['layer'].iloc[0]})")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax


def _draw_points(ax: Axes, rows: pd.DataFrame) -> None:
    """Dark points at or above epsilon, light ones below it."""
    counts = rows["distances"].map(len).to_numpy()
    distances = np.concatenate(rows["distances"].to_list()).astype(np.float64)
    at = np.repeat(rows["at"].to_numpy(dtype=np.float64), counts)
    above = distances >= np.repeat(rows["epsilon"].to_numpy(dtype=np.float64), counts)
    floor = float(max(rows["epsilon"].min() * _DEPTH, np.finfo(np.float64).tiny))
    many = len(distances) > _MOST_VECTOR_POINTS
    for chosen, colour, marker, text in (
        (above, "#20304a", "o", "at least epsilon"), (~above, "#e69f00", "x", "below epsilon"),
    ):  # fmt: skip
        if chosen.any():
            ax.plot(at[chosen], np.maximum(distances[chosen], floor), linestyle="", marker=marker,
                    clip_on=False, markersize=2.2, markeredgewidth=0.6, color=colour, alpha=0.6,
                    rasterized=many, label=text)  # fmt: skip
