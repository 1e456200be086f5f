"""The course of training: loss and degree of symmetry against steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasediag.analysis.history import History
from phasediag.analysis.labels import label
from phasediag.analysis.scale import Scale
from phasediag.errors import AnalysisError
from phasediag.figures.style import (
    COLUMN_WIDTH,
    DASHES,
    INK,
    MARKERS,
    inches,
    legend,
    set_scale,
    shades,
    style,
    wrapped,
)

BROKEN = "#c8102e"
MENDED = "#0072b2"


def draw(history: History, ax: Axes | None = None) -> Figure:
    """Draw the losses above the degree of symmetry of every layer of one trial.

    Lines cross both where a symmetry broke or mended, as in Fig. 2 of the paper; a change lies between
    two recorded steps, and is marked at the later one. Without losses the distances stand above.

    Parameters
    ----------
    history
        What `trial_history` makes of measurements.

    Raises
    ------
    AnalysisError
        Where Axes are given, or there are neither losses nor distances.
    """
    if ax is not None:
        raise AnalysisError("a history takes two panels, which do not fit into one Axes; call plot()")
    rows = history.rows
    with style():
        figure = Figure(figsize=(COLUMN_WIDTH, 4.2), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True)
        _draw_top(top, rows, history.losses)
        _draw_degrees(bottom, rows, history.observable)
        steps = np.unique(rows["step"].to_numpy(dtype=np.float64))
        for panel in (top, bottom):
            if len(steps) > 1:
                set_scale(panel.set_xscale, panel.xaxis, Scale.of(steps), steps)
            _mark(panel, history.breaking, named=panel is top)
            legend(panel, False, panel.get_legend_handles_labels()[0])
        bottom.set_xlabel("training steps")
    return figure


def _draw_top(ax: Axes, rows: pd.DataFrame, losses: pd.DataFrame | None) -> None:
    if losses is None:
        _draw_distances(ax, rows)
        return
    for name, dashes in (("train_loss", "-"), ("test_loss", "--")):
        ax.plot(losses["step"], losses[name], color=INK, linestyle=dashes, linewidth=1.1,
                label=name.replace("_", " "))  # fmt: skip
    ax.set(yscale="log", ylabel="squared error")


def _draw_distances(ax: Axes, rows: pd.DataFrame) -> None:
    """Every distance against the steps, and epsilon; on the first layer."""
    first = rows[rows["layer"] == rows["layer"].iloc[0]]
    known = first[first["distances"].notna()] if "distances" in first else first[:0]
    if known.empty:
        raise AnalysisError(
            "the rows hold no distances and there are no losses; pass losses=, from `phasediag rerun`, or "
            "set `measure: {distances: all}` in the grid"
        )
    lengths = known["distances"].map(len)
    known = known[lengths == lengths.max()]
    ax.plot(known["step"], np.stack(known["distances"].to_list()), color="#606060", linewidth=0.5, alpha=0.6)
    ax.plot([], [], color="#606060", linewidth=0.5, label="distances of neighbours")
    ax.plot(known["step"], known["epsilon"], color=INK, linestyle="--", linewidth=1.1, label="epsilon")
    ax.set(yscale="log", ylabel=f"distance ({first['layer'].iloc[0]})")


def _draw_degrees(ax: Axes, rows: pd.DataFrame, observable: str) -> None:
    layers = list(rows.groupby("layer"))
    for number, ((name, part), colour) in enumerate(zip(layers, shades(len(layers)), strict=True)):
        ax.plot(part["step"], part["degree"], color=colour, linewidth=1.1, drawstyle="steps-post",
                linestyle=DASHES[number % len(DASHES)], label=f"{name} (of {part['max_degree'].max():g})",
                marker=MARKERS[number % len(MARKERS)] if len(part) <= 20 else "", markersize=3)  # fmt: skip
    about = label("degree_of_symmetry") if observable == "permutation" else f"degree ({observable})"
    ax.set(
        ylabel=wrapped(about, inches(ax)[1]),
        ylim=(-0.04 * rows["max_degree"].max(), 1.06 * rows["max_degree"].max()),
    )


def _mark(ax: Axes, changes: pd.DataFrame, named: bool) -> None:
    for lost, colour, dashes, text in ((True, BROKEN, "-", "broken"), (False, MENDED, ":", "mended")):
        steps = changes.loc[(changes["broken"] > 0) == lost, "step"].unique()
        for number, step in enumerate(steps):
            ax.axvline(step, color=colour, linestyle=dashes, linewidth=0.7, alpha=0.7, zorder=0,
                       label=text if named and number == 0 else "_again")  # fmt: skip
