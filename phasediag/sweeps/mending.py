"""What a launch does about damage before it looks at what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from phasediag.storage.examination import LEASES, FileState, examine, repair
from phasediag.storage.folder import Folder
from phasediag.storage.manifest import KINDS
from phasediag.storage.snapshots import snapshot
from phasediag.storage.store import Store

READ_THROUGH: Final = 2 * 2**30
"""Bytes of a local sweep up to which a launch reads all of it; it takes about a second for each."""


def mended(store: Store) -> list[str]:
    """Set aside what of a sweep cannot be believed, so that its trials count as missing; what was done.

    Every byte is read where the sweep is local and of at most `READ_THROUGH`. Of others the trials are, when
    they are looked for, and `phasediag verify` reads the rest. Kept weights are looked at when they are
    needed: nothing that is recorded rests on them. Whoever calls holds the lease of the sweep.

    Raises
    ------
    StoreError
        Where nothing can be done about it.
    """
    folder = store.folder
    if not store.exists():
        return []
    states = examine(folder, weights=False) if _small(folder) else _listed(folder)
    return repair(folder, [state for state in states if state.path not in LEASES])


def _small(folder: Folder) -> bool:
    sizes = (entry.size for kind in KINDS for entry in (folder / kind).entries())
    return folder.local and sum(sizes) <= READ_THROUGH


def _listed(folder: Folder) -> Sequence[FileState]:
    """What listing the files shows."""
    return [FileState.of(damage) for damage in snapshot(folder).damage]
