"""Distributions of an order parameter: P(m), the free energy, the Binder cumulant and the susceptibility."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.distributions import Distributions
from phasediag.analysis.labels import label, prose
from phasediag.analysis.scale import Scale
from phasediag.errors import AnalysisError
from phasediag.figures.style import DASHES, MARKERS, Axes, Figure, legend, set_scale, shades, style

_CURVES: Final = 5
"""Most values of x whose distributions are drawn."""


def draw(result: Distributions, ax: Axes | None = None) -> Figure:
    """Four panels: P(m) and -log P(m) of the largest size, U and chi of all sizes, with 95 % intervals.

    The line and the band of the cumulants are the crossing of the two largest sizes.

    Raises
    ------
    AnalysisError
        Where one Axes is given.
    """
    if ax is not None:
        raise AnalysisError("distributions take several panels; they cannot be drawn on one Axes")
    with style():
        figure = Figure(figsize=(6.8, 5.0), layout="constrained")
        (density, energy), (binder, susceptibility) = figure.subplots(2, 2)
        _densities(result, density, energy)
        for panel, name, words in (
            (binder, "binder", "Binder cumulant"), (susceptibility, "susceptibility", "susceptibility")
        ):  # fmt: skip
            _curves(result, panel, name)
            panel.set(xlabel=label(result.x), ylabel=words)
        for row in result.crossings.dropna(subset=["position"]).tail(1).itertuples(index=False):
            ends = np.clip([row.low, row.high], *binder.get_xlim())
            binder.axvspan(*ends, color="0.88", zorder=0, linewidth=0)
            binder.axvline(row.position, color="0.4", linewidth=0.6, zorder=1)
        handles = [handle for panel in (density, binder) for handle in panel.get_legend_handles_labels()[0]]
        legend(density, True, handles, "x-small", columns=3)
    return figure


def _densities(result: Distributions, density: Axes, energy: Axes) -> None:
    """P(m) and -log P(m) of some values of x, at the largest size."""
    table = result.densities
    if result.size is not None:
        table = table[table[result.size] == table[result.size].max()]
    values = np.unique(table[result.x])
    chosen = values[np.unique(np.linspace(0, len(values) - 1, min(_CURVES, len(values))).round().astype(int))]
    for number, (value, colour) in enumerate(zip(chosen, shades(len(chosen)), strict=True)):
        rows = table[table[result.x] == value]
        middle = (rows["from"] + rows["to"]) / 2
        marks = {"color": colour, "linestyle": DASHES[number % len(DASHES)], "linewidth": 0.9}
        density.plot(middle, rows["density"], label=f"{prose(result.x)} {value:.3g}", **marks)
        density.fill_between(
            middle, rows["density_low"], rows["density_high"], color=colour, alpha=0.15, linewidth=0
        )
        known = rows["free_energy"].notna()  # the curve is broken where a bin is empty
        ends = [rows[f"free_energy_{end}"].where(known) for end in ("low", "high")]
        energy.plot(middle, rows["free_energy"], marker=".", markersize=2.5, **marks)
        energy.fill_between(middle, *ends, color=colour, alpha=0.15, linewidth=0)
    at = "" if result.size is None else f" ({prose(result.size)} {table[result.size].max():g})"
    density.set(xlabel=label(result.order), ylabel=f"density{at}")
    energy.set(xlabel=label(result.order), ylabel=f"free energy −log P{at}")


def _curves(result: Distributions, panel: Axes, name: str) -> None:
    """One curve a size against x, with its interval."""
    table = result.moments
    sizes = [None] if result.size is None else list(np.unique(table[result.size]))
    for number, (size, colour) in enumerate(zip(sizes, shades(len(sizes)), strict=True)):
        rows = table if size is None else table[table[result.size] == size]
        rows = rows.sort_values(result.x)
        ends = [rows[name] - rows[f"{name}_low"], rows[f"{name}_high"] - rows[name]]
        panel.errorbar(
            rows[result.x], rows[name], yerr=np.nan_to_num(np.maximum(pd.DataFrame(ends).to_numpy(), 0)),
            color=colour, marker=MARKERS[number % len(MARKERS)], linestyle=DASHES[number % len(DASHES)],
            markersize=3, linewidth=0.8, elinewidth=0.6,
            label=None if size is None else f"{prose(str(result.size))} {size:g}",
        )  # fmt: skip
    values = np.unique(table[result.x].to_numpy(dtype=np.float64))
    if len(values) > 1:
        set_scale(panel.set_xscale, panel.xaxis, Scale.of(values), values)
