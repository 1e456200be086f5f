"""One sweep taken into another: its grids, and the trials that the other does not hold."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from phasediag.errors import PhasediagError
from phasediag.storage.launches import added_to
from phasediag.storage.lease import held_by, take
from phasediag.storage.store import Store
from phasediag.sweeps.moved_rows import LOSS_TOLERANCE, MovedRows, add_rows
from phasediag.sweeps.recorded import roster_of_grid, stored_grid

_COMPARED: Final = ("trial_id", "status", "train_loss")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merger:
    """What was, or would be, taken over."""

    into: str
    source: str
    grids: int
    """Grids of the source that the sweep did not have."""
    trials: int
    """Trials that the sweep did not hold."""
    shared: int
    """Trials that both hold: those of the sweep stay."""
    different: int
    """Trials that both hold and that came out otherwise."""
    done: bool

    def __str__(self) -> str:
        did = "took" if self.done else "would take"
        text = f"{did} {self.trials:,} trials and {self.grids} grids of {self.source} into {self.into}"
        if self.shared:
            text += f"; {self.shared:,} trials are in both, those of {self.into} stay"
        if self.different:
            text += (
                f"; WARNING: {self.different:,} of these came out otherwise there (status, or the training "
                "loss by more than 1e-4): the two were not trained by the same code or data"
            )
        return text


def merge(into: str | Path, source: str | Path, *, dry_run: bool = False) -> Merger:
    """Add to a sweep what another one holds besides; the other stays as it is.

    Trials are the same where their ids are. Of those that both hold, the rows of `into` stay, unless they
    failed there alone. Grids are added with their files, so that status, refine and rerun know them.

    Parameters
    ----------
    dry_run
        Only tell what would be taken over.

    Raises
    ------
    PhasediagError
        Where both are the same sweep, or the source is being launched.
    LeaseHeldError
        Where a launch of `into` is running.
    StoreError
        Where one of the two is no sweep, or cannot be read or written.
    """
    to, other = Store.at(into).required(), Store.at(source).required()
    if to.folder.path == other.folder.path:
        raise PhasediagError(f"{into} and {source} are the same sweep; name two")
    holder = held_by(other)
    if holder is not None:
        raise PhasediagError(f"{source} is held by a {holder.purpose} on {holder.host}; wait until it ends")
    if dry_run:
        return _merged(to, other, done=False)
    with take(to, purpose=f"merge of {other.folder.name}"):
        return _merged(to, other, done=True)


def _merged(to: Store, other: Store, *, done: bool) -> Merger:
    mine, theirs = (store.trials_table(_COMPARED, ordered=False) for store in (to, other))
    good = mine.filter(pc.not_equal(mine["status"], "failed"))
    failed_too = theirs.filter(pc.equal(theirs["status"], "failed"))["trial_id"]
    wanted = _without(theirs["trial_id"], good["trial_id"])
    wanted = _without(wanted, _within(failed_too, mine["trial_id"]))
    if done:
        add_rows(to, MovedRows.of(other).only(wanted))
    return Merger(
        into=to.folder.uri, source=other.folder.uri, grids=_grids(to, other, done=done), trials=len(wanted),
        shared=len(theirs) - len(wanted), different=_different(mine, theirs), done=done,
    )  # fmt: skip


def _grids(to: Store, other: Store, *, done: bool) -> int:
    """Add the grids that a sweep lacks, oldest first; what rests on another names it as it is called now.

    Returns
    -------
    How many the sweep did not have.
    """
    known = {text for _, text in to.grids()}
    names: dict[str, str] = {}
    added = 0
    with tempfile.TemporaryDirectory(prefix="phasediag-grids-") as scratch:
        for name, text in other.grids():
            renamed = _renamed(text, names)
            added += renamed not in known
            if done:
                grid = stored_grid(other, name, renamed, Path(scratch) / name)
                roster = roster_of_grid(grid, grid.lot())
                names[name] = to.save_grid(renamed, other.grid_sources(name), roster)
    return added


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """The text of a grid with the present name of the grid that it adds to."""
    rests_on = added_to(text)
    if names.get(rests_on, rests_on) == rests_on:
        return text
    first, second, *rest = text.split("\n", 2)
    heads = (line.replace(rests_on, names[rests_on]) if line.startswith("#") else line
             for line in (first, second))  # fmt: skip
    return "\n".join([*heads, *rest])


def _different(mine: pa.Table, theirs: pa.Table) -> int:
    """How many trials that both hold came out otherwise."""
    joined = mine.join(theirs, "trial_id", join_type="inner", right_suffix=" there")
    return sum(not _alike(row) for row in joined.to_pylist())


def _alike(row: Mapping[str, Any]) -> bool:
    if row["status"] != row["status there"]:
        return False
    one, two = row["train_loss"], row["train_loss there"]
    if one is None or two is None:
        return one is two
    return isclose(one, two, rel_tol=LOSS_TOLERANCE, abs_tol=1e-30) or (one != one and two != two)


def _without(ids: pa.Array, others: pa.Array) -> pa.Array:
    return ids.filter(pc.invert(pc.is_in(ids, value_set=_one(others))))


def _within(ids: pa.Array, others: pa.Array) -> pa.Array:
    return ids.filter(pc.is_in(ids, value_set=_one(others)))


def _one(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    return ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
