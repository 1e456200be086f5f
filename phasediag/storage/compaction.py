"""Merges fragments into few large files, without a moment at which a reader could miss a row."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phasediag.storage.damage import WEIGHTS, Damage, DamagedError, warn_of
from phasediag.storage.folder import TEMPORARY, Folder
from phasediag.storage.fragments import condition, in_parallel, threads_on, write_rows
from phasediag.storage.kept_grids import KeptGrids
from phasediag.storage.kept_weights import ENDING
from phasediag.storage.manifest import (
    COPY,
    KINDS,
    Kind,
    Manifest,
    Merged,
    read_manifest,
    write_manifest,
)
from phasediag.storage.opening import MERGED, SUFFIX, Examined, Source, examined, opened
from phasediag.storage.quarantine import move_to_quarantine
from phasediag.storage.schema_arrow import conform, joint_schema
from phasediag.storage.snapshots import Snapshot, snapshot, stated_id

ROWS_PER_FILE: Final = 1_048_576
BYTES_PER_FILE: Final = 256 * 2**20
"""Bytes in memory, before compression."""
ROWS_PER_BATCH: Final = 65_536
HELD_BYTES: Final = BYTES_PER_FILE
"""Bytes of fragments that are held at once; a table that is written takes as much."""
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
    """Merge all fragments that can be believed, and seal what was written before there were seals.

    Whatever is killed, nothing is lost: merged files count from the moment at which the manifest
    that names them is in place, and what they replace is deleted by the next compaction only.
    Whoever calls holds `COMPACTION`.

    Raises
    ------
    StoreError
        Where a file cannot be read or written.

    Warns
    -----
    DamageWarning
        Of files that are left out, since they are not as they were written.
    """
    sweep_id = _identified(sweep)
    KeptGrids(sweep=sweep).seal_all(sweep_id)
    view = snapshot(sweep)
    deleted = _delete_replaced(sweep, view.manifest)
    _delete_spent_weights(sweep, view)
    work = _Merging(sweep=sweep, view=view, sweep_id=sweep_id, rows_per_file=rows_per_file)
    sound = work.sound()
    warn_of(sweep.uri, (*view.damage, *work.damage))
    if not any(sound.values()) and view.manifest.sealed and not work.damaged_merged:
        return Compaction(merged=0, files=_count(view.manifest), deleted=deleted)
    after = work.merged(sound)
    write_manifest(sweep, after)
    move_to_quarantine(sweep, [path for path in work.lost() if path.partition("/")[2].startswith(MERGED)])
    return Compaction(merged=sum(map(len, sound.values())), files=_count(after), deleted=deleted)


def _identified(sweep: Folder) -> str:
    """The id of the sweep, once both files of its manifest are the same."""
    known = read_manifest(sweep, lambda: stated_id(sweep))
    manifest = known.manifest
    if not manifest.sweep:
        manifest = replace(manifest, sweep=stated_id(sweep) or uuid4().hex)
        write_manifest(sweep, manifest)
    elif known.damage or known.text is None or sweep.entry(COPY) is None or sweep.read(COPY) != known.text:
        write_manifest(sweep, manifest)
    return manifest.sweep


def _count(of: Manifest) -> int:
    return sum(map(len, of.merged.values()))


@dataclass(frozen=True, kw_only=True)
class _Merging:
    """One compaction."""

    sweep: Folder
    view: Snapshot
    sweep_id: str
    rows_per_file: int
    damage: list[Damage] = field(default_factory=list)
    """The files that cannot be believed; they are not merged."""
    seen: dict[str, Examined] = field(default_factory=dict)
    """Those that can be, by path."""

    def sound(self) -> dict[Kind, list[str]]:
        """The packs whose fragments can be merged: those whose trials are committed, and both files whole."""
        committed = set(self.view.live["trials"])
        committed = committed.union(*(m.packs for m in self.view.manifest.merged["trials"]))
        ripe = {kind: [pack for pack in self.view.live[kind] if pack in committed] for kind in KINDS}
        unsound = {
            damage.path.partition("/")[2].removesuffix(SUFFIX)
            for kind in KINDS
            for damage in self._examined([self._source(kind, pack) for pack in ripe[kind]])
        }
        unsound |= self.view.unmeasured()
        return {kind: [pack for pack in ripe[kind] if pack not in unsound] for kind in KINDS}

    @cached_property
    def held(self) -> frozenset[str]:
        """The fragments whose content is kept from when it is looked at until it is merged.

        What was checked is what is merged, then, and is not read and checked twice; of the rest each is.
        """
        fragments = [
            (f"{kind}/{entry.name}", entry.size) for kind in KINDS for entry in self.view.live[kind].values()
        ]
        sizes = accumulate(size for _, size in fragments)
        return frozenset(path for (path, _), size in zip(fragments, sizes, strict=True) if size <= HELD_BYTES)

    def _source(self, kind: Kind, pack: str) -> Source:
        return self.view.source(f"{kind}/{self.view.live[kind][pack].name}")

    def _examined(self, sources: Sequence[Source]) -> list[Damage]:
        """What is wrong with files, all of which are read; of the others the columns are noted.

        So is the content of those that are `held`.
        """

        def looked_at(source: Source) -> Examined | Damage:
            try:
                seen = examined(self.sweep, source)
            except DamagedError as error:
                return error.damage
            return seen if source.path in self.held else replace(seen, content=None)

        seen = in_parallel(looked_at, sources, threads_on(self.sweep))
        met = [each for each in seen if isinstance(each, Damage)]
        self.damage.extend(met)
        self.seen.update(
            (source.path, each)
            for source, each in zip(sources, seen, strict=True)
            if isinstance(each, Examined)
        )
        return met

    @property
    def damaged_merged(self) -> bool:
        """Whether a merged file was found to be lost."""
        return any(path.partition("/")[2].startswith(MERGED) for path in self.lost())

    def lost(self) -> list[str]:
        """The files that cannot be believed."""
        return sorted({damage.path for damage in (*self.view.damage, *self.damage)})

    def merged(self, fresh: Mapping[Kind, Sequence[str]]) -> Manifest:
        """The manifest of what is merged now, once its files are written."""
        known = self.view.manifest
        files = {kind: self._merge(kind, fresh[kind]) for kind in KINDS}
        measured = frozenset[str]().union(*(file.packs for file in files["measurements"]))
        unmeasured = known.unmeasured | frozenset(fresh["measurements"])
        if not known.sealed:  # it was not kept which packs left none
            unmeasured |= frozenset[str]().union(*(m.packs for m in known.merged["trials"]))
            unmeasured -= self.view.unmeasured(self._lost("measurements"))
        return Manifest(
            sweep=self.sweep_id, sealed=True, generation=known.generation + 1, merged=files,
            absorbed={
                kind: {pack: self.view.live[kind][pack].stamp for pack in fresh[kind]} for kind in KINDS
            },
            unmeasured=unmeasured - measured,
        )  # fmt: skip

    def _lost(self, kind: Kind) -> set[str]:
        return {path for path in self.lost() if path.startswith(f"{kind}/")}

    def _merge(self, kind: Kind, fresh: Sequence[str]) -> tuple[Merged, ...]:
        """Write the merged files of one kind: full ones stay, the rest and the fragments become new ones."""
        known, live = self.view.manifest, frozenset(fresh)
        kept: list[Merged] = []
        again: list[Merged] = []
        lost = self._lost(kind)
        for file in known.merged[kind]:
            if f"{kind}/{file.name}" in lost:
                continue
            full = 2 * file.rows >= self.rows_per_file or not fresh
            stays = full and known.sealed and not file.packs & live
            (kept if stays else again).append(file)
        sources = [self.view.source(f"{kind}/{m.name}", m.packs & live) for m in again]
        unsound = {damage.path for damage in self._examined(sources)}
        sources = [source for source in sources if source.path not in unsound]
        sources += [self._source(kind, pack) for pack in fresh]
        written = []
        for number, rows in enumerate(self._tables(sources)):
            name = f"{MERGED}{known.generation + 1:06d}-{number:04d}"
            size = write_rows(self.sweep, kind, name, rows, self.sweep_id)
            packs = frozenset(pc.unique(rows["pack_id"]).to_pylist())
            written.append(Merged(name=f"{name}{SUFFIX}", rows=len(rows), packs=packs, size=size))
        return (*kept, *written)

    def _tables(self, sources: Sequence[Source]) -> Iterator[pa.Table]:
        """The rows of all sources in one schema, cut into tables of the size of a file."""
        schema = joint_schema([self.seen[source.path].schema for source in sources])
        parts: list[pa.Table] = []
        rows = size = 0
        for source in sources:
            wanted = condition(source)
            for batch in self._batches(source):
                table = pa.Table.from_batches([batch])
                parts.append(conform(table if wanted is None else table.filter(wanted), schema))
                rows, size = rows + len(parts[-1]), size + parts[-1].nbytes
                if rows >= self.rows_per_file or size >= BYTES_PER_FILE:
                    yield pa.concat_tables(parts)
                    parts, rows, size = [], 0, 0
        if rows:
            yield pa.concat_tables(parts)

    def _batches(self, source: Source) -> Iterator[pa.RecordBatch]:
        """The rows of a file that was looked at, from what was seen then where that is held."""
        content = self.seen.pop(source.path).content
        if content is None:
            with opened(self.sweep, source) as file:
                yield from file.iter_batches()
        else:  # small, and whole it takes a sixth less time than by batches
            with pq.ParquetFile(pa.BufferReader(content)) as file:
                yield from file.read(use_threads=False).to_batches(max_chunksize=ROWS_PER_BATCH)


def _delete_replaced(sweep: Folder, current: Manifest) -> int:
    """Delete what the manifest in place has replaced, and what killed processes left; count the former."""
    _delete_litter(sweep)
    deleted = 0
    for kind in KINDS:
        counted = {m.name for m in current.merged[kind]}
        folder = sweep / kind
        for entry in folder.entries():
            replaced = current.absorbed[kind].get(entry.name.removesuffix(SUFFIX)) == entry.stamp
            orphan = entry.name.startswith(MERGED) and entry.name not in counted
            if replaced or orphan:
                folder.delete(entry.name)
                deleted += 1
    return deleted


def _delete_spent_weights(sweep: Folder, view: Snapshot) -> None:
    """Delete weights of packs without a row, but for new ones, whose rows a launch is about to write."""
    rows = set(view.live["trials"]).union(*(m.packs for m in view.manifest.merged["trials"]))
    oldest, folder = time.time_ns() - LITTER_S * 1e9, sweep / WEIGHTS
    for entry in folder.entries():
        if entry.name.removesuffix(ENDING) not in rows and 0 < entry.mtime_ns < oldest:
            folder.delete(entry.name)


def _delete_litter(sweep: Folder) -> None:
    """Delete what killed processes have half written, in all folders of a sweep."""
    oldest = time.time_ns() - LITTER_S * 1e9
    for path in sweep.files(hidden=True):
        if PurePosixPath(path).name.startswith(".") and path.endswith(TEMPORARY):
            entry = sweep.entry(path)
            if entry is not None and 0 < entry.mtime_ns < oldest:
                sweep.delete(path)
