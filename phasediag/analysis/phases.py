"""From a frame of trials to phases and the boundary between them.

The order parameter is averaged over the replicates of every cell; the boundary is where that
average crosses a level, or changes fastest, row by row along x. Replicates share their random
numbers over all cells, so they are resampled jointly: one draw of replicates serves the whole diagram.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.axes import COLLAPSE, check_axes, unnamed_axes
from phasediag.analysis.bootstrap import conditional, replicate_codes
from phasediag.analysis.boundary import Boundary, Rows, SingleValues, find_boundary
from phasediag.analysis.cells import DIVERGED, cell_statistics, decided_means, order_values
from phasediag.analysis.declared import about
from phasediag.analysis.diagram_words import about_boundary, boundary_in_words, front, unknown
from phasediag.analysis.frame import Groups, has_status, need_columns, numbers, with_formulas
from phasediag.analysis.labels import prose
from phasediag.analysis.measured import valueless
from phasediag.analysis.mixture import two_phases
from phasediag.analysis.result import Result, plain
from phasediag.analysis.scale import Scale
from phasediag.analysis.slope import find_steepest
from phasediag.analysis.versions import newest
from phasediag.arrays import BoolArray, FloatArray, IntArray
from phasediag.columns import Column, column_of
from phasediag.errors import AnalysisError

Method = Literal["level", "mixture", "slope"]
"""How phases are told apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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
    """One row a facet and value of y: both under their own names, `position`, `low`, `high` (95 %, units
    of x), `crossings`, `replicates` (the fewer of the two cells beside the boundary, or of the row),
    `converged` (whether most trials of both cells beside it have; without a boundary, null). Where they have
    not, it may be a front of training time, and has no interval: `low`, `high` are NaN."""
    collapse: pd.DataFrame | None
    """The data's own collapse threshold where weight decay is an axis: the facet columns, the other axis
    and the mean `collapse_weight_decay`."""
    x: str
    y: str
    """Empty for a diagram along x alone."""
    order: str
    level: float
    """Of the order parameter at the boundary: as given, equally likely in both components of the
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

    declared: Column | None = None
    """What the frame knows of the order parameter; None: what is known of it anywhere."""

    @property
    def about(self) -> Column:
        """The declaration of the order parameter."""
        return self.declared or column_of(self.order)

    @property
    def phases(self) -> tuple[str, str]:
        """The names of the phases below and above the level."""
        return self.about.phases

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known before this diagram is trusted, in whole sentences."""
        if self.without_value:
            return (f"{self.without_value[0].upper()}{self.without_value[1:]}; the diagram shows no values.",)
        texts = about_boundary(self.cells, self.boundary, self.level)
        if self.convergence_unknown:
            texts.append(unknown(self.convergence_unknown))
        if self.condition and self.boundary["low"].notna().any():
            texts.append(self.condition)
        return tuple(texts)

    @property
    def caveat(self) -> str:
        """What stands above its figure; empty where nothing need be known before trusting it."""
        if self.without_value:
            return f"{self.without_value[0].upper()}{self.without_value[1:]}"
        return front(self.boundary)

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The boundary, the cells, and the data's own collapse threshold where weight decay is an axis."""
        tables = {"boundary": self.boundary, "cells": self.cells}
        if self.collapse is not None and not self.collapse.empty:
            tables["collapse"] = self.collapse
        return tables

    @property
    def findings(self) -> tuple[str, ...]:
        """Where the boundary was found, and how sure it is."""
        return (boundary_in_words(self.boundary, self.x, prose(self.order, self.about), self.level),)

    def as_dict(self) -> dict[str, Any]:
        """The diagram in plain types: what it shows, its boundary, and its warnings."""
        return {
            "x": self.x, "y": self.y, "order": self.order, "level": plain(self.level),
            "method": self.method, "facets": list(self.facets), "phases": list(self.phases),
            "boundary": plain(self.boundary), "warnings": list(self.warnings),
        }  # fmt: skip


class DecoupledDecayWarning(UserWarning):
    """A diagram over the weight decay of adamw, which has no collapse threshold to compare with."""


def _warn_of_adamw(trials: pd.DataFrame, axes: tuple[str, ...]) -> None:
    if "weight_decay" in axes and "optimizer" in trials and (trials["optimizer"] == "adamw").any():
        warnings.warn(
            "adamw decouples the decay: it bounds every weight by 1 / weight_decay and never collapses a "
            "network, so a boundary here is not to be compared with a collapse threshold gamma_c; use "
            "optimizer: adam or sgd for that (exact result E13, phasediag.exact.decoupled_product)",
            DecoupledDecayWarning, stacklevel=4,
        )  # fmt: skip


def phase_diagram(
    trials: pd.DataFrame,
    x: str,
    y: str | None = None,
    order: str = "degree_normalized",
    level: float = 0.5,
    facet: str | Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    method: Method = "level",
) -> PhaseDiagram:
    """Average an order parameter over replicates and find where it passes from one phase to the other.

    Within a row (one value of y and facet) the average is interpolated linearly along x, along log x
    where x is spaced so. The crossing lies between neighbouring cells that both have a value: a cell
    that failed, is missing or mostly diverged breaks the row. Values of x that fewer than half of the
    rows have (added by a refinement) are no gaps in the rows that lack them, and there are none at all
    where fewer than half of all pairs of x and y were run. No crossing gives NaN,
    several give the steepest. Infinite order parameters count as the largest finite one.

    The interval is that of `phasediag.analysis.bootstrap.interval` over replicates, resampled jointly over
    all cells. A resample without crossing puts the boundary at the end
    of the row. With fewer than 3 replicates the interval is NaN. Where at least half of the row's range
    is passed between two neighbouring cells, the order parameter jumps, and the interval is at least
    that cell, as it is where all replicates agree exactly.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it. Only `ok` rows have an order parameter.
    x, y
        Numeric axes: columns, or expressions of columns. Without y the diagram is one row a facet.
    order
        Any numeric column, an expression of columns such as `neuron_count / width`, or `diverged`.
    level
        Value of `order` at the boundary, for the method `level`.
    facet
        Columns that split the diagram. Another axis becomes a facet if it has at most 6 values.
    resamples, seed
        Of the bootstrap.
    method
        `level`: the boundary is where the average crosses the level. `mixture`: two normal components
        are fitted to the values of all cells together, and the boundary is where the trials' mean
        probability of the upper one crosses 1/2; the components are held fixed in the bootstrap.
        `slope`: the boundary is where the average changes fastest along x.

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
        trials, x, y, order, level, facet=facet, resamples=resamples, seed=seed, method=method
    ).diagram


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Located:
    """A diagram with what its boundary was found from, in coordinates of its scale of x."""

    diagram: PhaseDiagram
    boundary: Boundary
    rows: Rows
    """The cells in the order of `diagram.cells`, in rows in the order of `diagram.boundary`."""
    samples: SingleValues
    """The values of the single trials."""


def locate(
    trials: pd.DataFrame, x: str, y: str | None, order: str, level: float, *,
    facet: str | Sequence[str] | None, resamples: int, seed: int, method: Method = "level",
    keep: bool = False,
) -> Located:  # fmt: skip
    """As `phase_diagram`, with what the boundary was found from; `keep` keeps its resamples."""
    if method not in get_args(Method):
        raise AnalysisError(f"method='{method}' is unknown; it is one of {', '.join(get_args(Method))}")
    facets = (facet,) if isinstance(facet, str) else tuple(facet or ())
    axes = [("x", x)] if y is None else [("x", x), ("y", y)]
    trials = newest(trials, [x, y, order, *facets])
    special = order == DIVERGED and order not in trials
    trials = with_formulas(trials, [name for _, name in axes] + ([] if special else [order]))
    need_columns(trials, facets)
    if not special:
        numbers(trials, order)
    check_axes(trials, axes, facets)
    named = tuple(name for _, name in reversed(axes))
    _warn_of_adamw(trials, named)
    facets += unnamed_axes(trials, (*facets, *named), order)
    group = Groups.of(trials, (*facets, *named))
    values = order_values(trials, order)
    cells = cell_statistics(trials, group, values)
    decided = values
    if method == "mixture":
        mixture = two_phases(values, order)
        level, decided = mixture.level, mixture.upper(values)
        cells["upper_share"] = cell_statistics(trials, group, decided)["mean"]
    x_scale = Scale.of(group.levels[-1].astype(np.float64))
    y_scale = Scale(kind="linear") if y is None else Scale.of(group.levels[-2].astype(np.float64))
    rows = _rows(group, cells, x_scale, order, method, lines=y is not None)
    samples = SingleValues(cell=group.cell, replicate=replicate_codes(trials, group.cell), value=decided)
    if method == "slope":
        boundary = find_steepest(rows, samples, resamples, seed)
        between = _between(rows, boundary)
        level = float(np.nanmedian(between)) if len(between) else float("nan")
        levels = np.where(boundary.cell >= 0, between, level)[rows.row]
    else:
        at = 0.5 if method == "mixture" else level
        boundary = find_boundary(rows, samples, at, resamples, seed, keep=keep)
        levels = np.full(len(cells), level)
    declared = about(trials, order)
    cells["phase"] = _phases(cells, levels, declared, method)
    diagram = PhaseDiagram(
        cells=cells, boundary=_table(group, cells, rows, boundary, x_scale, declared),
        collapse=_collapse(trials, x, y, facets), x=x, y=y or "", order=order, level=level, facets=facets,
        x_scale=x_scale, y_scale=y_scale, method=method, declared=declared,
        without_value=valueless(trials, order, values),
        convergence_unknown=_unknown(trials, order), condition=conditional(trials),
    )  # fmt: skip
    return Located(diagram=diagram, boundary=boundary, rows=rows, samples=samples)


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


def _rows(
    group: Groups, cells: pd.DataFrame, scale: Scale, order: str, method: Method, *, lines: bool
) -> Rows:
    line, column = np.divmod(group.code, len(group.levels[-1]))
    return Rows(
        row=np.unique(line, return_inverse=True)[1],
        coordinate=scale.forward(group.levels[-1].astype(np.float64))[column],
        value=decided_means(cells, order, "upper_share" if method == "mixture" else "mean"),
        replicates=cells["replicates"].to_numpy(dtype=np.int64),
        linked=(np.diff(line) == 0) & ~_gap(group, line, column, lines=lines),
    )  # fmt: skip


def _between(rows: Rows, boundary: Boundary) -> FloatArray:
    """The value of each row at its boundary, shape (rows,); NaN without one."""
    left = np.maximum(boundary.cell, 0)
    right = np.minimum(left + 1, len(rows.value) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (boundary.position - rows.coordinate[left]) / (rows.coordinate[right] - rows.coordinate[left])
    between = rows.value[left] + np.clip(share, 0, 1) * (rows.value[right] - rows.value[left])
    return np.where(boundary.cell >= 0, between, np.nan)


def _table(
    group: Groups, cells: pd.DataFrame, rows: Rows, boundary: Boundary, scale: Scale, order: Column
) -> pd.DataFrame:
    settled = (cells["unconverged_share"].to_numpy() <= 0.5) | order.of_training
    left = np.maximum(boundary.cell, 0)
    both = settled[left] & settled[np.minimum(left + 1, len(settled) - 1)]
    codes = np.unique(group.code // len(group.levels[-1]))
    low, high = (np.where(both, scale.inverse(end), np.nan) for end in (boundary.low, boundary.high))
    return group.decoded(codes, len(group.names) - 1).assign(
        position=scale.inverse(boundary.position), low=low, high=high,
        crossings=boundary.crossings, replicates=boundary.replicates,
        converged=pd.arrays.BooleanArray(both, boundary.cell < 0),
    )  # fmt: skip


def _gap(group: Groups, line: IntArray, column: IntArray, *, lines: bool) -> BoolArray:
    """Whether a planned cell is missing between a cell and the next, shape (cells - 1,)."""
    facet = line // len(group.levels[-2]) if lines else np.zeros_like(line)
    facets, facet = np.unique(facet, return_inverse=True)
    rows = np.bincount(facet[np.flatnonzero(np.diff(line, prepend=-1))], minlength=len(facets))
    width = len(group.levels[-1])
    present = np.bincount(facet * width + column, minlength=len(facets) * width).reshape(len(facets), width)
    regular = 2 * present.sum(axis=1) >= rows * (present > 0).sum(axis=1)
    planned = np.cumsum((2 * present >= rows[:, None]) & regular[:, None], axis=1)
    return planned[facet[1:], np.maximum(column[1:] - 1, 0)] > planned[facet[:-1], column[:-1]]


def _collapse(trials: pd.DataFrame, x: str, y: str | None, facets: tuple[str, ...]) -> pd.DataFrame | None:
    if "weight_decay" not in (x, y) or COLLAPSE not in trials:
        return None
    other = y if x == "weight_decay" else x
    group = Groups.of(trials, facets if other is None else (*facets, other))
    mean = pd.Series(numbers(trials, COLLAPSE)).groupby(group.cell).mean()
    frame = group.decoded(group.code, len(group.names)).assign(**{COLLAPSE: mean.to_numpy()})
    return frame.dropna(subset=COLLAPSE)
