"""Whether trials have converged at another threshold than that at which they were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.arrays import BoolArray, FloatArray, IntArray
from phasediag.measuring.judgement import counts_of, judged, words
from phasediag.measuring.moments import Changes, CourseMoments
from phasediag.observables.known import ALWAYS, distance_observables

CHANGES: Final = ("log_change_half", "log_change_late")
"""The columns of `measurements` that tell how distances moved."""
FLAGS: Final = ("converged", "more_steps", "count_converged", "count_more_steps", "unsettled")
"""The columns of `trials` that tell of convergence, besides `drift`."""
AT_ONCE: Final = 2**22
"""Distances that are judged at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rejudged:
    """The verdicts on the convergence of some trials."""

    columns: Mapping[str, Any]
    """`drift` and `FLAGS`, shape (trials,)."""
    carried: int
    """Trials that are ok, of which it is not stored how their distances moved; their flags are as
    recorded."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LastMeasurements:
    """The last measurements of one observable, on the layer on which each trial is measured."""

    rows: pa.Table
    """With `distances` and `CHANGES`."""
    trial: IntArray
    """The trial of each row, by its place among the trials; shape (rows,)."""


def rejudged(
    trials: pa.Table, measured: Mapping[str, LastMeasurements], threshold: tuple[FloatArray, FloatArray],
    factor: float = 1.0,
) -> Rejudged:  # fmt: skip
    """Judge trials again from the distances that are stored and how they moved.

    Parameters
    ----------
    trials
        With `status, steps, steps_done, relaxations` and `FLAGS`.
    measured
        Those of each observable that is a list of distances.
    threshold
        Absolute and relative part, shape (trials,) each.
    factor
        Of every tolerance that is not part of the threshold.
    """
    ok = pc.equal(trials["status"], "ok").to_numpy()
    lists = {name: _DistanceLists.of(measured[name], len(trials)) for name in distance_observables()}
    lengths = np.column_stack([each.lengths for each in lists.values()])
    known = ok & np.all([lists[name].lengths >= 0 for name in ALWAYS], axis=0)
    known &= trials["relaxations"].is_valid().to_numpy() & (_recorded(trials, "steps_done") > 0)
    columns = {name: _recorded(trials, name) for name in FLAGS}
    columns["drift"] = np.full(len(trials), np.nan)
    for rows in _alike(lengths, np.flatnonzero(known)):
        size = max(1, AT_ONCE // int(np.maximum(lengths[rows[0]], 0).sum()))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            for name, values in _judgement(trials, lists, part, threshold, factor).items():
                columns[name][part] = values
    return Rejudged(
        columns={name: _typed(name, values) for name, values in columns.items()},
        carried=int((ok & ~known & ~np.isnan(columns["converged"])).sum()),
    )


def _alike(lengths: IntArray, rows: IntArray) -> Iterator[IntArray]:
    """Some rows of a matrix, those that are equal together; sorting whole rows takes ten times as long."""
    group = np.zeros(len(rows), dtype=np.int64)
    for column in lengths[rows].T:
        if (column != column[:1]).any():
            _, group = np.unique(group * (column.max() + 2) + column, return_inverse=True)
    for number in np.unique(group):
        yield rows[group == number]


def _judgement(
    trials: pa.Table, lists: Mapping[str, _DistanceLists], rows: IntArray,
    threshold: tuple[FloatArray, FloatArray], factor: float,
) -> dict[str, npt.NDArray[Any]]:  # fmt: skip
    """Judge trials whose layers are of one size."""
    moments = {name: each.moments(rows) for name, each in lists.items() if each.lengths[rows[0]] >= 0}
    absolute, relative = (part[rows] for part in threshold)
    asked, done, relaxations = (
        _recorded(trials, name)[rows] for name in ("steps", "steps_done", "relaxations")
    )  # of a stage of a ramp the steps done are those of all stages so far
    steps = np.where(np.isnan(asked), done, asked)
    rules = {name: distance_observables()[name] for name in moments}
    columns = judged(moments, rules, (absolute, relative), steps, relaxations / done, factor).columns()
    return {**columns, "unsettled": words(columns["unsettled"], counts_of(rules))}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _DistanceLists:
    """The distances of one observable and how they moved, of trials; arrays of shape (trials,)."""

    lengths: IntArray
    """How many distances are known of each trial; -1 where it is not stored how they moved."""
    row: IntArray
    """The measurement of each trial."""
    values: tuple[npt.NDArray[Any], ...]
    """The values of all measurements, one after the other: distances, and `CHANGES`."""
    first: tuple[IntArray, ...]
    """Where those of each measurement begin."""

    @classmethod
    def of(cls, measured: LastMeasurements, trials: int) -> _DistanceLists:
        """The lists of one observable."""
        row, lengths = np.zeros(trials, dtype=np.int64), np.full(trials, -1, dtype=np.int64)
        rows, at = measured.rows, measured.trial
        if any(rows[name].null_count == len(rows) for name in CHANGES):  # of none is it known
            return cls(lengths=lengths, row=row, values=(), first=())
        parts = [rows[name].combine_chunks() for name in ("distances", *CHANGES)]
        counts = [pc.fill_null(pc.list_value_length(p), -1).to_numpy().astype(np.int64) for p in parts]
        row[at] = np.arange(len(rows))
        lengths[at] = np.min(counts, axis=0)
        first = tuple(np.cumsum(np.maximum(n, 0)) - np.maximum(n, 0) for n in counts)
        values = tuple(part.flatten().to_numpy(zero_copy_only=False) for part in parts)
        return cls(lengths=lengths, row=row, values=values, first=first)

    def moments(self, trials: IntArray) -> CourseMoments:
        """The moments of some trials, which have equally many distances."""
        rows, length = self.row[trials], self.lengths[trials[0]]
        last, half, late = (
            _matrix(values, first[rows], int(length))
            for values, first in zip(self.values, self.first, strict=True)
        )
        return CourseMoments.of(last, Changes(half=half, late=late))


def _matrix(values: npt.NDArray[Any], first: IntArray, length: int) -> npt.NDArray[Any]:
    """Lists of one length as the rows of a matrix; a view where they follow each other in memory."""
    if np.all(np.diff(first) == length):
        return values[first[0] : first[0] + len(first) * length].reshape(len(first), length)
    rows: npt.NDArray[Any] = values[first[:, None] + np.arange(length)]
    return rows


def _recorded(trials: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column as it was recorded, shape (trials,): texts, or numbers, NaN where it is null."""
    if pa.types.is_string(trials[name].type):
        return np.array(trials[name].to_pylist(), dtype=object)
    column: FloatArray = trials[name].cast(pa.float64()).to_numpy().copy()
    return column


def _typed(name: str, values: npt.NDArray[Any]) -> Any:
    """The values as a frame holds them: texts, whole numbers and truth values, unless one is null."""
    if values.dtype == object:
        return pd.array(values, dtype="str")
    unknown: BoolArray = np.isnan(values)
    if name in ("converged", "count_converged"):
        flags = np.nan_to_num(values).astype(bool)
        return pd.arrays.BooleanArray(flags, unknown) if unknown.any() else flags
    return values if name == "drift" or unknown.any() else values.astype(np.int64)
