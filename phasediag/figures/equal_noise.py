"""Results at equal temperature against each other: on the diagonal where the temperature says all."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from phasediag.analysis.equal_noise import EqualNoise
from phasediag.analysis.labels import label
from phasediag.figures.style import INK, axes_or_new, name_axes, style


def draw(result: EqualNoise, ax: Axes | None = None) -> Axes:
    """Draw the mean of every point at its largest rate against that at its smallest."""
    with style():
        ax = axes_or_new(ax)
        small, large = (
            result.cells[name].to_numpy(dtype=np.float64) for name in ("mean_small", "mean_large")
        )
        ends = [min(small.min(), large.min()), max(small.max(), large.max())]
        ax.plot(ends, ends, color=INK, linewidth=0.8, label="equal")
        ax.plot(small, large, "o", markersize=3.5, label="same temperature")
        name_axes(ax, f"{label(result.y)}, smallest rate", f"{label(result.y)}, largest rate")
    return ax
