"""Likeness of layers as matrices: a panel for each kind of pair of networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from phasediag.analysis.alignment import Alignment, layers_in_order
from phasediag.analysis.gram_matrices import LIKENESSES
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError
from phasediag.figures.style import Figure, style

_ACROSS: Final = 3
_MOST: Final = 9
"""Panels; kinds of pairs beyond are left out, which the title says."""
_SIZE: Final = 2.4
"""Inches of a panel."""
_MOST_NUMBERED: Final = 8
"""Layers along a side up to which the numbers stand in the cells."""


def draw(alignment: Alignment, ax: Axes | None = None) -> Figure:
    """Draw the mean likeness of each pair of layers at the end of training; empty where it is not known.

    Rows are layers of the first network of a pair, columns of the second.

    Raises
    ------
    AnalysisError
        Where Axes are given.
    """
    if ax is not None:
        raise AnalysisError("an alignment has several panels, and one Axes was given: call plot()")
    keys = [*alignment.held, "first", "second", "same_network"]
    groups = list(alignment.last.groupby(keys, dropna=False, sort=False))
    groups.sort(key=lambda group: bool(group[1]["same_network"].iloc[0]))
    shown = groups[:_MOST]
    across = min(len(shown), _ACROSS)
    down = -(-len(shown) // across)
    with style():
        size = (across * _SIZE + 0.7, down * _SIZE + 0.4)
        figure = MatplotlibFigure(figsize=size, layout="constrained")
        panels = figure.subplots(down, across, squeeze=False)
        for panel in panels.flat[len(shown) :]:
            panel.remove()
        for panel, (key, part) in zip(panels.flat, shown, strict=False):
            image = _panel(panel, part, alignment.kind)
            panel.set_title(_title(dict(zip(keys, key, strict=True)), alignment), fontsize="x-small")
        left_out = f" ({len(groups) - _MOST} kinds of pairs left out)" if len(groups) > _MOST else ""
        figure.colorbar(image, ax=panels[:, :].ravel()[: len(shown)].tolist(),
                        label=f"{LIKENESSES[alignment.kind]}{left_out}")  # fmt: skip
    return figure


def _panel(panel: Axes, part: pd.DataFrame, kind: str) -> Any:
    rows = layers_in_order(part["first_layer"].unique())
    columns = layers_in_order(part["second_layer"].unique())
    if part["same_network"].all():
        rows = columns = layers_in_order({*rows, *columns})
    matrix: FloatArray = np.full((len(rows), len(columns)), np.nan)
    alike = part["same_network"] | (part["first"] == part["second"])
    alike |= part["first"].isna() & part["second"].isna()
    cells = zip(part["first_layer"], part["second_layer"], part[kind], alike, strict=True)
    for one, other, value, mirrored in cells:
        matrix[rows.index(one), columns.index(other)] = value
        if mirrored and other in rows and one in columns:
            matrix[rows.index(other), columns.index(one)] = value
    few = max(len(rows), len(columns)) <= _MOST_NUMBERED
    sns.heatmap(
        pd.DataFrame(matrix, index=rows, columns=columns), ax=panel, cmap="viridis", cbar=False, square=True,
        vmin=min(0.0, np.nanmin(matrix, initial=0.0)), vmax=1.0, annot=few, fmt=".2f",
        annot_kws={"fontsize": 5}, xticklabels=True, yticklabels=True,
    )  # fmt: skip
    panel.tick_params(axis="x", rotation=90, labelsize="x-small")
    panel.tick_params(axis="y", rotation=0, labelsize="x-small")
    return panel.collections[0]


def _title(key: Mapping[str, Any], alignment: Alignment) -> str:
    held = ", ".join(f"{name} {key[name]}" for name in alignment.held)
    if key["same_network"]:
        what = "one network" if alignment.by is None else f"one network, {alignment.by} {key['first']}"
    else:
        what = "two networks" if alignment.by is None else f"{key['first']} and {key['second']}"
    return f"{what}\n{held}" if held else what
