"""Which of several rows of a trial counts, and the measurements that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

CHOICE_COLUMNS: Final = ("trial_id", "pack_id", "status", "started_at")
"""The columns of `trials` on which the choice rests."""


def one_a_trial(rows: pa.Table) -> pa.Table:
    """One row a trial: ok or diverged before failed, then started last, then of the smallest pack_id.

    Parameters
    ----------
    rows
        Rows of `trials` with at least `CHOICE_COLUMNS`, several a trial where packs overlapped.
    """
    ids = rows["trial_id"]
    if pc.count_distinct(ids).as_py() == len(rows):
        return rows
    seen = pc.value_counts(ids.combine_chunks())
    twice = seen.field("values").filter(pc.greater(seen.field("counts"), 1))
    doubled = pc.is_in(ids, value_set=twice)
    order = ("trial_id", "failed", "started_at", "pack_id")
    keys = pa.table(
        {
            "row": np.flatnonzero(doubled.to_numpy()),
            "trial_id": ids.filter(doubled),
            "failed": pc.equal(rows["status"], "failed").filter(doubled).cast(pa.int8()),
            "started_at": rows["started_at"].filter(doubled),
            "pack_id": rows["pack_id"].filter(doubled),
        }
    ).sort_by([(key, "descending" if key == "started_at" else "ascending") for key in order])
    sorted_ids = keys["trial_id"].to_numpy()
    first = np.concatenate([[True], sorted_ids[1:] != sorted_ids[:-1]])
    kept = np.concatenate([np.flatnonzero(~doubled.to_numpy()), keys["row"].to_numpy()[first]])
    return rows.take(pa.array(np.sort(kept)))


def last_of_each(rows: pa.Table) -> pa.Table:
    """The measurements at the last step of each trial in each pack."""
    if not len(rows):
        return rows
    packs, pack_count = _codes(rows["pack_id"])
    trials, trial_count = _codes(rows["trial_id"])
    key, step = trials * pack_count + packs, rows["step"].to_numpy()
    if pack_count > 1:
        _, key = np.unique(key, return_inverse=True)
        trial_count = int(key.max()) + 1
    newest = np.full(trial_count, -1, dtype=np.int64)
    np.maximum.at(newest, key, step)
    return rows.filter(pa.array(step == newest[key]))


def of_trials(rows: pa.Table, trials: pa.Table, last: bool, ordered: bool = True) -> pa.Table:
    """The measurements of the chosen rows, by trial, step, layer and observable.

    Parameters
    ----------
    rows
        Rows of `measurements`.
    trials
        The row chosen for each trial.
    last
        Only the last step of each trial among `rows`.
    ordered
        False: in the order of `rows`, which spares the time of sorting them.
    """
    ids = trials["trial_id"].combine_chunks()
    position = pc.index_in(rows["trial_id"], value_set=ids).combine_chunks()
    same_pack = pc.equal(trials["pack_id"].combine_chunks().take(position), rows["pack_id"].combine_chunks())
    chosen = pc.fill_null(same_pack, False)
    rows = kept(rows, chosen)
    of = position.filter(chosen).to_numpy(zero_copy_only=False).astype(np.int64)
    if last and len(rows):
        step = rows["step"].to_numpy()
        newest = np.full(len(trials), -1, dtype=np.int64)
        np.maximum.at(newest, of, step)
        is_last = step == newest[of]
        rows, of = kept(rows, pa.array(is_last)), of[is_last]
    if not ordered:
        return rows
    labels = [_codes(rows[name], ranked=True)[0] for name in ("observable", "layer", "step")]
    rank = pc.rank(ids, tiebreaker="first").to_numpy()
    return rows.take(pa.array(np.lexsort((*labels, rank[of]))))


def kept(rows: pa.Table, mask: pa.Array) -> pa.Table:
    """The rows for which a mask holds; the same table, not a copy, where it holds for all."""
    return rows if pc.all(mask, min_count=0).as_py() else rows.filter(mask)


def _codes(column: pa.ChunkedArray, ranked: bool = False) -> tuple[npt.NDArray[np.int64], int]:
    """Each value as the number of its distinct one, in ascending order where `ranked`; how many there are."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    values = encoded.dictionary
    if ranked and len(values):
        codes = (pc.rank(values, tiebreaker="first").to_numpy().astype(np.int64) - 1)[codes]
    return codes, len(values)


def in_order(rows: pa.Table) -> pa.Table:
    """The rows by trial id."""
    order = pc.sort_indices(rows["trial_id"].combine_chunks())
    columns = [column if _uniform(column) else column.combine_chunks().take(order) for column in rows.columns]
    return pa.Table.from_arrays(columns, schema=rows.schema)


def _uniform(column: pa.ChunkedArray) -> bool:
    """Whether a column of text is the same in every row, as most of a sweep's are; or all null."""
    if column.null_count:
        return bool(column.null_count == len(column))
    if not len(column) or not pa.types.is_string(column.type) or column[0] != column[-1]:
        return False
    return bool(pc.all(pc.equal(column, column[0])).as_py())


def matching(observable: str | Sequence[str] | None, layer: str | None) -> pc.Expression | None:
    """What measurements of these observables on this layer meet; None where all do."""
    parts = []
    if observable is not None:
        names = [observable] if isinstance(observable, str) else list(observable)
        parts.append(pc.field("observable").isin(names))
    if layer is not None:
        parts.append(pc.field("layer") == layer)
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else parts[0] & parts[1]
