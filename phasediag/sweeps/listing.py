"""The sweeps of a storage: what, when, how far, how large."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from phasediag.errors import PhasediagError
from phasediag.storage.aside import ASIDE
from phasediag.storage.damage import WEIGHTS
from phasediag.storage.folder import Folder
from phasediag.storage.launches import launches_of
from phasediag.storage.lease import held_by
from phasediag.storage.roster import digests_of
from phasediag.storage.store import Store
from phasediag.sweeps.remove import TRASH
from phasediag.sweeps.status import rosters, split_rosters, status_of
from phasediag.trial import KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSweep:
    """One sweep of a storage."""

    name: str
    axes: tuple[str, ...]
    """What its grids give several values to."""
    grids: int
    total: int | None
    """Trials that its grids ask for; None where it cannot be read."""
    done: int
    failed: int
    bytes: int
    """On the disk, with what was put aside."""
    aside: int
    """Bytes of those in the trash and of refinements that were taken back."""
    weights: int
    """Bytes of kept weights."""
    changed: datetime | None
    """When something was written last; None where the storage does not say."""
    running: str
    """Who holds it now; empty where nobody does."""
    trouble: str = ""
    """Why it cannot be read; empty where it can."""


def list_sweeps(storage: str | os.PathLike[str]) -> list[ListedSweep]:
    """Every sweep of a storage, that which changed last first.

    Raises
    ------
    StoreError
        Where the storage cannot be listed.
    """
    place = Folder.at(storage)
    stores = [Store(folder=place / name) for name in place.folders()]
    sweeps = [_listed(store) for store in stores if store.exists()]
    oldest = datetime.fromtimestamp(0, UTC)
    return sorted(sweeps, key=lambda sweep: sweep.changed or oldest, reverse=True)


def _listed(store: Store) -> ListedSweep:
    usage = store.folder.usage()
    changed = datetime.fromtimestamp(usage.newest_ns / 1e9, UTC) if usage.newest_ns else None
    aside = sum((store.folder / name).usage().bytes for name in (ASIDE, TRASH))
    weights = (store.folder / WEIGHTS).usage().bytes
    holder = held_by(store)
    running = f"{holder.purpose} on {holder.host}" if holder else ""
    axes: tuple[str, ...] = ()
    grids, total, done, failed, trouble = 0, None, 0, 0, ""
    try:
        grids, axes = len(store.grids()), tuple(launches_of(store).given)
        present, _ = split_rosters(rosters(store, KINDS))
        counted = status_of([digests_of(roster["trial_id"]) for roster in present], store)
        total, done, failed = counted.total, counted.done, counted.failed
    except PhasediagError as error:
        trouble = str(error)
    return ListedSweep(
        name=store.folder.name, axes=axes, grids=grids, total=total, done=done, failed=failed,
        bytes=usage.bytes, aside=aside, weights=weights, changed=changed, running=running, trouble=trouble,
    )  # fmt: skip
