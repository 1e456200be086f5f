"""The trials of a diagram in cells: which axes span it, and which others become facets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phasediag.analysis.axes import check_axes, unnamed_axes
from phasediag.analysis.binning import with_bins
from phasediag.analysis.cells import DIVERGED
from phasediag.analysis.frame import Groups, categorical, need_columns, numbers, with_formulas
from phasediag.analysis.layout import Layout
from phasediag.analysis.scale import Scale
from phasediag.analysis.versions import newest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plane:
    """Trials in the cells of x, y and the facets."""

    trials: pd.DataFrame
    """The trials of the newest versions of files, with what formulas and bins of axes make columns of."""
    x: str
    y: str | None
    """None: the diagram is one row along x a facet."""
    facets: tuple[str, ...]
    """The facets that were named, and the axes that became facets."""
    group: Groups
    """The cells, by facets, y and x."""
    x_scale: Scale
    y_scale: Scale

    @classmethod
    def of(
        cls, trials: pd.DataFrame, x: str, y: str | None, order: str, facet: str | Sequence[str] | None = None
    ) -> Plane:
        """Put trials into cells.

        Parameters
        ----------
        trials, x, y, order, facet
            As `phasediag.phase_diagram` takes them.

        Raises
        ------
        AnalysisError
            For unknown, unusable or forgotten columns; says what to do.
        """
        facets = (facet,) if isinstance(facet, str) else tuple(facet or ())
        axes = [("x", x)] if y is None else [("x", x), ("y", y)]
        names = [name for _, name in axes]
        trials = newest(trials, [x, y, order, *facets])
        special = order == DIVERGED and order not in trials
        trials = with_formulas(trials, names + ([] if special else [order]))
        need_columns(trials, facets)
        if not special:
            numbers(trials, order)
        check_axes(trials, axes, facets)
        trials, behind = with_bins(trials, names)
        spanning = tuple(reversed(names))
        facets += unnamed_axes(trials, (*facets, *spanning, *behind), order)
        categories = [name for name in names if categorical(trials, name)]
        group = Groups.of(trials, (*facets, *spanning), by_name=categories)
        scales = {
            name: (
                Scale.of_categories(values.tolist()) if name in categories
                else Scale.of(values.astype(np.float64))
            )
            for name, values in zip(spanning, group.levels[len(facets) :], strict=True)
        }  # fmt: skip
        return cls(
            trials=trials, x=x, y=y, facets=facets, group=group, x_scale=scales[x],
            y_scale=Scale(kind="linear") if y is None else scales[y],
        )  # fmt: skip

    @property
    def rows(self) -> Layout:
        """The cells in rows along x."""
        return Layout.along_x(self.group, self.x_scale, lines=self.y is not None)

    @property
    def columns(self) -> Layout:
        """The cells in columns along y."""
        return Layout.along_y(self.group, self.y_scale)
