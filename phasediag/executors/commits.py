"""What packs have left in the store, whether anybody has told of it or not.

A worker may die between the last write of its pack and its report. The pack is trained all the same: the
store alone says what is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute as pc

from phasediag.errors import StoreError
from phasediag.running.job import Progress
from phasediag.storage.fragments import read
from phasediag.storage.snapshots import reading, snapshot
from phasediag.storage.store import Store

if TYPE_CHECKING:
    from phasediag.packing.pack import Pack
    from phasediag.storage.snapshots import Snapshot

COLUMNS: Final = ("trial_id", "pack_id", "status", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commits:
    """The packs that were committed since a moment; by default all that are recorded."""

    store: Store
    before: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The stamp of each fragment of trials that there was at that moment, by pack."""
    merged: frozenset[str] = frozenset()
    """The packs that had been merged by then."""

    @classmethod
    def since_now(cls, store: Store) -> Commits:
        """Those from now on: a pack may be one of trials that are trained once more."""
        view = snapshot(store.folder)
        return cls(
            store=store, before={pack_id: entry.stamp for pack_id, entry in view.live["trials"].items()},
            merged=frozenset[str]().union(*(file.packs for file in view.manifest.merged["trials"])),
        )  # fmt: skip

    def of(self, pack: Pack) -> Progress | None:
        """What a pack has come to; None where it was not committed, or the storage does not tell."""
        try:
            rows = reading(self.store.folder, lambda view: self._rows(view, pack.pack_id))
        except StoreError:
            return None
        if len(rows) != len(pack):
            return None
        status = [row["status"] for row in rows]
        return Progress(
            trials_done=len(pack), failed=status.count("failed"), diverged=status.count("diverged"),
            error=next((row["error"] for row in rows if row["error"]), ""), done=True,
        )  # fmt: skip

    def _rows(self, view: Snapshot, pack_id: str) -> list[dict[str, Any]]:
        """The rows that a pack has left, unless they stood there before."""
        entry, stamp = view.live["trials"].get(pack_id), self.before.get(pack_id)
        stood = stamp is not None or pack_id in self.merged
        if stood and (entry is None or entry.stamp == stamp):  # merged since, it does not tell when it came
            return []
        sources = view.sources_of("trials", [pack_id])
        rows: list[dict[str, Any]] = read(
            self.store.folder, sources, COLUMNS, pc.field("pack_id") == pack_id, met=view.met
        ).to_pylist()
        return rows
