"""Files of a sweep that cannot be believed are moved out of the way, and kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import PurePosixPath

from phasediag.storage.damage import QUARANTINE
from phasediag.storage.folder import Folder


def move_to_quarantine(sweep: Folder, paths: Iterable[str]) -> list[str]:
    """Move files to the folder of a sweep that no reader looks into; whoever calls holds `COMPACTION`.

    Trials go before the measurements of their pack.

    Returns
    -------
    Where those lie now that were there.
    """
    moved = []
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    for path in sorted(set(paths), key=lambda path: (not path.startswith("trials/"), path)):
        place = PurePosixPath(path)
        folder = sweep if str(place.parent) == "." else sweep / str(place.parent)
        if folder.entry(place.name) is not None:
            kept = f"{stamp}-{path.replace('/', '-')}"
            folder.move(place.name, sweep / QUARANTINE, kept)
            moved.append(f"{QUARANTINE}/{kept}")
    return moved


def quarantined(sweep: Folder) -> list[str]:
    """The names of the files that were set aside."""
    return [entry.name for entry in (sweep / QUARANTINE).entries()]
