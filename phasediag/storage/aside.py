"""Moving rows and grids of a sweep aside: out of what readers see, into a folder where they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from phasediag.storage.damage import DamagedError
from phasediag.storage.folder import Folder
from phasediag.storage.fragments import parquet, read, write_rows
from phasediag.storage.kept_grids import seal_name
from phasediag.storage.kept_weights import packs_with_weights, read_kept, write_kept
from phasediag.storage.manifest import KINDS, Kind, identity
from phasediag.storage.opening import SUFFIX
from phasediag.storage.roster import roster_name
from phasediag.storage.schema_arrow import SCHEMA_VERSION
from phasediag.storage.seal import sealed
from phasediag.storage.snapshots import Snapshot, snapshot, stated_id

ASIDE: Final = "aside"
"""The folder of a sweep that no reader looks into."""


def set_aside(sweep: Folder, trial_ids: pa.Array, place: Folder) -> int:
    """Move all rows of some trials to `trials.parquet` and `measurements.parquet` of another folder.

    Their kept weights go to `weights` there.
    They are copied before any is removed, and removed pack by pack: whoever is killed meanwhile has lost
    nothing. Whoever calls holds the lease of the sweep.

    Returns
    -------
    How many of the trials had rows.

    Raises
    ------
    DamagedError
        Where a file of the sweep cannot be believed; nothing is moved then.
    """
    view = snapshot(sweep)
    if view.damage:
        raise DamagedError(sweep.uri, view.damage[0])
    of = pc.field("trial_id").isin(trial_ids)
    if not view.sources("trials"):
        return 0
    held = read(sweep, view.sources("trials"), ("trial_id", "pack_id"), of)
    if not len(held):
        return 0
    packs = sorted(pc.unique(held["pack_id"]).to_pylist())
    rows = {kind: _rows(sweep, view, kind, packs) for kind in KINDS}
    sweep_id = identity(sweep, lambda: stated_id(sweep))
    for kind in KINDS:
        file = f"{kind}{SUFFIX}"
        content = parquet(rows[kind].filter(of))
        place.write(file, *sealed(content, sweep=sweep_id, file=file, schema=SCHEMA_VERSION))
    kept_of = sorted(set(packs).intersection(packs_with_weights(sweep)))
    weights = {pack: read_kept(sweep, pack, sweep_id) for pack in kept_of}
    ids = frozenset(trial_ids.to_pylist())
    for pack, kept in weights.items():
        write_kept(place, pack, kept.of(ids), sweep_id)
    for pack in packs:
        left = {kind: rows[kind].filter(~of & (pc.field("pack_id") == pack)) for kind in KINDS}
        for kind in KINDS:  # trials first: readers take the measurements of trials that they have read
            _replace(sweep, view, kind, pack, left, sweep_id)
    for pack, kept in weights.items():
        write_kept(sweep, pack, kept.of(kept.trial_ids - ids), sweep_id)
    return len(pc.unique(held["trial_id"]))


def set_grid_aside(sweep: Folder, name: str, place: Folder) -> None:
    """Move a recorded grid, with the files beside it, to `grids` of another folder: it no longer counts."""
    grids, kept = sweep / "grids", place / "grids"
    beside, roster = grids / PurePosixPath(name).stem, roster_name(name)
    for file in beside.files():
        (kept / PurePosixPath(name).stem).write(file, beside.read(file))
    for file in (roster, seal_name(name)):
        with suppress(FileNotFoundError):
            kept.write(file, grids.read(file))
    kept.write(name, grids.read(name))
    for file in (name, seal_name(name), roster):
        grids.delete(file)
    beside.clear()


def _rows(sweep: Folder, view: Snapshot, kind: Kind, packs: list[str]) -> pa.Table:
    return read(sweep, view.sources(kind), None, pc.field("pack_id").isin(packs))


def _replace(
    sweep: Folder, view: Snapshot, kind: Kind, pack: str, left: Mapping[Kind, pa.Table], sweep_id: str
) -> None:
    """Let a pack have these rows; files without rows stand for a pack of which merged files hold some."""
    merged = any(pack in file.packs for each in KINDS for file in view.manifest.merged[each])
    if len(left["trials"]) or merged:
        write_rows(sweep, kind, pack, left[kind], sweep_id)
    elif pack in view.live[kind]:
        (sweep / kind).delete(f"{pack}{SUFFIX}")
