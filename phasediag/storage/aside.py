"""Moving rows and grids of a sweep aside: out of what readers see, into a folder where they are kept."""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from phasediag.storage.folder import Folder
from phasediag.storage.fragments import KINDS, SUFFIX, Kind, Snapshot, parquet, read, snapshot
from phasediag.storage.roster import roster_name

ASIDE: Final = "aside"
"""The folder of a sweep that no reader looks into."""


def set_aside(sweep: Folder, trial_ids: pa.Array, place: Folder) -> int:
    """Move all rows of some trials to `trials.parquet` and `measurements.parquet` of another folder.

    They are copied before any is removed, and removed pack by pack: whoever is killed meanwhile has lost
    nothing. Whoever calls holds the lease of the sweep.

    Returns
    -------
    How many of the trials had rows.
    """
    view = snapshot(sweep)
    of = pc.field("trial_id").isin(trial_ids)
    if not view.sources("trials"):
        return 0
    held = read(sweep, view.sources("trials"), ("trial_id", "pack_id"), of)
    if not len(held):
        return 0
    packs = sorted(pc.unique(held["pack_id"]).to_pylist())
    rows = {kind: _rows(sweep, view, kind, packs) for kind in KINDS}
    for kind in KINDS:
        place.write(f"{kind}{SUFFIX}", parquet(rows[kind].filter(of)))
    for pack in packs:
        for kind in KINDS:  # trials first: readers take the measurements of trials that they have read
            left = rows[kind].filter(~of & (pc.field("pack_id") == pack))
            _replace(sweep, view, kind, pack, left)
    return len(pc.unique(held["trial_id"]))


def set_grid_aside(sweep: Folder, name: str, place: Folder) -> None:
    """Move a recorded grid, with the files beside it, to `grids` of another folder: it no longer counts."""
    grids, kept = sweep / "grids", place / "grids"
    beside, roster = grids / PurePosixPath(name).stem, roster_name(name)
    for file in beside.files():
        (kept / PurePosixPath(name).stem).write(file, beside.read(file))
    with suppress(FileNotFoundError):
        kept.write(roster, grids.read(roster))
    kept.write(name, grids.read(name))
    grids.delete(name)
    grids.delete(roster)
    beside.clear()


def _rows(sweep: Folder, view: Snapshot, kind: Kind, packs: list[str]) -> pa.Table:
    return read(sweep, view.sources(kind), None, pc.field("pack_id").isin(packs))


def _replace(sweep: Folder, view: Snapshot, kind: Kind, pack: str, left: pa.Table) -> None:
    """Let a pack have these rows; a file without rows stands for a pack of which merged files hold some."""
    merged = any(pack in file.packs for file in view.manifest.merged[kind])
    if len(left) or merged:
        (sweep / kind).write(f"{pack}{SUFFIX}", parquet(left))
    elif pack in view.live[kind]:
        (sweep / kind).delete(f"{pack}{SUFFIX}")
