"""The way back from a refinement or an extension: its grids and the trials of its own are put aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from phasediag.errors import PhasediagError
from phasediag.running import checkpoint
from phasediag.storage.aside import ASIDE, set_aside, set_grid_aside
from phasediag.storage.launches import MARK, UNTIL, added_to, extension_of, trains_until_converged
from phasediag.storage.lease import take
from phasediag.storage.store import Store
from phasediag.sweeps.status import rosters


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What was, or would be, taken back."""

    sweep: str
    grids: tuple[str, ...]
    """The grids that it added, oldest first, as they were named in the sweep."""
    what: str
    """What was added: `Addition.what`."""
    asked: str
    """What it was asked for: axes, order parameter, level, resolution; or how many times the steps."""
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
            f"{done}: the {self.what} {'of' if self.what == 'refinement' else 'to'} {self.asked} ({named})",
            f"{self.trials:,} trials of its own {where}",
        ]
        if self.kept:
            parts.append(f"{self.kept:,} that other grids ask for stay")
        return "; ".join(parts)


Last = Callable[[Sequence[tuple[str, str]]], list[str]]
"""The grids that were added last in one way, from the names and texts of all, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A way in which grids are added to a sweep: `REFINEMENT`, `EXTENSION` or `UNTIL_CONVERGED`."""

    what: str
    """`refinement`, `extension`, or `extension of what had not converged`."""
    did: str
    """What the sweep was then: `refined`, `extended`, `trained until converged`."""
    last: Last


def undo(sweep: str | Path, kind: Addition, *, dry_run: bool = False) -> Undone:
    """Take back what was added to a sweep last in one way.

    That is, of `REFINEMENT`, all rounds of the last one, however often it was gone on with; of `EXTENSION`,
    all grids that were extended by the same factor last; of `UNTIL_CONVERGED`, all rounds.

    Their grids no longer count; the rows of trials that no other grid asks for are moved to a folder of the
    sweep, where they stay readable. Checkpoints of its packs are dropped. An undo that is killed is finished
    by the next one.

    Parameters
    ----------
    sweep
        Its folder, or the URI of its storage.
    dry_run
        Only tell what would be taken back.

    Raises
    ------
    PhasediagError
        Where nothing was added so, or a later addition rests on it.
    LeaseHeldError
        Where a launch of the sweep is running.
    StoreError
        Where there is no such sweep, or it cannot be written.
    """
    store, what = Store.at(sweep).required(), kind.what
    if dry_run:
        return _undone(store, what, *_own_trials(store, kind), place="")
    with take(store, purpose=f"undo of {'a' if what == 'refinement' else 'an'} {what}"):
        names, own, kept = _own_trials(store, kind)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        place = store.folder / ASIDE / f"{PurePosixPath(names[0]).stem}-{stamp}-{uuid4().hex[:4]}"
        undone = _undone(store, what, names, own, kept, place=place.uri)
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


def last_extension(grids: Sequence[tuple[str, str]]) -> list[str]:
    """The grids of the last extension: of all that lengthen by the same factor, one after the other."""
    extensions = [
        (name, extended[1]) for name, text in reversed(grids)
        if (extended := extension_of(text)) and not trains_until_converged(text)
    ]  # fmt: skip
    last = takewhile(lambda each: each[1] == extensions[0][1], extensions)
    return [name for name, _ in last][::-1]


def rounds_until_converged(grids: Sequence[tuple[str, str]]) -> list[str]:
    """The grids of all rounds of training until all points are settled."""
    return [name for name, text in grids if trains_until_converged(text)]


REFINEMENT: Final = Addition(what="refinement", did="refined", last=last_refinement)
EXTENSION: Final = Addition(what="extension", did="extended", last=last_extension)
UNTIL_CONVERGED: Final = Addition(
    what="extension of what had not converged", did="trained until converged", last=rounds_until_converged
)


def _asked(text: str) -> str:
    """What a grid that was added tells it was asked for, whichever design it adds to."""
    longer = extension_of(text)
    if longer is not None:
        most = text.partition("\n")[0].partition(UNTIL)[2]
        return f"{'at most ' if most else ''}{most or f'{longer[1]:g} times'} the steps"
    return text.partition("\n")[0].removeprefix(MARK).partition(": ")[2]


def _own_trials(store: Store, kind: Addition) -> tuple[list[str], pa.Array, int]:
    """The grids that were added last, the trials that they alone ask for, and the number of the others."""
    grids = store.grids()
    names = kind.last(grids)
    if not names:
        raise PhasediagError(
            f"the sweep {store.folder.uri} was not {kind.did}, so there is nothing to take back; a grid that "
            f"was launched by itself is no {kind.what}"
        )
    _check_unused(store, kind.what, names, grids)
    ids = {name: roster["trial_id"] for name, roster in rosters(store)}
    theirs = _all([ids[name] for name in names])
    others = _all([column for name, column in ids.items() if name not in names])
    shared = pc.is_in(theirs, value_set=others)
    return names, theirs.filter(pc.invert(shared)), pc.sum(shared).as_py() or 0


def _check_unused(store: Store, what: str, names: Sequence[str], grids: Sequence[tuple[str, str]]) -> None:
    """Refuse to take back what later additions rest on."""
    for name, text in grids:
        rests_on = added_to(text)
        if name not in names and rests_on in names:
            later = f"phasediag refine {store.folder.uri} --undo"
            if extension_of(text):
                how = "--until-converged" if trains_until_converged(text) else "--extend 2"
                later = f"phasediag launch {store.folder.uri} {how} --undo"
            raise PhasediagError(
                f"{name} adds to {rests_on}, which this {what} added; take that back first: `{later}`"
            )


def _all(columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    """The distinct values of some columns of text."""
    return pc.unique(pa.chunked_array([chunk for each in columns for chunk in each.chunks], pa.string()))


def _undone(store: Store, what: str, names: Sequence[str], own: pa.Array, kept: int, *, place: str) -> Undone:
    asked = _asked(dict(store.grids())[names[-1]])
    recorded = pc.is_in(store.committed().trial_id, value_set=own)
    return Undone(
        sweep=store.folder.uri, grids=tuple(names), what=what, asked=asked,
        trials=pc.sum(recorded).as_py() or 0, kept=kept, place=place,
    )  # fmt: skip


def _drop_checkpoints(store: Store, own: pa.Array) -> None:
    """Drop those of packs that train what is no longer wanted."""
    unwanted = set(own.to_pylist())
    for pack_id in store.checkpoints():
        header = checkpoint.read_header(store, pack_id)
        if header is not None and not unwanted.isdisjoint(header.trial_ids):
            store.drop_checkpoint(pack_id)
