"""Merges fragments into few large files, without a moment at which a reader could miss a row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from phasediag.storage.folder import TEMPORARY, Folder
from phasediag.storage.fragments import (
    KINDS,
    MANIFEST,
    MERGED,
    SUFFIX,
    Kind,
    Manifest,
    Merged,
    Snapshot,
    Source,
    condition,
    in_parallel,
    manifest,
    opened,
    parquet,
    snapshot,
    threads_on,
)  # fmt: skip
from phasediag.storage.schema_arrow import conform, joint_schema

ROWS_PER_FILE: Final = 1_048_576
BYTES_PER_FILE: Final = 256 * 2**20
"""Bytes in memory, before compression."""
LITTER_S: Final = 86_400.0
"""A temporary file of this age was left by a process that was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What a compaction did."""

    merged: int
    """Fragments that were merged, trials and measurements counted apart."""
    files: int
    """Files that hold the sweep's compacted rows now."""
    deleted: int
    """Files that an earlier compaction had replaced."""


def compact(sweep: Folder, rows_per_file: int = ROWS_PER_FILE) -> Compaction:
    """Merge all fragments that are there; the caller sees to it that only one compaction runs.

    Whatever is killed, nothing is lost: merged files count from the moment at which the manifest
    that names them is in place, and what they replace is deleted by the next compaction only.

    Raises
    ------
    StoreError
        Where a file cannot be read or written.
    """
    deleted = _delete_replaced(sweep, manifest(sweep))
    view = snapshot(sweep)
    fresh = {kind: _ripe(view, kind) for kind in KINDS}
    if not any(fresh.values()):
        return Compaction(merged=0, files=_count(view.manifest), deleted=deleted)
    generation = view.manifest.generation + 1
    after = Manifest(
        generation=generation,
        merged={kind: _merge(sweep, view, kind, fresh[kind], rows_per_file) for kind in KINDS},
        absorbed={kind: {pack: view.live[kind][pack].stamp for pack in fresh[kind]} for kind in KINDS},
    )
    sweep.write(MANIFEST, after.text())
    return Compaction(merged=sum(map(len, fresh.values())), files=_count(after), deleted=deleted)


def _count(of: Manifest) -> int:
    return sum(map(len, of.merged.values()))


def _ripe(view: Snapshot, kind: Kind) -> list[str]:
    """The packs whose fragments can be merged: those whose trials are committed."""
    committed = set(view.live["trials"]).union(*(m.packs for m in view.manifest.merged["trials"]))
    return [pack for pack in view.live[kind] if pack in committed]


def _delete_replaced(sweep: Folder, current: Manifest) -> int:
    """Delete what the manifest in place has replaced, and what killed processes left; count the former."""
    _delete_litter(sweep)
    deleted = 0
    for kind in KINDS:
        counted = {m.name for m in current.merged[kind]}
        folder = sweep / kind
        _delete_litter(folder)
        for entry in folder.entries():
            replaced = current.absorbed[kind].get(entry.name.removesuffix(SUFFIX)) == entry.stamp
            orphan = entry.name.startswith(MERGED) and entry.name not in counted
            if replaced or orphan:
                folder.delete(entry.name)
                deleted += 1
    return deleted


def _delete_litter(folder: Folder) -> None:
    oldest = time.time_ns() - LITTER_S * 1e9
    for entry in folder.entries(hidden=True):
        if entry.name.startswith(".") and entry.name.endswith(TEMPORARY) and 0 < entry.mtime_ns < oldest:
            folder.delete(entry.name)


def _merge(
    sweep: Folder, view: Snapshot, kind: Kind, fresh: list[str], rows_per_file: int
) -> tuple[Merged, ...]:
    """Write the merged files of one kind: full ones stay, the rest and the fragments become new ones."""
    live = frozenset(view.live[kind])
    kept: list[Merged] = []
    again: list[Merged] = []
    for file in view.manifest.merged[kind]:
        stays = (2 * file.rows >= rows_per_file or not fresh) and not file.packs & live
        (kept if stays else again).append(file)
    sources = [Source(path=f"{kind}/{m.name}", without=m.packs & live) for m in again]
    sources += [Source(path=f"{kind}/{view.live[kind][pack].name}") for pack in fresh]
    written = []
    for number, rows in enumerate(_files(sweep, sources, rows_per_file)):
        name = f"{MERGED}{view.manifest.generation + 1:06d}-{number:04d}{SUFFIX}"
        (sweep / kind).write(name, parquet(rows))
        packs = frozenset(pc.unique(rows["pack_id"]).to_pylist())
        written.append(Merged(name=name, rows=len(rows), packs=packs))
    return (*kept, *written)


def _files(sweep: Folder, sources: list[Source], rows_per_file: int) -> Iterator[pa.Table]:
    """The rows of all sources in one schema, cut into tables of the size of a file."""
    schema = joint_schema(in_parallel(lambda source: _schema(sweep, source), sources, threads_on(sweep)))
    parts: list[pa.Table] = []
    rows = size = 0
    for source in sources:
        wanted = condition(source)
        with opened(sweep, source) as file:
            for batch in file.iter_batches():
                table = pa.Table.from_batches([batch])
                parts.append(conform(table if wanted is None else table.filter(wanted), schema))
                rows, size = rows + len(parts[-1]), size + parts[-1].nbytes
                if rows >= rows_per_file or size >= BYTES_PER_FILE:
                    yield pa.concat_tables(parts)
                    parts, rows, size = [], 0, 0
    if rows:
        yield pa.concat_tables(parts)


def _schema(sweep: Folder, source: Source) -> pa.Schema:
    with opened(sweep, source) as file:
        return file.schema_arrow
