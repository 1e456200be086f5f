"""The least alike layers of pairs of networks, beside what they share with the inputs."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.gram_matrices import LIKENESSES
from phasediag.analysis.universality import ALIGNED, Universality
from phasediag.figures.style import INK, axes_or_new, legend, name_axes, shades, style, wrapped


def draw(universality: Universality, ax: Axes | None = None) -> Axes:
    """Draw the least and the median likeness of layers, and that with the inputs, one row a kind of pair."""
    own = ax is None
    rows = universality.groups
    places = np.arange(len(rows))
    dark, light = shades(2)
    with style():
        ax = axes_or_new(ax, width=5.0, height=1.0 + 0.5 * len(rows))
        ax.axvline(ALIGNED, color=INK, linewidth=0.7, linestyle="--")
        for at, low, high, colour, marker, name in (
            ("least", "low", "high", dark, "o", "least alike layers"),
            ("with_inputs", "inputs_low", "inputs_high", light, "s", f"{universality.layer} and inputs"),
        ):
            reach = np.nan_to_num(np.abs(rows[[low, high]].to_numpy().T - rows[at].to_numpy()))
            ax.errorbar(rows[at], places, xerr=reach, color=colour, marker=marker, linestyle="",
                        markersize=4, elinewidth=0.8, label=name)  # fmt: skip
        ax.plot(rows["median"], places, "|", color=dark, markersize=9, label="median over pairs of layers")
        named = rows.columns[: list(rows.columns).index("layers")]
        texts = [", ".join(f"{name} {row[name]}" for name in named) for _, row in rows.iterrows()]
        ax.set_yticks(places, [wrapped(text, 1.9) for text in texts], fontsize=6)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        name_axes(ax, LIKENESSES[universality.kind], "")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small", columns=3)
    return ax
