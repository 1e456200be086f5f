"""Numbers of neurons against the strength, of all widths; what is not settled is hollow."""

from __future__ import annotations

from itertools import cycle
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from phasediag.analysis.labels import label, named
from phasediag.analysis.scale import Scale
from phasediag.analysis.settled_counts import ENTERS, SettledCounts
from phasediag.errors import AnalysisError
from phasediag.figures.style import COLUMN_WIDTH, INK, MARKERS, axes_or_new, set_scale, shades, style

TICKS: Final = (0, 1, 3, 10, 30, 100, 300)


def draw(counts: SettledCounts, ax: Axes | None = None) -> Axes | Figure:
    """Draw one panel a question, two a row: settled means with their intervals, others hollow.

    The hollow ones are means over those replicates of a cell that are settled. Cells that enter a fit have a
    ring.
    """
    questions = counts.questions()
    if ax is not None:
        if len(questions) > 1:
            raise AnalysisError(
                f"the counts of {len(questions)} questions take a panel each, more than one Axes; leave ax= "
                "out, or keep one question"
            )
        with style():
            return _panel(counts, questions[0], ax)
    columns = min(2, len(questions))
    rows = -(-len(questions) // columns)
    with style():
        if len(questions) == 1:
            return _panel(counts, questions[0], axes_or_new(None))
        figure = Figure(figsize=(COLUMN_WIDTH * columns, 2.5 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        seen: set[tuple[float, ...]] = set()
        for panel, key in zip(panels, questions, strict=False):
            widths = _widths(_of_question(counts.cells, counts, key), counts)
            _panel(counts, key, panel, named_widths=widths not in seen)
            seen.add(widths)
        for panel in panels[len(questions) :]:
            panel.set_visible(False)
    return figure


def _panel(
    counts: SettledCounts, key: tuple[Any, ...], ax: Axes, *, named_widths: bool = True
) -> Axes:  # fmt: skip
    cells = _of_question(counts.cells, counts, key)
    x = np.unique(cells[counts.x].to_numpy(dtype=np.float64))
    kind = Scale(kind="log") if x[0] > 0 else Scale(kind="linear")
    set_scale(ax.set_xscale, ax.xaxis, kind, x)
    ax.set_yscale("symlog", linthresh=1.0)
    handles = []
    every = _widths(counts.cells, counts)
    looks = zip(every, shades(len(every)), cycle(MARKERS), strict=False)
    for width, colour, marker in looks:  # a width looks alike in all panels
        some = cells[cells[counts.by] == width]
        for settled, fill in ((True, colour), (False, "white")):
            part = some[(some["settled"] == settled) & some["mean"].notna()]
            error = np.abs(part[["low", "high"]].to_numpy().T - part["mean"].to_numpy())
            ax.errorbar(
                part[counts.x], part["mean"], np.nan_to_num(error), fmt=marker, color=colour, markersize=3.5,
                markerfacecolor=fill, linewidth=0.8, markeredgewidth=0.8,
            )  # fmt: skip
        if not len(some):
            continue
        handles.append(
            Line2D([], [], color=colour, marker=marker, linestyle="", label=named(counts.by, width))
        )
    inside = _of_question(counts.limits, counts, key)
    inside = inside[inside["state"] == ENTERS]
    ax.plot(inside[counts.x], inside["mean"], "o", color=INK, markerfacecolor="none", markersize=8,
            markeredgewidth=0.7)  # fmt: skip
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(FixedLocator(TICKS))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel(label(counts.x))
    ax.set_ylabel("neurons")
    title = ", ".join(named(name, value) for name, value in zip(counts.apart, key, strict=True))
    ax.set_title(title, fontsize="small")
    if named_widths:
        ax.legend(handles=handles, fontsize="x-small", frameon=False)
    return ax


def _widths(cells: pd.DataFrame, counts: SettledCounts) -> tuple[float, ...]:
    """The widths of some cells, ascending."""
    return tuple(float(width) for width in np.unique(cells[counts.by]))


def _of_question(rows: pd.DataFrame, counts: SettledCounts, key: tuple[Any, ...]) -> pd.DataFrame:
    """The rows of a table that are of one question."""
    for name, value in zip(counts.apart, key, strict=True):
        rows = rows[rows[name] == value]
    return rows
