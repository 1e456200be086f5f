"""Which of several rows of a trial counts, and the measurements that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.arrays import IntArray
from phasediag.storage.fragments import in_parallel
from phasediag.trial import TextArray

ID_LETTERS: Final = 32
CHOICE_COLUMNS: Final = ("trial_id", "pack_id", "status", "started_at")
"""The columns of `trials` on which the choice rests."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Committed:
    """What a store holds of each trial, one entry a trial."""

    trial_id: pa.Array
    status: pa.Array

    def __len__(self) -> int:
        return len(self.trial_id)

    @property
    def counts(self) -> dict[str, int]:
        """How many trials are `ok`, `diverged` and `failed`."""
        counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(self.status).to_pylist()}
        return {status: counts.get(status, 0) for status in ("ok", "diverged", "failed")}

    def status_of(self, ids: TextArray) -> TextArray:
        """The status of each trial: `ok`, `diverged` or `failed`; '' where the store has none.

        Parameters
        ----------
        ids
            Trial ids, shape (trials,).

        Returns
        -------
        Objects of text, shape (trials,).
        """
        rows = pc.index_in(pa.array(ids, pa.string()), value_set=self.trial_id)
        statuses: TextArray = (
            self.status.take(rows).fill_null("").to_numpy(zero_copy_only=False).astype(object)
        )
        return statuses


def one_a_trial(rows: pa.Table) -> pa.Table:
    """One row a trial: ok or diverged before failed, then started last, then of the smallest pack_id.

    Parameters
    ----------
    rows
        Rows of `trials` with at least `CHOICE_COLUMNS`, several a trial where packs overlapped.
    """
    ids = rows["trial_id"]
    if _distinct(ids.combine_chunks()):
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


def pairs(rows: pa.Table, column: str | None) -> pa.Table:
    """The trials and packs of measurements, once each; only of those with a value in a column."""
    if column is not None:
        known = column in rows.schema.names
        rows = rows.filter(rows[column].is_valid()) if known else rows.slice(0, 0)
    return rows.select(["trial_id", "pack_id"]).group_by(["trial_id", "pack_id"]).aggregate([])


def kept(rows: pa.Table, mask: pa.Array) -> pa.Table:
    """The rows for which a mask holds; the same table, not a copy, where it holds for all."""
    return rows if pc.all(mask, min_count=0).as_py() else rows.filter(mask)


def _codes(column: pa.ChunkedArray, ranked: bool = False) -> tuple[IntArray, int]:
    """Each value as the number of its distinct one, in ascending order where `ranked`; how many there are."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    values = encoded.dictionary
    if ranked and len(values):
        codes = (pc.rank(values, tiebreaker="first").to_numpy().astype(np.int64) - 1)[codes]
    return codes, len(values)


def in_order(rows: pa.Table) -> pa.Table:
    """The rows by trial id."""
    order = pa.array(order_of(rows["trial_id"].combine_chunks()))

    def ordered(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
        return column if _uniform(column) else column.combine_chunks().take(order)

    return pa.Table.from_arrays(in_parallel(ordered, rows.columns), schema=rows.schema)


def order_of(ids: pa.Array) -> IntArray:
    """The rows that sort ids, int64, shape (ids,); ids of 32 letters, as all trials have, are sorted fast."""
    words = _words(ids)
    if words is None:
        rows: IntArray = pc.sort_indices(ids).to_numpy().astype(np.int64)
        return rows
    order, tied = _by_first_word(words)
    if tied.any():
        among = order[tied]
        order[tied] = among[np.lexsort(words[among].astype(np.uint64).T[::-1])]
    return order


def _distinct(ids: pa.Array) -> bool:
    """Whether no id occurs twice."""
    words = _words(ids)
    if words is None:
        return bool(pc.count_distinct(ids, mode="all").as_py() == len(ids))
    first = words[:, 0].astype(np.uint64)
    first.sort()  # ten times faster than to find the order, which is wanted only where two share the word
    if not (first[1:] == first[:-1]).any():
        return True
    order, tied = _by_first_word(words)
    among = words[order[tied]]
    return len(np.unique(among, axis=0)) == len(among)


def _by_first_word(words: npt.NDArray[Any]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """The rows that sort ids by their first word, and which of these share it with another."""
    first = words[:, 0].astype(np.uint64)
    order = np.argsort(first, kind="stable")
    first = first[order]
    alike = first[1:] == first[:-1]
    return order, np.concatenate([alike, [False]]) | np.concatenate([[False], alike])


def _words(ids: pa.Array) -> npt.NDArray[Any] | None:
    """Ids of 32 letters as big-endian numbers in their order, shape (ids, 4); None where one is no such."""
    if not len(ids) or ids.null_count or not pa.types.is_string(ids.type):
        return None
    _, ends, letters = ids.buffers()
    ends = np.frombuffer(ends, dtype=np.int32)[ids.offset : ids.offset + len(ids) + 1]
    if (np.diff(ends) != ID_LETTERS).any():
        return None
    text = np.frombuffer(letters, dtype=np.uint8)[ends[0] : ends[-1]]
    return text.view(">u8").reshape(-1, ID_LETTERS // 8)


def _uniform(column: pa.ChunkedArray) -> bool:
    """Whether a column is the same in every row, as most of a sweep's are; or all null.

    Zeros do not count: they are equal where their signs differ.
    """
    if column.null_count:
        return bool(column.null_count == len(column))
    if not len(column) or pa.types.is_nested(column.type) or column[0] != column[-1]:
        return False
    if pa.types.is_floating(column.type) and not column[0].as_py():
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
