"""Taking rows out of a sweep: into its trash, from where they come back until the sweep is compacted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from phasediag.errors import PhasediagError
from phasediag.storage.aside import set_aside
from phasediag.storage.lease import held_by, take
from phasediag.storage.opening import table_of
from phasediag.storage.store import Store
from phasediag.sweeps.moved_rows import MovedRows, add_rows

TRASH: Final = "trash"
"""The folder of a sweep with what was removed, one folder a removal, named by its time; no reader looks."""
_TRIALS: Final = "trials.parquet"
_MEASUREMENTS: Final = "measurements.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What was, or would be, removed or brought back."""

    sweep: str
    trials: int
    place: str
    """The folder of the trash; empty where nothing was done."""
    back: bool = False
    """Whether the trials were brought back."""
    newer: int = 0
    """Trials that were not brought back, since the sweep holds newer rows of them."""

    def __str__(self) -> str:
        if self.back:
            kept = f"; {self.newer:,} were trained anew since and stay as they are" if self.newer else ""
            return f"brought back: {self.trials:,} trials{kept}"
        if not self.place:
            return f"would remove {self.trials:,} trials of {self.sweep}; --yes does it"
        return (
            f"removed: {self.trials:,} trials, kept in {self.place} until the sweep is compacted; "
            f"`phasediag remove {self.sweep} --undo` brings them back. Grids that ask for them count them as "
            "missing: a launch trains them again"
        )


def remove(sweep: str | Path, trial_ids: Sequence[str], *, dry_run: bool = False) -> Removal:
    """Move all rows of some trials into the trash of their sweep.

    Parameters
    ----------
    dry_run
        Only tell how many there are.

    Raises
    ------
    LeaseHeldError
        Where a launch of the sweep is running.
    StoreError
        Where there is no such sweep, or it cannot be written.
    """
    store, ids = Store.at(sweep).required(), pa.array(trial_ids, pa.string())
    if dry_run:
        held = store.trials_table(("trial_id",), ordered=False)["trial_id"]
        count = pc.sum(pc.is_in(held, value_set=ids)).as_py() or 0
        return Removal(sweep=store.folder.uri, trials=count, place="")
    with take(store, purpose="removal of trials"):
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        place = store.folder / TRASH / f"{stamp}-{uuid4().hex[:4]}"
        count = set_aside(store.folder, ids, place)
    return Removal(sweep=store.folder.uri, trials=count, place=place.uri if count else "")


def bring_back(sweep: str | Path) -> Removal:
    """Bring the trials back that were removed last; those that were trained anew since stay as they are.

    Raises
    ------
    PhasediagError
        Where the trash is empty.
    LeaseHeldError, StoreError
        As for `remove`.
    """
    store = Store.at(sweep).required()
    with take(store, purpose="undo of a removal"):
        removals = sorted((store.folder / TRASH).folders())
        if not removals:
            raise PhasediagError(
                f"nothing was removed from {store.folder.uri} since it was compacted: there is nothing to "
                "bring back"
            )
        place = store.folder / TRASH / removals[-1]
        rows = MovedRows(
            trials=table_of(place, _TRIALS), measurements=table_of(place, _MEASUREMENTS), folder=place
        )
        ids = pc.unique(rows.trials["trial_id"])
        present = store.trials_table(("trial_id",), ordered=False)["trial_id"]
        lost = ids.filter(pc.invert(pc.is_in(ids, value_set=present.combine_chunks())))
        add_rows(store, rows.only(lost))
        place.clear()
    return Removal(
        sweep=store.folder.uri, trials=len(lost), place=place.uri, back=True, newer=len(ids) - len(lost)
    )


def empty_trash(store: Store) -> int:
    """Delete what was removed from a sweep; nothing while a launch or an undo holds it.

    Returns
    -------
    The bytes that were freed.
    """
    trash = store.folder / TRASH
    if held_by(store) is not None:
        return 0
    freed = trash.usage().bytes
    if freed:
        trash.clear()
    return freed
