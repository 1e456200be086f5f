"""A sweep as data frames: one row a trial, or one row a measurement, at any threshold."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from phasediag.analysis.declared_columns import rules_of, with_declarations
from phasediag.analysis.noise import BESIDE, TEMPERATURE, with_temperature
from phasediag.analysis.recount import FOLLOWING, RESTS_ON, matrices, not_stored, recounted
from phasediag.analysis.stages import NEEDED, staged
from phasediag.analysis.versions import DEFINITIONS, tell_of_observables
from phasediag.arrays import FloatArray
from phasediag.columns import (
    DERIVED_COLUMNS,
    MEASUREMENTS,
    OBSERVABLE_SOURCE,
    OF_STAGES,
    RESULT_COLUMNS,
    STAGES,
)
from phasediag.errors import AnalysisError, RecordsWarning, nearest
from phasediag.observables.known import distance_observables
from phasediag.observables.threshold import Threshold, breaking, root_mean_square
from phasediag.storage.launches import LAUNCHES, launches_of
from phasediag.storage.store import Store

_OF_A_DIAGRAM: Final = (
    "trial_id", "pack_id", "point_id", "replicate", "seed", "status", "converged", "count_converged",
    "unsettled", "collapse_weight_decay",
    "model_source", "task_source", "optimizer_source", "started_at",
    "neuron_count", "measure_layer", "definitions",
)  # fmt: skip
"""The results that any diagram rests on."""


_ARRAYS: Final = frozenset(column.name for column in MEASUREMENTS if column.type in ("numbers", "changes"))
"""The lists of measurements, which stay arrays in a frame."""


class CarriedWarning(RecordsWarning):
    """Whether trials at another threshold have converged is what was recorded."""


def load_trials(
    sweep: str | os.PathLike[str],
    threshold: Mapping[str, float] | Threshold | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The trials of a sweep, one row each, in the order of their ids; a running launch does not disturb.

    A trial with a ramp has one row for each stage instead, with the results and the value of the parameter
    there, and the columns `stage` and `way` (`up` or `down`); such rows share their `trial_id`.

    Numbers that can be null are float64 with NaN, truth values that can be null pandas' `boolean`,
    lists of numbers tuples. Besides the columns of the store there are the readings of Eq. 14 (d the
    number of neurons of the measured layer): `degree_per_neuron` = degree_of_symmetry / d,
    `degree_of_breaking` = max_degree - degree_of_symmetry, and `breaking_normalized`, that over
    max_degree = d - 1; `degree_normalized` is degree_of_symmetry over max_degree.

    Parameters
    ----------
    sweep
        The folder or URI of the sweep.
    threshold
        Count again from the stored distances below this threshold, `{"absolute": ..., "relative": ...}`,
        without training: `degree_of_symmetry`, `degree_normalized`, `neuron_count`, `alive_count` and
        `rank` follow it, and so do `drift`, `converged`, `count_converged` and the steps that are missing, as
        it is stored how distances moved. Of trials recorded before it was, these stay as they were
        recorded (`drift` null), with a warning. None: as recorded.
    columns
        The columns wanted, in this order; None: all. A trial that lacks one has null there.

    Raises
    ------
    StoreError
        Where there is no such sweep, or no trial has a column that is wanted.
    AnalysisError
        Where the threshold is not allowed, or the distances were not stored.

    Warns
    -----
    CarriedWarning
        Where whether trials have converged is what was recorded at their own threshold.
    VersionsWarning
        Where several versions of an observable of yours have measured these trials.
    """
    trials = _trials(Store.at(sweep).required(), threshold, columns)
    tell_of_observables(trials)
    return trials if columns is None else trials[list(columns)]


def _trials(
    store: Store, threshold: Mapping[str, float] | Threshold | None, columns: Sequence[str] | None
) -> pd.DataFrame:
    """The trials with at least the wanted columns, those that are derived too."""
    cut = None if threshold is None else _checked(threshold)
    if columns is not None and {TEMPERATURE, BESIDE} & set(columns):
        columns = None  # what it rests on may be missing from some files
    rows = _rows(store, None if columns is None else _needed(columns, cut is not None))
    trials = _frame(rows)
    if cut is not None:
        again = recounted(store, rows, cut)
        trials = trials.assign(**again.columns)[~again.lost].reset_index(drop=True)
        if again.carried:
            warnings.warn(_carried(again.carried), CarriedWarning, stacklevel=3)
    trials = with_temperature(_with_readings(_with_definitions(trials)))
    return with_declarations(_with_launches(trials, store), rows.schema)


def _carried(trials: int) -> str:
    return (
        f"whether {trials:,} trial{'s have' if trials > 1 else ' has'} converged is what was recorded, "
        "at their own threshold, since it was not yet stored how distances move; launch the grid under "
        "another name to know it at this one"
    )


def load_recounted(sweep: str | os.PathLike[str], trials: pd.DataFrame, factor: float) -> pd.DataFrame:
    """Count trials again, below so many times the threshold at which each was recorded.

    Parameters
    ----------
    trials
        Some trials of the sweep, with `trial_id`.
    factor
        Multiplies the threshold, absolute and relative alike, and the tolerance of the rank.

    Returns
    -------
    The trials with the counts they have, what follows from these, and whether they have converged, at that
    threshold; the last as recorded where it is not stored how distances moved.

    Raises
    ------
    StoreError
        Where there is no such sweep.
    AnalysisError
        Where the distances were not stored.
    """
    store = Store.at(sweep).required()
    needed = [*RESTS_ON, "threshold_absolute", "threshold_relative", "max_degree"]
    rows = _rows(store, needed)
    rows = rows.filter(pc.is_in(rows["trial_id"], value_set=pa.array(trials["trial_id"], pa.string())))
    keys = ["trial_id", "stage"] if "stage" in rows.column_names else ["trial_id"]
    index = pd.MultiIndex.from_frame(rows.select(keys).to_pandas())
    again = pd.DataFrame(dict(recounted(store, rows, None, factor).columns), index=index)
    again = _with_readings(again).loc[pd.MultiIndex.from_frame(trials[keys])]
    return trials.assign(**{name: again[name].array for name in FOLLOWING if name in trials})


def load_for(sweep: str | os.PathLike[str], texts: Sequence[str]) -> pd.DataFrame:
    """The trials with all that a diagram of some columns needs; other results are not read.

    Parameters
    ----------
    texts
        Columns, or expressions of columns.

    Returns
    -------
    As `load_trials`, with every parameter, the results that are named, and what tells replicates and fates.
    Where a text names what no trial has, all columns.

    Raises
    ------
    StoreError
        Where there is no such sweep.
    """
    words = set(re.findall(r"[^\W\d]\w*", " ".join(texts)))
    words |= {"degree_of_symmetry", "max_degree"} if words & set(DERIVED_COLUMNS) else set()
    unread = set(RESULT_COLUMNS) - words - set(_OF_A_DIAGRAM)
    store = Store.at(sweep).required()
    rows = staged(store.trials_table(without=unread))
    trials = with_temperature(_with_readings(_with_definitions(_frame(rows))))
    trials = with_declarations(trials, rows.schema)
    known = {*trials.columns, "diverged", "and", "or", "not"}
    return _with_launches(trials, store) if words <= known else _trials(store, None, None)


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
    the grid left them out. Besides, the readings of Eq. 14, as in `load_trials`, null for `classes` and
    `rank`, whose degree is not one of symmetry.

    Raises
    ------
    StoreError
        Where there is no such sweep.
    AnalysisError
        Where the threshold is not allowed, the distances of a row were not stored, or nothing was measured on
        the layer, and on others something was.

    Warns
    -----
    VersionsWarning
        Where several versions of an observable of yours have measured these rows.
    """
    store = Store.at(sweep).required()
    rows = store.measurements_table(observable, layer, last)
    if layer is not None and not len(rows):
        _check_layer(store, layer)
    if any(":" in name for name in pc.unique(rows["observable"]).to_pylist()):
        tell_of_observables(_measured_trials(store, rows))
    if threshold is not None:
        norms = store.measurements_table("sign_flip", layer, last)
        rows = _recounted_rows(rows, norms, _checked(threshold), store)
    return _frame(rows).assign(**_breaking(rows))


def _check_layer(store: Store, layer: str) -> None:
    """Refuse a layer on which a sweep that has measured something has measured nothing at all."""
    rows = store.measurements_table(last=True, columns=("layer",), ordered=False)
    layers = sorted(pc.unique(rows["layer"]).to_pylist())
    if layers and layer not in layers:
        hint = nearest(layer, layers) or f"there are {', '.join(layers[:8])}"
        raise AnalysisError(f"{store.folder.uri}: nothing was measured on a layer '{layer}'; {hint}")


def _measured_trials(store: Store, rows: pa.Table) -> pd.DataFrame:
    """The trials of some measurements by the user's observables, and the versions of these."""
    trials = store.trials_table(("trial_id", OBSERVABLE_SOURCE.name, "started_at"), ordered=False)
    own = rows.filter(pc.match_substring(rows["observable"], ":"))["trial_id"]
    return _frame(trials.filter(pc.is_in(trials["trial_id"], value_set=pc.unique(own))))


def _rows(store: Store, columns: Sequence[str] | None) -> pa.Table:
    """Rows of trials and of stages, with these columns at least; None: with all."""
    if columns is None:
        return staged(store.trials_table())
    own = [name for name in columns if name not in {column.name for column in OF_STAGES}]
    rows = store.trials_table(list(dict.fromkeys([*own, STAGES.name])))
    stages = rows[STAGES.name]
    if stages.null_count == len(stages):
        return rows.select(own) if len(own) == len(columns) else store.trials_table(columns)
    return staged(store.trials_table(list(dict.fromkeys([*own, *NEEDED]))))


def _breaking(rows: pa.Table) -> dict[str, FloatArray]:
    """The readings of Eq. 14 of measurements; NaN of those that count no symmetric generators."""
    known = {name: rule for name, rule in distance_observables().items() if rule.of_symmetry}
    names = rows["observable"].to_numpy()
    counted, top = (rows[name].to_numpy().astype(np.float64) for name in ("degree", "max_degree"))
    besides = np.full(len(names), np.nan)
    for name, rule in known.items():
        besides[names == name] = rule.neurons_besides
    return breaking(np.where(np.isnan(besides), np.nan, counted), top, top + np.nan_to_num(besides))


def _with_launches(trials: pd.DataFrame, store: Store) -> pd.DataFrame:
    """The trials, with what the grids of the sweep say of versions as an attribute of the frame."""
    trials.attrs[LAUNCHES] = launches_of(store).plain()
    return trials


def _with_definitions(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials, with 1 where a version that knew no other definitions has recorded none."""
    if DEFINITIONS not in trials:
        return trials
    return trials.assign(**{DEFINITIONS: trials[DEFINITIONS].fillna(1).astype(np.int64)})


def _with_readings(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with the readings of Eq. 14 besides, where what they rest on was read."""
    if not {"degree_of_symmetry", "max_degree"} <= set(trials.columns):
        return trials
    counted, top = (trials[name].to_numpy(np.float64) for name in ("degree_of_symmetry", "max_degree"))
    return trials.assign(**breaking(counted, top, top + 1))


def _needed(columns: Sequence[str], recounted: bool) -> list[str]:
    """The columns of the store from which the wanted ones follow."""
    needed = [name for name in columns if name not in (*DERIVED_COLUMNS, TEMPERATURE, BESIDE)]
    if set(columns) & set(DERIVED_COLUMNS):
        needed += ["degree_of_symmetry", "max_degree"]
    if recounted:
        needed += RESTS_ON
    if not set(needed) <= set(RESULT_COLUMNS):  # an observable's, perhaps
        needed += [OBSERVABLE_SOURCE.name, "started_at"]
    return list(dict.fromkeys(needed))


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


def _recounted_rows(rows: pa.Table, norms: pa.Table, cut: Threshold, store: Store) -> pa.Table:
    """Measurements with epsilon, degree and normalized at another threshold."""
    epsilon = cut.at_scale(_scales(rows, norms))
    names = rows["observable"].to_numpy()
    counts = rows["degree"].to_numpy().astype(np.float64)
    rules = rules_of(store, names)
    for observable in rules:
        chosen = names == observable
        missing = int(np.sum(chosen & ~rows["distances"].is_valid().to_numpy()))
        if missing:
            raise not_stored(missing, observable)
    unknown = int(np.sum(np.isnan(epsilon) & (names != "rank")))
    if unknown:
        raise AnalysisError(
            f"{unknown} measurements were recorded by a version that stored neither the scale of their layer "
            "nor the norms of its neurons, so they cannot be counted at another threshold; read them "
            "as recorded, or run `phasediag launch GRID --remeasure`"
        )
    for part, distances in matrices(rows["distances"]):
        for observable, rule in rules.items():
            chosen = names[part] == observable
            at = part[chosen]
            counts[at] = rule.count(distances[chosen], epsilon[at], cut.absolute)
    top = rows["max_degree"].to_numpy().astype(np.float64)
    normalized = np.divide(counts, top, out=np.full(len(counts), np.nan), where=top > 0)
    again = pc.is_in(rows["observable"], value_set=pa.array(list(rules)))
    for name, values in (("epsilon", epsilon), ("degree", counts), ("normalized", normalized)):
        kind = rows.schema.field(name).type
        fresh = pa.chunked_array([pa.array(values, from_pandas=True).cast(kind)])
        column = pc.if_else(again, fresh, rows[name])
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def _scales(rows: pa.Table, norms: pa.Table) -> FloatArray:
    """S of each measurement, as stored; where it was not, from the norms that `sign_flip` stored.

    Parameters
    ----------
    norms
        The measurements of `sign_flip`.

    Returns
    -------
    Float64, shape (rows,); NaN where neither is known.
    """
    stored: FloatArray = rows["scale"].to_numpy().astype(np.float64)
    if not np.isnan(stored).any():
        return stored
    keys = ["trial_id", "step", "layer"]
    measured = norms.select(keys).to_pandas().assign(scale=np.nan)
    for part, distances in matrices(norms["distances"]):
        measured.loc[part, "scale"] = root_mean_square(distances)
    joined = rows.select(keys).to_pandas().merge(measured, on=keys, how="left")["scale"].to_numpy(np.float64)
    return np.where(np.isnan(stored), joined, stored)


def _frame(rows: pa.Table) -> pd.DataFrame:
    """A table as a data frame of plain types."""
    frame: pd.DataFrame = rows.to_pandas()
    for field in rows.schema:
        column = rows[field.name]
        if pa.types.is_boolean(field.type) and column.null_count:
            frame[field.name] = frame[field.name].astype("boolean")
        if pa.types.is_list(field.type) and field.name not in _ARRAYS:
            frame[field.name] = _tuples(column)
    return frame


def _tuples(lists: pa.ChunkedArray) -> pd.Series:
    values = [None if v is None else tuple(v) for v in lists.to_pylist()]
    return pd.Series(values, dtype=object)
