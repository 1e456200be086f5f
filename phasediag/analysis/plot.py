"""All figures, by one name: `from phasediag.analysis.plot import draw_slices, save`."""

from __future__ import annotations

from phasediag.figures.diagram import draw_curve, draw_facets, draw_phase_diagram
from phasediag.figures.exact_curve import draw_with_exact
from phasediag.figures.history import draw_history
from phasediag.figures.line import draw_line
from phasediag.figures.scaling import draw_scaling
from phasediag.figures.size_collapse import draw_size_collapse
from phasediag.figures.slices import draw_slices
from phasediag.figures.spectra import draw_spectra
from phasediag.figures.style import Axes, Figure, png, save, svg

__all__ = [
    "Axes", "Figure", "draw_curve", "draw_facets", "draw_history", "draw_line", "draw_phase_diagram",
    "draw_scaling", "draw_size_collapse", "draw_slices", "draw_spectra", "draw_with_exact", "png", "save",
    "svg",
]  # fmt: skip
