"""Degree of symmetry, rank and spectrum of the layers of checkpoints against depth."""

from __future__ import annotations

from pathlib import PurePath

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from phasediag.analysis.depth import SHOWN, DepthProfile
from phasediag.errors import AnalysisError
from phasediag.figures.style import COLUMN_WIDTH, DASHES, MARKERS, Figure, legend, name_axes, shades, style

LABELS = dict(zip(SHOWN, ("degree of symmetry / maximum", "rank / width", "stable rank"), strict=True))


def draw(profile: DepthProfile, ax: Axes | None = None) -> Figure:
    """Draw means over heads with their 95 % intervals against relative depth, and the spectra.

    Parameters
    ----------
    profile
        Of one or several checkpoints.
    ax
        None: there are four panels.

    Raises
    ------
    AnalysisError
        Where Axes are given.
    """
    if ax is not None:
        raise AnalysisError("a profile over depth has four panels, and one Axes was given: call plot()")
    names = list(dict.fromkeys(profile.means["checkpoint"]))
    with style():
        figure = MatplotlibFigure(figsize=(2 * COLUMN_WIDTH, 5.0), layout="constrained")
        panels = figure.subplots(2, 2)
        for number, (name, colour) in enumerate(zip(names, shades(len(names)), strict=True)):
            curve = profile.means[profile.means["checkpoint"] == name].sort_values("depth")
            depth = curve["depth"].to_numpy(dtype=np.float64)
            place = depth / depth.max()
            for panel, column in zip(panels.flat, SHOWN, strict=False):
                mean = curve[column].to_numpy(dtype=np.float64)
                low, high = (curve[f"{column}_{end}"].to_numpy(dtype=np.float64) for end in ("low", "high"))
                panel.fill_between(place, low, high, color=colour, alpha=0.15, linewidth=0)
                panel.plot(place, mean, color=colour, linewidth=0.9, markersize=3.5,
                           marker=MARKERS[number % len(MARKERS)], linestyle=DASHES[number % len(DASHES)],
                           label=_short(name, names))  # fmt: skip
            own = profile.spectra[profile.spectra["checkpoint"] == name]
            panels[1, 1].plot(own["depth"] / depth.max(), own["distance"], ".", color=colour, markersize=1,
                              alpha=0.3, rasterized=True)  # fmt: skip
        for panel, column in zip(panels.flat, SHOWN, strict=False):
            name_axes(panel, "depth / layers", LABELS[column])
            if column != "stable_rank":
                panel.set_ylim(-0.03, 1.03)
        name_axes(panels[1, 1], "depth / layers", "distance / largest of its head")
        panels[1, 1].set_yscale("log")
        legend(panels[0, 0], True, panels[0, 0].get_legend_handles_labels()[0], "xx-small")
    return figure


def _short(name: str, among: list[str]) -> str:
    """The last parts of a path that tell it from the others."""
    parts = PurePath(name).parts
    for count in range(1, len(parts) + 1):
        tail = parts[-count:]
        if sum(PurePath(other).parts[-count:] == tail for other in among) == 1:
            return "/".join(tail)
    return name
