"""Exponents of the number of neurons against the dimension of a neuron, beside the bound of Theorem 4."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.count_exponents import HALVES, CountExponents
from phasediag.figures.style import INK, MARKERS, axes_or_new, legend, shades, style
from phasediag.theory.counting import bound_exponent


def draw(fit: CountExponents, ax: Axes | None = None) -> Axes:
    """Draw the exponent of each target and dimension with its interval, its halves as dashes, and the bound.

    Dimensions without an exponent are left out.
    """
    own = ax is None
    rows = fit.exponents
    top = int(rows["dimension"].max()) + 1
    with style():
        ax = axes_or_new(ax, height=2.6)
        at = np.linspace(1, top, 100)
        ax.plot(at, [bound_exponent(d) for d in at], color=INK, linewidth=1.0, label="bound 3d / (d + 2)")
        targets = list(dict.fromkeys(rows["target"]))
        for number, (target, colour) in enumerate(zip(targets, shades(len(targets)), strict=True)):
            some = rows[(rows["target"] == target) & rows["exponent"].notna()]
            place = some["dimension"].to_numpy(dtype=np.float64) + 0.12 * (number - (len(targets) - 1) / 2)
            error = np.abs(some[["low", "high"]].to_numpy().T - some["exponent"].to_numpy())
            ax.errorbar(
                place, some["exponent"], np.nan_to_num(error), fmt=MARKERS[number % len(MARKERS)],
                color=colour, markersize=4, linewidth=1.0, label=target,
            )  # fmt: skip
            for half in HALVES:
                ax.plot(place, some[half], "_", color=colour, markersize=7)
        ax.set(xlabel="numbers of a neuron, d", ylabel="exponent e of N ∼ γ^−e", xlim=(1, top))
        ax.axhline(0, color=INK, linewidth=0.5, linestyle=":")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax
