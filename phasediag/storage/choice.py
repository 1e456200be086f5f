"""Which of several rows of a trial counts, and the measurements that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

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


def of_trials(rows: pa.Table, trials: pa.Table, last: bool) -> pa.Table:
    """The measurements of the chosen rows, by trial, step, layer and observable.

    Parameters
    ----------
    rows
        Rows of `measurements`.
    trials
        The row chosen for each trial.
    last
        Only the last step of each trial among `rows`.
    """
    ids = trials["trial_id"].combine_chunks()
    rank = pc.rank(ids, tiebreaker="first")
    position = pc.index_in(rows["trial_id"], value_set=ids).combine_chunks()
    same_pack = pc.equal(trials["pack_id"].combine_chunks().take(position), rows["pack_id"].combine_chunks())
    kept = np.flatnonzero(pc.fill_null(same_pack, False).to_numpy(zero_copy_only=False))
    of = position.to_numpy(zero_copy_only=False)[kept].astype(np.int64)
    step = rows["step"].to_numpy()[kept]
    if last:
        newest = np.full(len(trials), -1, dtype=np.int64)
        np.maximum.at(newest, of, step)
        is_last = step == newest[of]
        kept, of, step = kept[is_last], of[is_last], step[is_last]
    labels = [_codes(rows[name])[kept] for name in ("observable", "layer")]
    order = np.lexsort((*labels, step, rank.to_numpy()[of]))
    return rows.take(pa.array(kept[order]))


def _codes(texts: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Each text as its position among the sorted distinct ones."""
    if len(texts) == 0:
        return np.empty(0, dtype=np.int64)
    codes = pc.rank(texts, sort_keys="ascending", tiebreaker="dense")
    found: npt.NDArray[Any] = codes.to_numpy()
    return found


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
