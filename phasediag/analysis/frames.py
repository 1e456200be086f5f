"""A sweep as data frames: one row a trial, or one row a measurement, at any threshold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from phasediag.errors import AnalysisError
from phasediag.observables import Observable, Threshold, degree
from phasediag.storage.store import Store

FloatArray = npt.NDArray[np.float64]

_THRESHOLDED: Final[tuple[Observable, ...]] = get_args(Observable)
_COUNTS: Final[Mapping[Observable, str]] = {
    "permutation": "degree_of_symmetry",
    "classes": "neuron_count",
    "sign_flip": "alive_count",
    "rank": "rank",
}
"""The column of `trials` that each observable fills on `measure.layer`."""


def load_trials(
    sweep: str | os.PathLike[str],
    threshold: Mapping[str, float] | Threshold | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The trials of a sweep, one row each, in the order of their ids; a running launch does not disturb.

    Numbers that can be null are float64 with NaN, truth values that can be null pandas' `boolean`,
    lists of numbers tuples.

    Parameters
    ----------
    sweep
        The folder or URI of the sweep.
    threshold
        Count again from the stored distances below this threshold, `{"absolute": ..., "relative": ...}`,
        without training: `degree_of_symmetry`, `degree_normalized`, `neuron_count`, `alive_count` and
        `rank` follow it. `drift`, `converged` and `more_steps` become null: they rest on distances before
        the end of the run, which are not stored. None: as recorded.
    columns
        The columns wanted, in this order; None: all. A trial that lacks one has null there.

    Raises
    ------
    StoreError
        Where there is no such sweep, or no trial has a column that is wanted.
    AnalysisError
        Where the threshold is not allowed, or the distances were not stored.
    """
    store = Store.at(sweep).required()
    if threshold is None:
        return _frame(store.trials_table(columns))
    cut = _checked(threshold)
    needed = None if columns is None else [*columns, "trial_id", "status", "measure_layer", *_COUNTS.values()]
    rows = store.trials_table(None if needed is None else list(dict.fromkeys(needed)))
    trials = _frame(rows).assign(**_recounted(store, rows, cut))
    return trials if columns is None else trials[list(columns)]


def load_measurements(
    sweep: str | os.PathLike[str],
    observable: str | Sequence[str] | None = None,
    layer: str | None = None,
    last: bool = False,
    threshold: Mapping[str, float] | Threshold | None = None,
) -> pd.DataFrame:
    """The measurements of a sweep, one row a trial, step, layer and observable, in this order.

    Parameters
    ----------
    sweep
        The folder or URI of the sweep.
    observable, layer
        Only these; None: all.
    last
        Only the last step of each trial.
    threshold
        Count `degree` and `normalized` again from the stored distances; None: as recorded.

    Returns
    -------
    The columns of `measurements`; `distances` holds arrays, in the order measured, or None where
    the grid left them out.

    Raises
    ------
    StoreError
        Where there is no such sweep.
    AnalysisError
        Where the threshold is not allowed, or the distances of a row were not stored.
    """
    store = Store.at(sweep).required()
    if threshold is None:
        return _frame(store.measurements_table(observable, layer, last))
    cut = _checked(threshold)
    rows = store.measurements_table(observable, layer, last)
    norms = store.measurements_table("sign_flip", layer, last)
    return _frame(_recounted_rows(rows, norms, cut))


def _checked(threshold: Mapping[str, float] | Threshold) -> Threshold:
    if isinstance(threshold, Threshold):
        return threshold
    try:
        return Threshold.model_validate(dict(threshold))
    except ValidationError as error:
        fault = error.errors()[0]
        raise AnalysisError(
            f"threshold {dict(threshold)}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}; "
            "give absolute and relative, numbers of at least 0"
        ) from None


def _recounted(store: Store, trials: pa.Table, cut: Threshold) -> dict[str, Any]:
    """The columns of `trials` that follow the threshold, shape (trials,)."""
    measured, position = _on_measured_layer(store, trials)
    names = measured["observable"].to_numpy()
    ok = pc.equal(trials["status"], "ok").to_numpy()
    epsilon, normalized = np.full(len(trials), np.nan), np.full(len(trials), np.nan)
    found: dict[str, FloatArray] = {}
    for observable in ("sign_flip", "permutation", "classes", "rank"):
        here = np.flatnonzero(names == observable)
        rows, at = measured.take(pa.array(here)), position[here]
        needed = ok & trials[_COUNTS[observable]].is_valid().to_numpy()
        _need_distances(rows["distances"], needed, at, observable)
        counts, top = np.full(len(trials), np.nan), np.full(len(trials), np.nan)
        top[at] = rows["max_degree"].to_numpy()
        for part, distances in _matrices(rows["distances"]):
            if observable == "sign_flip":
                epsilon[at[part]] = cut.epsilon(distances)
            counts[at[part]] = degree(observable, distances, epsilon[at[part]], cut.absolute)
        if observable == "permutation":
            np.divide(counts, top, out=normalized, where=needed & (top > 0))
        column = top - counts if observable == "sign_flip" else counts
        found[_COUNTS[observable]] = np.where(needed, column, np.nan)
    return {
        **{name: _whole(values) for name, values in found.items()},
        "degree_normalized": normalized, "drift": np.nan,
        "converged": pd.array([pd.NA] * len(trials), dtype="boolean"), "more_steps": np.nan,
        "threshold_absolute": cut.absolute, "threshold_relative": cut.relative,
    }  # fmt: skip


def _on_measured_layer(store: Store, trials: pa.Table) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The last measurements on each trial's `measure_layer`, and the position of their trials."""
    rows = store.measurements_table(
        _THRESHOLDED, last=True, columns=("trial_id", "layer", "observable", "max_degree", "distances")
    )
    of = pc.index_in(rows["trial_id"], value_set=trials["trial_id"].combine_chunks()).combine_chunks()
    same = pc.equal(trials["measure_layer"].combine_chunks().take(of), rows["layer"].combine_chunks())
    here = np.flatnonzero(pc.fill_null(same, False).to_numpy(zero_copy_only=False))
    position = of.take(pa.array(here)).to_numpy(zero_copy_only=False).astype(np.int64)
    return rows.take(pa.array(here)), position


def _whole(values: FloatArray) -> npt.NDArray[Any]:
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
        raise _not_stored(missing, observable)


def _not_stored(missing: int, observable: str) -> AnalysisError:
    return AnalysisError(
        f"{missing} measurements of {observable} were recorded without distances, so they cannot be "
        "counted at another threshold; ask for `last=True` where the grid says `distances: last`, or set "
        "`measure: {distances: last}` (or all) in the grid and run `phasediag launch GRID --remeasure`"
    )


def _matrices(lists: pa.ChunkedArray) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]:
    """Lists of equal length as matrices: their rows, and their values of shape (rows, length)."""
    start = 0
    for chunk in lists.chunks:
        lengths = pc.fill_null(pc.list_value_length(chunk), -1).to_numpy(zero_copy_only=False)
        values = chunk.flatten().to_numpy(zero_copy_only=False)
        first = np.cumsum(np.maximum(lengths, 0)) - np.maximum(lengths, 0)
        for length in np.unique(lengths[lengths >= 0]):
            rows = np.flatnonzero(lengths == length)
            yield start + rows, values[first[rows][:, None] + np.arange(length)]
        start += len(chunk)


def _recounted_rows(rows: pa.Table, norms: pa.Table, cut: Threshold) -> pa.Table:
    """Measurements with epsilon, degree and normalized at another threshold."""
    keys = ["trial_id", "step", "layer"]
    measured = norms.select(keys).to_pandas()
    measured["epsilon"] = np.nan
    for part, distances in _matrices(norms["distances"]):
        measured.loc[part, "epsilon"] = cut.epsilon(distances)
    epsilon = rows.select(keys).to_pandas().merge(measured, on=keys, how="left")["epsilon"].to_numpy()
    names = rows["observable"].to_numpy()
    counts = rows["degree"].to_numpy().astype(np.float64)
    for observable in _THRESHOLDED:
        chosen = names == observable
        missing = int(np.sum(chosen & ~rows["distances"].is_valid().to_numpy()))
        if missing:
            raise _not_stored(missing, observable)
    for part, distances in _matrices(rows["distances"]):
        for observable in _THRESHOLDED:
            chosen = names[part] == observable
            at = part[chosen]
            counts[at] = degree(observable, distances[chosen], epsilon[at], cut.absolute)
    top = rows["max_degree"].to_numpy().astype(np.float64)
    normalized = np.divide(counts, top, out=np.full(len(counts), np.nan), where=top > 0)
    again = pc.is_in(rows["observable"], value_set=pa.array(_THRESHOLDED))
    for name, values in (("epsilon", epsilon), ("degree", counts), ("normalized", normalized)):
        kind = rows.schema.field(name).type
        fresh = pa.chunked_array([pa.array(values, from_pandas=True).cast(kind)])
        column = pc.if_else(again, fresh, rows[name])
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def _frame(rows: pa.Table) -> pd.DataFrame:
    """A table as a data frame of plain types."""
    frame: pd.DataFrame = rows.to_pandas()
    for field in rows.schema:
        column = rows[field.name]
        if pa.types.is_boolean(field.type) and column.null_count:
            frame[field.name] = frame[field.name].astype("boolean")
        if pa.types.is_list(field.type) and field.name != "distances":
            frame[field.name] = _tuples(column)
    return frame


def _tuples(lists: pa.ChunkedArray) -> pd.Series:
    values = [None if v is None else tuple(v) for v in lists.to_pylist()]
    return pd.Series(values, dtype=object)
