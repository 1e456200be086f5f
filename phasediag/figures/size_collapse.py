"""Finite-size scaling: curves of several widths, and the same drawn on top of each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from phasediag.errors import AnalysisError
from phasediag.figures.style import DASHES, MARKERS, axes_or_new, legend, name_axes, shades, style


def draw_size_collapse(
    x: npt.ArrayLike, y: npt.ArrayLike, size: npt.ArrayLike, error: npt.ArrayLike | None = None,
    xlabel: str = "scaled distance from the boundary", ylabel: str = "scaled order parameter",
    name: str = "width", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw one curve a size; where the scaling holds, all lie on one.

    Parameters
    ----------
    x, y
        Scaled coordinates, such as (γ - γ_c) N^(1/ν) and m N^(β/ν), shape (points,).
    size
        The size of the system each point belongs to, shape (points,).
    error
        Half of the 95 % interval of y, shape (points,); None: not drawn.
    xlabel, ylabel
        What the axes say; state the exponents here.
    name
        What a size is.
    ax
        Where to draw; by default a new figure of one column's width.

    Raises
    ------
    AnalysisError
        Where the arrays are empty or differ in length.
    """
    at, value, of = (np.asarray(values, dtype=np.float64) for values in (x, y, size))
    half = np.full(at.shape, np.nan) if error is None else np.asarray(error, dtype=np.float64)
    if not len(at) or len({values.shape for values in (at, value, of, half)}) > 1:
        shapes = ", ".join(str(values.shape) for values in (at, value, of, half))
        raise AnalysisError(f"x, y, size and error have shapes {shapes}; give points, as many of each")
    sizes = np.unique(of)
    own = ax is None
    with style():
        ax = axes_or_new(ax, height=3.0)
        for number, (one, colour) in enumerate(zip(sizes, shades(len(sizes)), strict=True)):
            chosen = np.flatnonzero(of == one)
            order = chosen[np.argsort(at[chosen])]
            spread = None if np.isnan(half[order]).all() else np.nan_to_num(half[order])
            ax.errorbar(at[order], value[order], yerr=spread, color=colour, linewidth=0.8, elinewidth=0.6,
                        marker=MARKERS[number % len(MARKERS)], linestyle=DASHES[number % len(DASHES)],
                        markersize=3.5, label=f"{name} {one:g}")  # fmt: skip
        name_axes(ax, xlabel, ylabel)
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax
