"""A phase diagram as a picture of one pixel a cell, without axes or words: for a million cells and more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import Normalize, to_rgba
from matplotlib.image import imsave

from phasediag.analysis.labels import shown
from phasediag.analysis.phases import PhaseDiagram
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError
from phasediag.figures.diagram import DIVERGED
from phasediag.figures.look import Look, equalised
from phasediag.figures.mesh import Panel, panel_of

UNCONVERGED_ALPHA = 0.5
"""How opaque a cell is that has not converged; one without a value is not at all."""


def save_raster(diagram: PhaseDiagram, path: str | Path, look: Look | None = None) -> list[Path]:
    """Write a diagram as one pixel a cell, the largest y on top, with colours that are seen equally often.

    Cells that have not converged are half transparent, missing ones wholly; diverged ones have their colour.

    Parameters
    ----------
    path
        A PNG. Of a diagram with facets each panel has a file of its own: the values stand before the suffix.
    look
        Its map of colours is taken.

    Returns
    -------
    The files.

    Raises
    ------
    AnalysisError
        Where the file is no PNG or cannot be written, or the diagram has no y.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise AnalysisError(f"cannot write '{path}': a raster is a PNG; let its name end so")
    if not diagram.y:
        raise AnalysisError("a raster needs two axes; name y too")
    values = diagram.cells["mean"].dropna().to_numpy(dtype=np.float64)
    norm = (
        equalised(values) if len(np.unique(values)) > 1 else Normalize(diagram.level - 1, diagram.level + 1)
    )
    keys = diagram.cells[list(diagram.facets)].drop_duplicates().sort_values(list(diagram.facets))
    files = []
    for _, key in keys.iterrows() if diagram.facets else [(0, pd.Series(dtype=object))]:
        words = "-".join(f"{name}={shown(value)}" for name, value in key.items())
        file = path.with_name(f"{path.stem}-{words}{path.suffix}") if words else path
        try:
            imsave(file, pixels(panel_of(diagram, key), norm, look or Look())[::-1])
        except OSError as error:
            raise AnalysisError(
                f"cannot write '{file}': {error.strerror or error}; choose another path"
            ) from error
        files.append(file)
    return files


def pixels(panel: Panel, norm: Normalize, look: Look) -> FloatArray:
    """The colours of the cells of a panel, the smallest y first, shape (len(y), len(x), 4)."""
    colours: FloatArray = colormaps[look.colours](norm(np.nan_to_num(panel.value))).astype(np.float64)
    colours[panel.unconverged, 3] = UNCONVERGED_ALPHA
    colours[panel.phase == "diverged"] = to_rgba(DIVERGED)
    colours[panel.missing, 3] = 0
    return colours
