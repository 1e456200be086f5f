"""Whether symmetries break while the loss drops: the ratio of the drops against those of shifted courses."""

from __future__ import annotations

from typing import Final

from matplotlib.axes import Axes

from phasediag.analysis.coincidence import Coincidence
from phasediag.errors import AnalysisError
from phasediag.figures.style import INK, axes_or_new, legend, name_axes, style

_BINS: Final = 40
_SHIFTED: Final = "#b8b8b8"


def draw(coincidence: Coincidence, ax: Axes | None = None) -> Axes:
    """Draw the ratio that was measured among those of courses that were shifted against each other.

    Raises
    ------
    AnalysisError
        Where no generator is lost, or the losses do not drop: there is no ratio.
    """
    if not len(coincidence.shifted):
        raise AnalysisError(f"{coincidence.findings[0].rstrip('.')}; there is nothing to draw")
    own = ax is None
    with style():
        ax = axes_or_new(ax, height=2.8)
        ax.hist(coincidence.shifted, bins=_BINS, color=_SHIFTED, edgecolor="none", label="shifted courses")
        ax.axvline(coincidence.ratio, color=INK, linewidth=1.3,
                   label=f"measured (p = {coincidence.p_value:.2g})")  # fmt: skip
        name_axes(ax, "drop of log(loss) where generators are lost / on average", "random shifts")
        legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax
