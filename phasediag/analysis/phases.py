"""From a frame of trials to phases and the boundary between them.

The order parameter is averaged over the replicates of every cell; the boundary is where that
average crosses a level, row by row along x. Replicates share their random numbers over all cells,
so they are resampled jointly: one draw of replicates serves the whole diagram.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.bootstrap import replicate_codes
from phasediag.analysis.boundary import Rows, Samples, find_boundary
from phasediag.analysis.frame import Groups, coded, converged, has_status, need_columns, numbers
from phasediag.errors import AnalysisError
from phasediag.storage.schema_arrow import RESULT_COLUMNS

if TYPE_CHECKING:
    from phasediag.analysis.plot import Axes, Figure

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MOST_FACET_VALUES: Final = 6
"""An unnamed axis with more values than this is refused instead of becoming a facet."""
COLLAPSE: Final = "collapse_weight_decay"
"""The column with the weight decay at which the data alone make a network collapse."""
PHASES: Final[Mapping[str, tuple[str, str]]] = {
    "degree_normalized": ("broken", "symmetric"),
    "degree_of_symmetry": ("broken", "symmetric"),
    "neuron_count": ("symmetric", "broken"),
    "alive_count": ("symmetric", "broken"),
    "rank": ("symmetric", "broken"),
    "log_rate": ("collapsing", "growing"),
}
"""What an order parameter below and above its level means; others are 'below' and 'above'."""

_FIRST: Final = ("weight_decay", "lr_over_batch", "label_noise", "init_scale", "width")
_LAST: Final = ("learning_time", "learning_rate", "steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How an axis is spaced: where to interpolate, and how to draw it."""

    kind: Literal["linear", "log", "asinh"]
    """asinh: zero beside logarithmically spaced values; linear below `width`, logarithmic above."""
    width: float = 1.0

    @classmethod
    def of(cls, values: FloatArray) -> Scale:
        """The scale on which these values are closest to evenly spaced.

        Parameters
        ----------
        values
            The distinct values of an axis, ascending, at least two, shape (values,).
        """
        positive = values[values > 0]
        if values[0] < 0 or len(positive) < 2 or not _closer_to_log(positive):
            return cls(kind="linear")
        if values[0] > 0:
            return cls(kind="log")
        wide = positive[-1] >= 10 * positive[0]
        return cls(kind="asinh", width=float(positive[0])) if wide else cls(kind="linear")

    def forward(self, values: FloatArray) -> FloatArray:
        """Values of the axis to evenly spaced coordinates."""
        if self.kind == "linear":
            return values
        return np.log(values) if self.kind == "log" else np.arcsinh(values / self.width)

    def inverse(self, coordinates: FloatArray) -> FloatArray:
        """Evenly spaced coordinates to values of the axis."""
        if self.kind == "linear":
            return coordinates
        return np.exp(coordinates) if self.kind == "log" else np.sinh(coordinates) * self.width


def _closer_to_log(positive: FloatArray) -> bool:
    if len(positive) == 2:
        return bool(positive[1] >= 10 * positive[0])
    rank = np.arange(len(positive))
    return bool(np.corrcoef(np.log(positive), rank)[0, 1] > np.corrcoef(positive, rank)[0, 1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhaseDiagram:
    """Cells, their phases and the boundary between them."""

    cells: pd.DataFrame
    """One row a cell that was run: the facet columns, x, y, `mean` and `std` of the order parameter over
    its ok trials, `replicates` (trials with a value), `diverged_share` (of all that did not fail),
    `unconverged_share` (of the ok ones), `phase` (a name by the order parameter, `diverged`, `missing`)."""
    boundary: pd.DataFrame
    """One row a facet and value of y: both under their own names, `position`, `low`, `high` (95 %, units
    of x), `crossings`, `replicates` (the fewer of the two cells beside the boundary, or of the row)."""
    collapse: pd.DataFrame | None
    """The data's own collapse threshold where weight decay is an axis: the facet columns, the other axis
    and the mean `collapse_weight_decay`."""
    x: str
    y: str
    order: str
    level: float
    facets: tuple[str, ...]
    x_scale: Scale
    y_scale: Scale

    @property
    def phases(self) -> tuple[str, str]:
        """The names of the phases below and above the level."""
        return phase_names(self.order)

    @overload
    def plot(self, ax: Axes) -> Axes: ...
    @overload
    def plot(self, ax: None = None) -> Axes | Figure: ...
    def plot(self, ax: Axes | None = None) -> Axes | Figure:
        """Draw the diagram: Axes, or a Figure with one panel a facet where there are facets.

        Raises
        ------
        AnalysisError
            Where Axes are given for a diagram with facets.
        """
        from phasediag.analysis.plot import draw_facets, draw_phase_diagram

        if self.facets and ax is None:
            return draw_facets(self)
        return draw_phase_diagram(self, ax)

    def _repr_png_(self) -> bytes:
        """What a notebook shows of a diagram."""
        from phasediag.analysis.plot import png

        return png(self.plot())


class DecoupledDecayWarning(UserWarning):
    """A diagram over the weight decay of adamw, which has no collapse threshold to compare with."""


def _warn_of_adamw(trials: pd.DataFrame, axes: tuple[str, ...]) -> None:
    if "weight_decay" in axes and "optimizer" in trials and (trials["optimizer"] == "adamw").any():
        warnings.warn(
            "adamw decouples the decay: it bounds every weight by 1 / weight_decay and never collapses a "
            "network, so a boundary here is not to be compared with a collapse threshold gamma_c; use "
            "optimizer: adam or sgd for that (exact result E13, phasediag.exact.decoupled_product)",
            DecoupledDecayWarning, stacklevel=3,
        )  # fmt: skip


def phase_names(order: str) -> tuple[str, str]:
    """The names of the phases in which an order parameter is below and above its level."""
    return PHASES.get(order, ("below", "above"))


def phase_diagram(
    trials: pd.DataFrame,
    x: str,
    y: str,
    order: str = "degree_normalized",
    level: float = 0.5,
    facet: str | Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> PhaseDiagram:
    """Average an order parameter over replicates and find where it crosses a level.

    Within a row (one value of y and facet) the average is interpolated linearly along x, along log x
    where x is spaced so. The crossing lies between neighbouring cells that both have a value: a cell
    that failed, is missing or mostly diverged breaks the row. Values of x that fewer than half of the
    rows have (added by a refinement) are no gaps in the rows that lack them. No crossing gives NaN,
    several give the steepest. Infinite order parameters count as the largest finite one.

    The interval is a percentile bootstrap over replicates, resampled jointly over all cells, with
    Hesterberg's correction for few replicates. A resample without crossing puts the boundary at the end
    of the row. With fewer than 3 replicates the interval is NaN. Where at least half of the row's range
    is passed between two neighbouring cells, the order parameter jumps, and the interval is at least
    that cell.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it. Only `ok` rows have an order parameter.
    x, y
        Columns of two numeric axes.
    order
        Any numeric column.
    level
        Value of `order` at the boundary.
    facet
        Columns that split the diagram. Another axis becomes a facet if it has at most 6 values.
    resamples, seed
        Of the bootstrap.

    Raises
    ------
    AnalysisError
        For unknown, unusable or forgotten columns; says what to do.

    Warns
    -----
    DecoupledDecayWarning
        Where an axis is the weight decay and a trial was trained with adamw.
    """
    facets = (facet,) if isinstance(facet, str) else tuple(facet or ())
    _check(trials, x, y, order, facets)
    _warn_of_adamw(trials, (x, y))
    facets += _unnamed_axes(trials, (*facets, y, x), order)
    group = Groups.of(trials, (*facets, y, x))
    values = _order_values(trials, order)
    cells = _cells(trials, group, values, order, level)
    x_scale, y_scale = (Scale.of(v.astype(np.float64)) for v in (group.levels[-1], group.levels[-2]))
    return PhaseDiagram(
        cells=cells, boundary=_boundary(trials, group, cells, values, x_scale, level, resamples, seed),
        collapse=_collapse(trials, x, y, facets), x=x, y=y, order=order, level=level, facets=facets,
        x_scale=x_scale, y_scale=y_scale,
    )  # fmt: skip


def _check(trials: pd.DataFrame, x: str, y: str, order: str, facets: tuple[str, ...]) -> None:
    need_columns(trials, (x, y, order, *facets))
    names = (x, y, *facets)
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise AnalysisError(f"'{twice}' is named twice among x, y and facet; give each a column of its own")
    numbers(trials, order)
    for role, name in (("x", x), ("y", y)):
        values = numbers(trials, name)
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise AnalysisError(
                f"{role}='{name}' is null or infinite in {bad} of {len(values)} trials; drop those"
            )
        if values.min() == values.max():
            raise AnalysisError(
                f"{role}='{name}' has only one value ({values[0]:g}) in these trials; a diagram needs two "
                "axes that vary: choose another column, or keep more trials"
            )


def _unnamed_axes(trials: pd.DataFrame, named: tuple[str, ...], order: str) -> tuple[str, ...]:
    """The parameters that still vary inside the cells, and become facets."""
    ignored = {*RESULT_COLUMNS, *named, order, COLLAPSE}
    names = [str(c) for c in trials.columns if c not in ignored]
    columns = {name: coded(trials[name]) for name in names}
    names = sorted((n for n in names if len(columns[n][1]) > 1), key=_preference)
    cell = Groups.of(trials, named).cell
    found: tuple[str, ...] = ()
    point = coded(trials["point_id"])[0] if names and "point_id" in trials else None
    for name in names:
        codes, values = columns[name]
        is_result = point is not None and _varies(codes, point)
        if is_result or not _varies(codes, cell):
            continue
        if len(values) > MOST_FACET_VALUES:
            raise AnalysisError(
                f"'{name}' varies too ({len(values)} values) and is named in none of x, y, facet; an axis "
                f"becomes a facet by itself up to {MOST_FACET_VALUES} values: pass facet='{name}', or keep "
                f"the trials of one value, such as trials[trials['{name}'] == {values[0]!r}]"
            )
        found += (name,)
        cell = cell * len(values) + codes
    return found


def _preference(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else 9 + (name in _LAST and 1 + _LAST.index(name))


def _varies(codes: IntArray, group: IntArray) -> bool:
    ordered = np.argsort(group, kind="stable")
    same_group = group[ordered][1:] == group[ordered][:-1]
    return bool((same_group & (np.diff(codes[ordered]) != 0)).any())


def _order_values(trials: pd.DataFrame, order: str) -> FloatArray:
    """The order parameter of the ok trials, NaN elsewhere; infinities at the largest finite values."""
    values = np.where(has_status(trials, "ok"), numbers(trials, order), np.nan)
    finite = values[np.isfinite(values)]
    return np.clip(values, finite.min(), finite.max()) if len(finite) else np.full_like(values, np.nan)


def _cells(trials: pd.DataFrame, group: Groups, values: FloatArray, order: str, level: float) -> pd.DataFrame:
    def total(weights: npt.NDArray[Any]) -> FloatArray:
        sums = np.bincount(group.cell, weights.astype(np.float64), minlength=len(group.code))
        return sums.astype(np.float64, copy=False)

    known = np.isfinite(values)
    ok, diverged = has_status(trials, "ok"), has_status(trials, "diverged")
    unconverged = ok & ~converged(trials, when_unknown=True)
    count = total(known)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total(np.where(known, values, 0)) / count
        spread = total(np.where(known, values - mean[group.cell], 0) ** 2)
        std = np.where(count > 1, np.sqrt(spread / (count - 1)), np.nan)
        diverged_share = np.nan_to_num(total(diverged) / total(ok | diverged))
        unconverged_share = np.nan_to_num(total(unconverged) / total(ok))
    phase = np.select(
        [diverged_share > 0.5, count == 0, mean < level], ["diverged", "missing", phase_names(order)[0]],
        phase_names(order)[1],
    )  # fmt: skip
    return group.decoded(group.code, len(group.names)).assign(
        mean=mean, std=std, replicates=count.astype(np.int64), diverged_share=diverged_share,
        unconverged_share=unconverged_share, phase=phase,
    )  # fmt: skip


def _boundary(
    trials: pd.DataFrame, group: Groups, cells: pd.DataFrame, values: FloatArray,
    scale: Scale, level: float, resamples: int, seed: int,
) -> pd.DataFrame:  # fmt: skip
    line, column = np.divmod(group.code, len(group.levels[-1]))
    codes, row = np.unique(line, return_inverse=True)
    rows = Rows(
        row=row, coordinate=scale.forward(group.levels[-1].astype(np.float64))[column],
        value=cells["mean"].where(cells["diverged_share"] <= 0.5).to_numpy(dtype=np.float64),
        replicates=cells["replicates"].to_numpy(dtype=np.int64),
        linked=(np.diff(line) == 0) & ~_gap(group, line, column),
    )  # fmt: skip
    samples = Samples(cell=group.cell, replicate=replicate_codes(trials, group.cell), value=values)
    found = find_boundary(rows, samples, level, resamples, seed)
    return group.decoded(codes, len(group.names) - 1).assign(
        position=scale.inverse(found.position), low=scale.inverse(found.low), high=scale.inverse(found.high),
        crossings=found.crossings, replicates=found.replicates,
    )  # fmt: skip


def _gap(group: Groups, line: IntArray, column: IntArray) -> BoolArray:
    """Whether a planned cell is missing between a cell and the next, shape (cells - 1,)."""
    facet = line // len(group.levels[-2])
    facets, facet = np.unique(facet, return_inverse=True)
    rows = np.bincount(facet[np.flatnonzero(np.diff(line, prepend=-1))], minlength=len(facets))
    width = len(group.levels[-1])
    present = np.bincount(facet * width + column, minlength=len(facets) * width).reshape(len(facets), width)
    planned = np.cumsum(2 * present >= rows[:, None], axis=1)
    return planned[facet[1:], np.maximum(column[1:] - 1, 0)] > planned[facet[:-1], column[:-1]]


def _collapse(trials: pd.DataFrame, x: str, y: str, facets: tuple[str, ...]) -> pd.DataFrame | None:
    if "weight_decay" not in (x, y) or COLLAPSE not in trials:
        return None
    group = Groups.of(trials, (*facets, y if x == "weight_decay" else x))
    mean = pd.Series(numbers(trials, COLLAPSE)).groupby(group.cell).mean()
    frame = group.decoded(group.code, len(group.names)).assign(**{COLLAPSE: mean.to_numpy()})
    return frame.dropna(subset=COLLAPSE)
