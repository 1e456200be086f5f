"""All figures, by one name: `from phasediag.analysis.plot import draw_slices, save`.

Each is imported when it is first asked for: a diagram need not wait for the statistics of a scaling plot.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phasediag.figures.diagram import draw_curve, draw_facets, draw_phase_diagram
    from phasediag.figures.exact_curve import draw_with_exact
    from phasediag.figures.history import draw_history
    from phasediag.figures.line import draw_line
    from phasediag.figures.scaling import draw_scaling
    from phasediag.figures.size_collapse import draw_size_collapse
    from phasediag.figures.slices import draw_slices
    from phasediag.figures.spectra import draw_spectra
    from phasediag.figures.style import Axes, Figure, png, save, svg

_HOMES = {
    "draw_curve": "diagram", "draw_facets": "diagram", "draw_phase_diagram": "diagram",
    "draw_with_exact": "exact_curve", "draw_history": "history", "draw_line": "line",
    "draw_scaling": "scaling", "draw_size_collapse": "size_collapse", "draw_slices": "slices",
    "draw_spectra": "spectra", "Axes": "style", "Figure": "style", "png": "style", "save": "style",
    "svg": "style",
}  # fmt: skip

__all__ = [
    "Axes", "Figure", "draw_curve", "draw_facets", "draw_history", "draw_line", "draw_phase_diagram",
    "draw_scaling", "draw_size_collapse", "draw_slices", "draw_spectra", "draw_with_exact", "png", "save",
    "svg",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a figure when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'phasediag.analysis.plot' has no attribute '{name}'")
    return getattr(import_module(f"phasediag.figures.{_HOMES[name]}"), name)
