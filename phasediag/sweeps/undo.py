"""The way back from a refinement: its grids and the trials that it alone asked for are put aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path, PurePosixPath
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from phasediag.errors import PhasediagError
from phasediag.running import checkpoint
from phasediag.storage.aside import ASIDE, set_aside, set_grid_aside
from phasediag.storage.launches import MARK
from phasediag.storage.lease import take
from phasediag.storage.store import Store
from phasediag.sweeps.status import rosters


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What was, or would be, taken back."""

    sweep: str
    grids: tuple[str, ...]
    """The grids of the refinement's rounds, oldest first, as they were named in the sweep."""
    asked: str
    """What the refinement was asked for: axes, order parameter, level, resolution."""
    trials: int
    """Trials that no other grid asks for: their rows are put aside."""
    kept: int
    """Trials that other grids ask for too: they stay."""
    place: str
    """The folder of the sweep where the grids and the rows are kept now; empty where nothing was done."""

    def __str__(self) -> str:
        named = self.grids[0] if len(self.grids) == 1 else f"{self.grids[0]} to {self.grids[-1]}"
        done = "taken back" if self.place else "would be taken back"
        where = f"are kept in {self.place}" if self.place else "leave the sweep"
        parts = [
            f"{done}: the refinement of {self.asked} ({named})",
            f"{self.trials:,} trials of its own {where}",
        ]
        if self.kept:
            parts.append(f"{self.kept:,} that other grids ask for stay")
        return "; ".join(parts)


def undo_refinement(sweep: str | Path, *, dry_run: bool = False) -> Undone:
    """Take the last refinement of a sweep back: all rounds of it, however often it was gone on with.

    Its grids no longer count; the rows of trials that no other grid asks for are moved to a folder of the
    sweep, where they stay readable. Checkpoints of its packs are dropped. An undo that is killed is finished
    by the next one.

    Parameters
    ----------
    dry_run
        Only tell what would be taken back.

    Raises
    ------
    PhasediagError
        Where the sweep was not refined.
    LeaseHeldError
        Where a launch of the sweep is running.
    StoreError
        Where there is no such sweep, or it cannot be written.
    """
    store = Store.at(sweep).required()
    if dry_run:
        return _undone(store, *_own_trials(store), place="")
    with take(store, purpose="undo of a refinement"):
        names, own, kept = _own_trials(store)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        place = store.folder / ASIDE / f"{PurePosixPath(names[0]).stem}-{stamp}-{uuid4().hex[:4]}"
        undone = _undone(store, names, own, kept, place=place.uri)
        set_aside(store.folder, own, place)
        _drop_checkpoints(store, own)
        for name in reversed(names):
            set_grid_aside(store.folder, name, place)
    return undone


def last_refinement(grids: Sequence[tuple[str, str]]) -> list[str]:
    """The grids of the last refinement: of all rounds that were asked for the same, one after the other.

    Parameters
    ----------
    grids
        Names and texts, oldest first.
    """
    refinements = [(name, _asked(text)) for name, text in reversed(grids) if text.startswith(MARK)]
    last = takewhile(lambda each: each[1] == refinements[0][1], refinements)
    return [name for name, _ in last][::-1]


def _asked(text: str) -> str:
    """What the grid of a round tells it was asked for, whichever design it extends."""
    return text.partition("\n")[0].removeprefix(MARK).partition(": ")[2]


def _own_trials(store: Store) -> tuple[list[str], pa.Array, int]:
    """The grids of the last refinement, the trials that they alone ask for, and the number of the others."""
    names = last_refinement(store.grids())
    if not names:
        raise PhasediagError(
            f"the sweep {store.folder.uri} was not refined, so there is nothing to take back; a grid that "
            "was launched by itself is no refinement"
        )
    ids = {name: roster["trial_id"] for name, roster in rosters(store)}
    theirs = _all([ids[name] for name in names])
    others = _all([column for name, column in ids.items() if name not in names])
    shared = pc.is_in(theirs, value_set=others)
    return names, theirs.filter(pc.invert(shared)), pc.sum(shared).as_py() or 0


def _all(columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    """The distinct values of some columns of text."""
    return pc.unique(pa.chunked_array([chunk for each in columns for chunk in each.chunks], pa.string()))


def _undone(store: Store, names: Sequence[str], own: pa.Array, kept: int, *, place: str) -> Undone:
    asked = _asked(dict(store.grids())[names[-1]])
    recorded = pc.is_in(store.committed().trial_id, value_set=own)
    return Undone(
        sweep=store.folder.uri, grids=tuple(names), asked=asked, trials=pc.sum(recorded).as_py() or 0,
        kept=kept, place=place,
    )  # fmt: skip


def _drop_checkpoints(store: Store, own: pa.Array) -> None:
    """Drop those of packs that train what is no longer wanted."""
    unwanted = set(own.to_pylist())
    for pack_id in store.checkpoints():
        header = checkpoint.read_header(store, pack_id)
        if header is not None and not unwanted.isdisjoint(header.trial_ids):
            store.drop_checkpoint(pack_id)
