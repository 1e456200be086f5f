"""Counting again, from stored distances, at another threshold than that at which a trial was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.analysis.rejudged import CHANGES, FLAGS, LastMeasurements, rejudged
from phasediag.arrays import FloatArray
from phasediag.columns import DERIVED_COLUMNS
from phasediag.errors import AnalysisError
from phasediag.observables.known import distance_observables
from phasediag.observables.observable import DistanceObservable
from phasediag.observables.threshold import Threshold, root_mean_square
from phasediag.storage.store import Store

THRESHOLDED: Final[tuple[str, ...]] = tuple(distance_observables())
COUNTS: Final[Mapping[str, str]] = {
    name: observable.column for name, observable in distance_observables().items() if observable.column
}
"""The column of `trials` that each observable fills on `measure.layer`."""
COUNT_COLUMNS: Final = tuple(dict.fromkeys(COUNTS.values()))
"""The columns of `trials` that hold counts, each once."""
RECOUNTED: Final = (*COUNT_COLUMNS, "degree_normalized", *DERIVED_COLUMNS)
"""The counts that follow the threshold, and what is made of them."""
NO_DISTANCE: Final = 255
"""In what `passages` gives: what stands where a trial has fewer distances than others."""
FOLLOWING: Final = (*RECOUNTED, "drift", *FLAGS)
"""All columns that follow the threshold."""
RESTS_ON: Final = (
    "trial_id", "status", "measure_layer", "steps", "steps_done", "relaxations", *FLAGS, *COUNT_COLUMNS,
)  # fmt: skip
"""The columns of `trials` that counting again rests on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recounted:
    """Trials at another threshold."""

    columns: Mapping[str, Any]
    """The columns of `trials` that follow the threshold, shape (trials,)."""
    carried: int
    """Trials of which it is not stored how their distances moved: their flags are as recorded."""
    lost: npt.NDArray[np.bool_]
    """Trials whose measurements cannot be read, of which a `DamageWarning` has told; shape (trials,)."""


def recounted(store: Store, trials: pa.Table, cut: Threshold | None, factor: float = 1.0) -> Recounted:
    """Count trials again.

    Parameters
    ----------
    cut
        The threshold of all; None: that at which each was recorded.
    factor
        Of the threshold, and of the tolerance of the rank.
    """
    absolute, relative = (factor * part for part in _thresholds(trials, cut))
    measured = _last_measurements(store, trials)
    lost = _without_any(trials, measured)
    epsilon, normalized, pairs = (np.full(len(trials), np.nan) for _ in range(3))
    counted: dict[str, FloatArray] = {}
    for rule, lists, needed in _counted(trials, measured, lost):
        counts, top = np.full(len(trials), np.nan), np.full(len(trials), np.nan)
        for own, distances, scale, most in lists:
            top[own] = most
            if rule.name == "sign_flip":
                epsilon[own] = np.maximum(absolute[own], relative[own] * scale)
            counts[own] = rule.count(distances, epsilon[own], absolute[own], factor)
        if rule.name == "permutation":
            np.divide(counts, top, out=normalized, where=needed & (top > 0))
            pairs = np.where(needed, top, np.nan)
        column = top - counts if rule.complement else counts
        before = counted.get(rule.column, np.full(len(trials), np.nan))
        counted[rule.column] = np.where(needed, column, before)
    flags = rejudged(trials, measured, (absolute, relative), factor)
    columns = {
        **{name: _integers(values) for name, values in counted.items()},
        "max_degree": _integers(pairs), "degree_normalized": normalized, **flags.columns,
        "threshold_absolute": absolute, "threshold_relative": relative,
    }  # fmt: skip
    return Recounted(columns=columns, carried=flags.carried, lost=lost)


def passages(store: Store, trials: pa.Table, factors: Sequence[float]) -> Mapping[str, npt.NDArray[np.uint8]]:
    """At which factors of the threshold each stored distance is on which side of it.

    Parameters
    ----------
    factors
        Of the threshold, and of the tolerance of the rank; ascending, fewer than 255.

    Returns
    -------
    By each of `COUNT_COLUMNS` that is recorded, shape (trials, distances): at how many of the factors, the
    smallest ones, the distance is the larger; `NO_DISTANCE` where a trial has fewer. At the factor of place p
    those of at most p are the smaller, and the others the larger.

    Raises
    ------
    AnalysisError
        Where the distances were not stored.
    """
    recorded = _thresholds(trials, None)
    measured = _last_measurements(store, trials)
    scales = np.full(len(trials), np.nan)
    passed: dict[str, npt.NDArray[np.uint8]] = {}
    for rule, lists, needed in _counted(trials, measured, _without_any(trials, measured)):
        for own, distances, scale, _ in lists:
            if rule.name == "sign_flip":
                scales[own] = scale
            larger = np.zeros(distances.shape, dtype=np.uint8)
            for factor in factors:
                absolute, relative = (factor * part[own] for part in recorded)
                limit = rule.limit(distances, np.maximum(absolute, relative * scales[own]), absolute, factor)
                larger += rule.chosen(distances, limit) == (rule.counts == "above")
            rows, kept = own[needed[own]], larger[needed[own]]
            before = passed.get(rule.column, np.zeros((len(trials), 0), dtype=np.uint8))
            grown = max(0, kept.shape[1] - before.shape[1])
            filled = np.pad(before, ((0, 0), (0, grown)), constant_values=NO_DISTANCE)
            filled[rows] = NO_DISTANCE
            filled[rows, : kept.shape[1]] = kept
            passed[rule.column] = filled
    return passed


List = tuple[npt.NDArray[np.int64], npt.NDArray[Any], FloatArray, npt.NDArray[Any]]
"""Lists of one length: their trials, the distances, shape (trials, length), the scale of their layer,
and the largest count."""


def _counted(
    trials: pa.Table, measured: Mapping[str, LastMeasurements], lost: npt.NDArray[np.bool_]
) -> Iterator[tuple[DistanceObservable, list[List], npt.NDArray[np.bool_]]]:
    """Each observable that fills a column, its lists, and which trials have that column from it."""
    ok = pc.equal(trials["status"], "ok").to_numpy() & ~lost
    for observable in sorted(COUNTS, key=_turn):
        rule = distance_observables()[observable]
        rows, at = measured[observable].rows, measured[observable].trial
        needed = ok & trials[COUNTS[observable]].is_valid().to_numpy()
        if rule.supersedes:
            needed &= np.isin(np.arange(len(trials)), at)
        _need_distances(rows["distances"], needed, at, observable)
        top = rows["max_degree"].to_numpy()
        stored = rows["scale"].to_numpy().astype(np.float64)
        lists = []
        for part, distances in matrices(rows["distances"]):
            scale = stored[part]
            if observable == "sign_flip":
                scale = np.where(np.isnan(scale), root_mean_square(distances), scale)
            lists.append((at[part], distances, scale, top[part]))
        yield rule, lists, needed


def _turn(observable: str) -> tuple[bool, str]:
    """The threshold comes from `sign_flip` first; what supersedes another comes after it."""
    return observable != "sign_flip", distance_observables()[observable].supersedes


def _thresholds(trials: pa.Table, cut: Threshold | None) -> tuple[FloatArray, FloatArray]:
    """Absolute and relative threshold of each trial, shape (trials,) each."""
    if cut is not None:
        return np.full(len(trials), cut.absolute), np.full(len(trials), cut.relative)
    absolute, relative = (trials[f"threshold_{part}"].to_numpy() for part in ("absolute", "relative"))
    return absolute.astype(np.float64), relative.astype(np.float64)


def _last_measurements(store: Store, trials: pa.Table) -> dict[str, LastMeasurements]:
    """The last measurements on each trial's `measure_layer`, by observable.

    Where rows are stages, those at the end of each stage.
    """
    staged = "stage" in trials.column_names
    rows = store.measurements_table(
        THRESHOLDED, last=not staged, ordered=False,
        columns=(
            "trial_id", "step", "layer", "observable", "max_degree", "scale", "distances", *CHANGES
        ),
    )  # fmt: skip
    ends, keys = rows["trial_id"], trials["trial_id"]
    if staged:
        ends, keys = _at_steps(ends, rows["step"]), _at_steps(keys, trials["steps_done"])
    of = pc.index_in(ends, value_set=keys.combine_chunks()).combine_chunks()
    same = pc.equal(trials["measure_layer"].combine_chunks().take(of), rows["layer"].combine_chunks())
    here, names = pc.fill_null(same, False), rows["observable"].combine_chunks()
    last = {}
    for observable in THRESHOLDED:  # each once: lists are long to copy
        chosen = pc.and_(here, pc.equal(names, observable))
        last[observable] = LastMeasurements(
            rows=rows.filter(chosen),
            trial=of.filter(chosen).to_numpy(zero_copy_only=False).astype(np.int64),
        )
    return last


def _without_any(trials: pa.Table, measured: Mapping[str, LastMeasurements]) -> npt.NDArray[np.bool_]:
    """The trials that were measured, and of which no measurement was read."""
    seen = np.zeros(len(trials), dtype=bool)
    for each in measured.values():
        seen[each.trial] = True
    was = (
        pc.and_(pc.equal(trials["status"], "ok"), trials["measure_layer"].is_valid()).to_numpy().astype(bool)
    )
    lost: npt.NDArray[np.bool_] = was & ~seen
    if lost.any():  # of a trial that is a row a stage, one stage is enough
        ids = trials["trial_id"]
        lost &= ~pc.is_in(ids, value_set=pc.unique(ids.filter(pa.array(seen)))).to_numpy().astype(bool)
    return lost


def _at_steps(trial_id: pa.ChunkedArray, step: pa.ChunkedArray) -> pa.ChunkedArray:
    """What stands for a trial at a step."""
    return pc.binary_join_element_wise(trial_id, pc.cast(step, pa.string()), " ")


def _integers(values: FloatArray) -> npt.NDArray[Any]:
    """Counts as whole numbers, unless one is null."""
    return values if np.isnan(values).any() else values.astype(np.int64)


def _need_distances(
    distances: pa.ChunkedArray,
    needed: npt.NDArray[np.bool_],
    position: npt.NDArray[np.int64],
    observable: str,
) -> None:
    stored = np.zeros(len(needed), dtype=bool)
    stored[position[distances.is_valid().to_numpy()]] = True
    missing = int(np.sum(needed & ~stored))
    if missing:
        raise not_stored(missing, observable)


def not_stored(missing: int, observable: str) -> AnalysisError:
    """That so many measurements cannot be counted again, and what to do."""
    return AnalysisError(
        f"{missing} measurements of {observable} were recorded without distances, so they cannot be "
        "counted at another threshold; ask for `last=True` where the grid says `distances: last`, or set "
        "`measure: {distances: last}` (or all) in the grid and run `phasediag launch GRID --remeasure`"
    )


def matrices(lists: pa.ChunkedArray) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]:
    """Lists of equal length as matrices: their rows, and their values of shape (rows, length)."""
    start = 0
    for chunk in lists.chunks:
        lengths = pc.fill_null(pc.list_value_length(chunk), -1).to_numpy(zero_copy_only=False)
        values = chunk.flatten().to_numpy(zero_copy_only=False)
        first = np.cumsum(np.maximum(lengths, 0)) - np.maximum(lengths, 0)
        for length in np.unique(lengths[lengths >= 0]):
            rows = np.flatnonzero(lengths == length)
            if len(rows) * length == len(values):  # nothing else is stored between them
                yield start + rows, values.reshape(len(rows), length)
            else:
                yield start + rows, values[first[rows][:, None] + np.arange(length)]
        start += len(chunk)
