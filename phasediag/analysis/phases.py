"""From a frame of trials to phases and the boundary between them.

The order parameter is averaged over the replicates of every cell; the boundary is where that
average crosses a level, or changes fastest, row by row along x. Replicates share their random
numbers over all cells, so they are resampled jointly: one draw of replicates serves the whole diagram.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.axes import COLLAPSE
from phasediag.analysis.basis import arbitrary_basis
from phasediag.analysis.bootstrap import conditional, replicate_codes
from phasediag.analysis.boundary import Boundary, Rows, SingleValues, find_boundary
from phasediag.analysis.branches import Direction, boundary_table, main_of
from phasediag.analysis.cells import cell_statistics, decided_means, of_settled, order_values
from phasediag.analysis.declared_columns import about, level_in
from phasediag.analysis.decoupled_decay import DecoupledDecayWarning as DecoupledDecayWarning
from phasediag.analysis.decoupled_decay import warn_of_adamw
from phasediag.analysis.diagram_words import (
    about_boundary,
    boundary_in_words,
    front,
    scattered,
    side_by_side,
    unknown,
)
from phasediag.analysis.frame import Groups, has_status, numbers
from phasediag.analysis.isolines import across_table
from phasediag.analysis.labels import prose
from phasediag.analysis.measured import valueless
from phasediag.analysis.mixture import two_phases
from phasediag.analysis.plane import Plane
from phasediag.analysis.plateaus import without_plateaus
from phasediag.analysis.result import Result, plain
from phasediag.analysis.scale import Scale
from phasediag.analysis.slope import find_steepest
from phasediag.arrays import BoolArray, FloatArray
from phasediag.columns import Column, column_of
from phasediag.errors import AnalysisError

Method = Literal["level", "mixture", "slope"]
"""By what phases are distinguished."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PhaseDiagram(Result):
    """Cells, their phases and the boundary between them."""

    figure: ClassVar[str] = "diagram"

    cells: pd.DataFrame
    """One row a cell that was run: the facet columns, x, y, `mean` and `std` of the order parameter over
    its ok trials, `replicates` (trials with a value), `susceptibility` (variance over replicates) with
    its 95 % interval `susceptibility_low`, `susceptibility_high` (NaN below 5 replicates), `binder`
    (1 - m4 / (3 m2^2) of the central moments: 0 for a normal spread, 2/3 for two equal peaks),
    `diverged_share` (of all that did not fail), `unconverged_share` (of the ok ones), `upper_share` (by
    mixture only: the mean probability of the upper component), `phase` (a name by the order parameter,
    `diverged`, `unconverged`, `missing`)."""
    boundary: pd.DataFrame
    """One row a facet, value of y and crossing; one without a position where a row has none. Facet and y
    under their own names, `position`, `low`, `high` (95 %, units of x; infinite where the interval is open,
    beyond the end of the row), `crossings` (of the row), `replicates` (the fewer of the two cells beside the
    boundary, or of the row), `converged` (whether most trials of both cells beside it have; without a
    boundary, null. Where they have not, it may be a front of training time, and has no interval: `low`,
    `high` are NaN), `branch` (crossings of the same number belong together from row to row; 1 is the branch
    of most rows, of equally many the steepest), `direction` (`rising` or `falling` along x), `censored`
    (which ends of the interval are open: `low`, `high`, `both` or `none`), `support` (the share of the draws
    of replicates that have this crossing) and `plateau` (whether one side lies at the level: no interval)."""
    collapse: pd.DataFrame | None
    """The data's own collapse threshold where weight decay is an axis: the facet columns, the other axis
    and the mean `collapse_weight_decay`."""
    x: str
    y: str
    """Empty for a diagram along x alone."""
    order: str
    level: float
    """The value of the order parameter at the boundary: as given, equally likely in both components of the
    mixture, or the median over the rows where it is steepest."""
    facets: tuple[str, ...]
    x_scale: Scale
    y_scale: Scale
    method: Method = "level"
    without_value: str = ""
    """Why no trial that is ok has a value of the order parameter; empty where one has."""
    convergence_unknown: int = 0
    """Trials that are ok of which it is not known whether they have converged."""
    condition: str = ""
    """What the intervals are conditional on, in a sentence; empty where on nothing."""
    basis: str = ""
    """That the order parameter depends on a basis of the neurons, in a sentence; empty where it does not."""
    across: pd.DataFrame | None = None
    """Where the boundary runs along x, so that no row crosses it: crossings along y through which no line
    from a row to the next passes. Columns as those of `boundary`, one row a facet, value of x and crossing,
    with `position`, `low`, `high` in units of y, directions along y, and branches of their own. None: not
    looked for (without y, or with the method `slope`)."""

    declared: Column | None = None
    """What the frame knows of the order parameter; None: what is known of it anywhere."""

    @property
    def about(self) -> Column:
        """The declaration of the order parameter."""
        return self.declared or column_of(self.order)

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that tell the rows of the boundary apart: the facets, and y."""
        return (*self.facets, *([self.y] if self.y else []))

    @property
    def main(self) -> pd.DataFrame:
        """One row a facet and value of y, for what needs one boundary: the crossing of branch 1."""
        return main_of(self.boundary, self.keys)

    @property
    def scattered(self) -> bool:
        """Whether the rows cross the level so often that the boundary is no line."""
        return scattered(self.boundary, self.keys)

    @property
    def every_crossing(self) -> pd.DataFrame:
        """The boundary with where it runs along x: the columns that both have."""
        if self.across is None or self.across.empty:
            return self.boundary
        return pd.concat([self.boundary, self.across], ignore_index=True)

    @property
    def phases(self) -> tuple[str, str]:
        """The names of the phases below and above the level."""
        return self.about.phases

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known before this diagram is trusted, in whole sentences."""
        if self.without_value:
            return (f"{self.without_value[0].upper()}{self.without_value[1:]}; the diagram shows no values.",)
        texts = about_boundary(self.cells, *self._looked_for, self.level)
        if self.convergence_unknown:
            texts.append(unknown(self.convergence_unknown))
        if self.condition and self.boundary["low"].notna().any():
            texts.append(self.condition)
        return (*texts, *([self.basis] if self.basis else ()))

    @property
    def _looked_for(self) -> tuple[pd.DataFrame, pd.DataFrame | None, tuple[str, ...]]:
        """The crossings along x, or along y where x has no order, those along y besides, and their keys."""
        if self.x_scale.ordered:
            return self.boundary, self.across, self.keys
        return self.boundary[:0] if self.across is None else self.across, None, (*self.facets, self.x)

    @property
    def caveat(self) -> str:
        """What stands above its figure; empty where nothing need be known before trusting it."""
        if self.without_value:
            return f"{self.without_value[0].upper()}{self.without_value[1:]}"
        return front(self.every_crossing)

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The boundary, where it runs along x, the cells, and the data's own collapse threshold."""
        tables = {"boundary": self.boundary}
        if self.across is not None and not self.across.empty:
            tables["across"] = self.across
        tables["cells"] = self.cells
        if self.collapse is not None and not self.collapse.empty:
            tables["collapse"] = self.collapse
        return tables

    @property
    def over(self) -> Mapping[str, Sequence[str]]:
        """The cells over facets, y and x; crossings over their rows and branches."""
        crossed_along_y = (*self.facets, self.x, "branch")
        return {"cells": (*self.keys, self.x), "boundary": (*self.keys, "branch"), "across": crossed_along_y}

    def quantities(self, table: str) -> Mapping[str, Column]:
        """Means and spreads are of the order parameter, positions of the axis along which they are."""
        if table == "cells":
            return dict.fromkeys(("mean", "std"), self.about)
        along = Column(name=self.y if table == "across" else self.x, meaning="")
        return dict.fromkeys(("position", "low", "high"), along)

    @property
    def findings(self) -> tuple[str, ...]:
        """Where the boundary is, and how sure that is; then each branch, where there are several."""
        about = f"{prose(self.order, self.about)} = {self.level:g}"
        if not (self.x_scale.ordered or (self.y and self.y_scale.ordered)):
            return (side_by_side(self.x),)
        return boundary_in_words(self.boundary, self.across, self.keys, self.x, self.y, about)

    def as_dict(self) -> dict[str, Any]:
        """The diagram in plain types: what it shows, its boundary, and its warnings."""
        return {
            "x": self.x, "y": self.y, "order": self.order, "level": plain(self.level),
            "method": self.method, "facets": list(self.facets), "phases": list(self.phases),
            "boundary": plain(self.boundary), "across": plain(self.across), "warnings": list(self.warnings),
        }  # fmt: skip


def phase_diagram(
    trials: pd.DataFrame,
    x: str,
    y: str | None = None,
    order: str = "degree_normalized",
    level: float | None = None,
    facet: str | Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    method: Method = "level",
    direction: Direction | None = None,
) -> PhaseDiagram:
    """Average an order parameter over replicates and find where it passes from one phase to the other.

    Within a row (one value of y and facet) the average is interpolated linearly along x, along log x
    where x is spaced so. The crossing lies between neighbouring cells that both have a value: a cell
    that failed, is missing or mostly diverged breaks the row. Values of x that fewer than half of the
    rows have (added by a refinement) are no gaps in the rows that lack them, and there are none at all
    where fewer than half of all pairs of x and y were run. No crossing gives NaN, several are several rows
    of `boundary`, followed from one value of y to the next as branches. Where the boundary runs along x, the
    same is done along y (`across`). Infinite order parameters count as the largest finite one.

    The interval is that of `phasediag.analysis.bootstrap.interval` over replicates, resampled jointly over
    all cells. In a draw a crossing is the nearest one of its direction; without one it has left the row,
    and where such draws are more than the tail, the interval is open at that end. With fewer than 3
    replicates the interval is NaN. Where at least half of the row's range is passed between two
    neighbouring cells, the order parameter jumps, and the interval is at least that cell, as it is where
    all replicates agree exactly.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it. Only `ok` rows have an order parameter.
    x, y
        Axes: columns, or expressions of columns. Without y the diagram is one row a facet. Values that are
        no numbers (optimizer, activation) are categories, side by side in the order of their names, and no
        boundary is looked for between two of them. An axis
        that differs between the replicates of a point (`learning_rate * sharpness_at_start / 2`) is put
        into bins, see `phasediag.analysis.binning`.
    order
        Any numeric column, an expression of columns such as `neuron_count / width`, or `diverged`.
    level
        Value of `order` at the boundary, for the method `level`; None: what its column declares, of a rate 0,
        of most 0.5.
    facet
        Columns that split the diagram. Another axis becomes a facet if it has at most 6 values.
    resamples, seed
        Of the bootstrap.
    method
        `level`: the boundary is where the average crosses the level. `mixture`: two normal components
        are fitted to the values of all cells together, and the boundary is where the trials' mean
        probability of the upper one crosses 1/2; the components are held fixed in the bootstrap.
        `slope`: the boundary is where the average changes fastest along x.
    direction
        `rising` or `falling`: only crossings at which the order parameter does so along x.

    Raises
    ------
    AnalysisError
        For unknown, unusable or forgotten columns, or a mixture of one component; says what to do.

    Warns
    -----
    DecoupledDecayWarning
        Where an axis is the weight decay and a trial was trained with adamw.
    """
    return locate(
        Plane.of(trials, x, y, order, facet), order, level, resamples=resamples, seed=seed, method=method,
        direction=direction,
    ).diagram  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Located:
    """A diagram with the rows and values behind its boundary, in coordinates of its scale of x."""

    diagram: PhaseDiagram
    boundary: Boundary
    rows: Rows
    """The cells in the order of `diagram.cells`, in rows in the order of `diagram.boundary`."""
    samples: SingleValues
    """The values of the single trials."""
    level: float
    settled: BoolArray
    """Whether most trials of a cell have converged, shape (cells,)."""


def locate(
    plane: Plane, order: str, level: float | None, *, resamples: int, seed: int, method: Method = "level",
    direction: Direction | None = None, keep: bool = False, settled_only: bool = False,
) -> Located:  # fmt: skip
    """As `phase_diagram`, with the rows and values behind its boundary.

    `keep` keeps the crossings of every draw. With `settled_only` trials that have not converged are left out
    of the cells most of which have.
    """
    for name, value, kinds in (("method", method, Method), ("direction", direction or "rising", Direction)):
        if value not in get_args(kinds):
            raise AnalysisError(f"{name}='{value}' is unknown; it is one of {', '.join(get_args(kinds))}")
    trials = plane.trials
    warn_of_adamw(trials, (plane.x, plane.y or ""))
    values = order_values(trials, order)
    cells = cell_statistics(trials, plane.group, values)
    if settled_only:
        values, cells = of_settled(trials, plane.group, values, cells)
    level = at = level_in(trials, order, level)
    decided, column = values, "mean"
    if method == "mixture":
        mixture = two_phases(values, order)
        decided, at, level, column = mixture.upper(values), 0.5, mixture.level, "upper_share"
        cells[column] = cell_statistics(trials, plane.group, decided)["mean"]
    counts = cells["replicates"].to_numpy(dtype=np.int64)
    rows = plane.rows.rows(decided_means(cells, order, column), counts)
    replicate = replicate_codes(trials, plane.group.cell)
    samples = SingleValues(cell=plane.group.cell, replicate=replicate, value=decided)
    if method == "slope":
        boundary = find_steepest(rows, samples, resamples, seed)
        between = _between(rows, boundary)
        level = float(np.nanmedian(between)) if len(between) else float("nan")
        levels = np.where(boundary.cell >= 0, between, level)[rows.row]
    else:
        boundary = find_boundary(rows, samples, at, resamples, seed, keep=keep)
        levels = np.full(len(cells), level)
    declared = about(trials, order)
    settled = (cells["unconverged_share"].to_numpy() <= 0.5) | declared.of_training
    shown = boundary if direction is None else boundary.facing(rising=direction == "rising")
    across = None
    if plane.y is not None and plane.y_scale.ordered and method != "slope":
        across = across_table(plane, rows, boundary, samples, settled, at, resamples, seed)
    cells["phase"] = _phases(cells, levels, declared, method)
    tabled = without_plateaus(shown, rows, cells, level) if method == "level" else shown
    diagram = PhaseDiagram(
        cells=cells, boundary=_table(plane, rows, tabled, settled), across=across, collapse=_collapse(plane),
        x=plane.x, y=plane.y or "", order=order, level=level, facets=plane.facets, x_scale=plane.x_scale,
        y_scale=plane.y_scale, method=method, declared=declared,
        without_value=valueless(trials, order, values), convergence_unknown=_unknown(trials, order),
        condition=conditional(trials), basis=arbitrary_basis(trials, [order]),
    )  # fmt: skip
    return Located(diagram=diagram, boundary=shown, rows=rows, samples=samples, level=level, settled=settled)


def _table(plane: Plane, rows: Rows, boundary: Boundary, settled: BoolArray) -> pd.DataFrame:
    layout = plane.rows
    line, first = np.unique(layout.line, return_index=True)
    lines = plane.group.decoded(line, len(plane.group.names) - 1)
    facet = layout.facet[first] if plane.y is not None else np.arange(len(line))
    return boundary_table(lines, facet, boundary, rows, settled, plane.x_scale)


def _unknown(trials: pd.DataFrame, order: str) -> int:
    if "converged" not in trials or about(trials, order).of_training:
        return 0
    return int((has_status(trials, "ok") & trials["converged"].isna().to_numpy()).sum())


def _phases(
    cells: pd.DataFrame, levels: FloatArray, order: Column, method: Method
) -> npt.NDArray[np.object_]:
    below = cells["upper_share"] < 0.5 if method == "mixture" else cells["mean"] < levels
    unconverged = (cells["unconverged_share"] > 0.5) & (not order.of_training)
    conditions = [cells["diverged_share"] > 0.5, cells["replicates"] == 0, unconverged, below]
    names = ["diverged", "missing", "unconverged", order.below]
    return np.select(conditions, names, order.above).astype(object)


def _between(rows: Rows, boundary: Boundary) -> FloatArray:
    """The value of each row at its boundary, shape (rows,); NaN without one."""
    left = np.maximum(boundary.cell, 0)
    right = np.minimum(left + 1, len(rows.value) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (boundary.position - rows.coordinate[left]) / (rows.coordinate[right] - rows.coordinate[left])
    between = rows.value[left] + np.clip(share, 0, 1) * (rows.value[right] - rows.value[left])
    return np.where(boundary.cell >= 0, between, np.nan)


def _collapse(plane: Plane) -> pd.DataFrame | None:
    trials, axes = plane.trials, (plane.x, plane.y)
    if "weight_decay" not in axes or COLLAPSE not in trials:
        return None
    other = plane.y if plane.x == "weight_decay" else plane.x
    group = Groups.of(trials, plane.facets if other is None else (*plane.facets, other))
    mean = pd.Series(numbers(trials, COLLAPSE)).groupby(group.cell).mean()
    frame = group.decoded(group.code, len(group.names)).assign(**{COLLAPSE: mean.to_numpy()})
    return frame.dropna(subset=COLLAPSE)
