"""Which Parquet files make up a sweep at this moment, and the rows in them.

A fragment is what one pack left: `trials/<pack_id>.parquet` and `measurements/<pack_id>.parquet`.
Compaction merges fragments into `merged-*.parquet` files and names in `manifest.json` which merged
files count and which fragments they hold. One rule keeps the two apart: a fragment that the
manifest does not hold replaces all merged rows of its pack.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phasediag.errors import StoreError
from phasediag.storage.folder import Buffer, Entry, Folder
from phasediag.storage.footer import ColumnReader
from phasediag.storage.schema_arrow import METADATA, promoted

Kind = Literal["trials", "measurements"]
KINDS: Final[tuple[Kind, ...]] = ("trials", "measurements")
MERGED: Final = "merged-"
"""How the name of a merged file begins; a pack_id is hexadecimal, so it never does."""
MANIFEST: Final = "manifest.json"
SUFFIX: Final = ".parquet"
ROWS_PER_GROUP: Final = 1_048_576
FEWEST_FOR_DICTIONARY: Final = 65_536
"""Rows from which on a column's dictionary is worth the page of its own that each reader must unpack."""
SMALL_NUMBERS: Final = "DELTA_BINARY_PACKED"
"""How lists of small whole numbers are written: it takes a quarter less than plain."""
THREADS: Final = 16
"""Files of an object store opened at once: opening one waits for the network."""
LOCAL_THREADS: Final = min(THREADS, (psutil.cpu_count() or 1) + 1)
"""Local files opened at once: more would wait for the interpreter."""

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A file that compaction wrote."""

    name: str
    rows: int
    packs: frozenset[str]
    """The packs that have rows in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Which merged files count, and which fragments they hold."""

    generation: int = 0
    """Raised by one at every compaction; 0 before the first."""
    merged: Mapping[Kind, tuple[Merged, ...]] = field(
        default_factory=lambda: {"trials": (), "measurements": ()}
    )
    absorbed: Mapping[Kind, Mapping[str, tuple[int, int]]] = field(
        default_factory=lambda: {"trials": {}, "measurements": {}}
    )
    """The stamp of each fragment that was merged, by pack; kept until the next compaction deletes it."""

    def text(self) -> bytes:
        """The manifest as JSON."""
        merged = {
            kind: [{"name": m.name, "rows": m.rows, "packs": sorted(m.packs)} for m in files]
            for kind, files in self.merged.items()
        }
        content = {"version": 1, "generation": self.generation, "merged": merged}
        return json.dumps({**content, "absorbed": dict(self.absorbed)}).encode()

    @classmethod
    def parse(cls, text: bytes) -> Manifest:
        """The manifest in a JSON text."""
        content = json.loads(text)
        return cls(
            generation=content["generation"],
            merged={
                kind: tuple(
                    Merged(name=m["name"], rows=m["rows"], packs=frozenset(m["packs"]))
                    for m in content["merged"][kind]
                )
                for kind in KINDS
            },
            absorbed={
                kind: {pack: (stamp[0], stamp[1]) for pack, stamp in content["absorbed"][kind].items()}
                for kind in KINDS
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to read, less the rows of packs that a newer fragment replaces."""

    path: str
    """Relative to the sweep."""
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The files of a sweep at one moment."""

    manifest: Manifest
    live: Mapping[Kind, Mapping[str, Entry]]
    """Fragments beside the manifest, by pack."""

    def sources(self, kind: Kind) -> list[Source]:
        """All files of one kind, merged ones first."""
        live = self.live[kind]
        merged = [
            Source(path=f"{kind}/{m.name}", without=m.packs & live.keys()) for m in self.manifest.merged[kind]
        ]
        return [*merged, *(Source(path=f"{kind}/{entry.name}") for entry in live.values())]


def manifest(sweep: Folder) -> Manifest:
    """The sweep's manifest; an empty one where it was never compacted.

    Raises
    ------
    StoreError
        Where the manifest is damaged.
    """
    try:
        return Manifest.parse(sweep.read(MANIFEST))
    except FileNotFoundError:
        return Manifest()
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{sweep.uri}/{MANIFEST} is damaged ({error}); restore it from a backup: without it the "
            f"{MERGED}* files cannot be told from their fragments"
        ) from error


def snapshot(sweep: Folder) -> Snapshot:
    """The files of a sweep that make up one consistent state, during a launch and a compaction too.

    Trials are listed before measurements: what was committed by then has its measurements.
    """
    before = manifest(sweep)
    while True:
        live = {kind: _live(sweep, kind, before) for kind in KINDS}
        after = manifest(sweep)
        if after.generation == before.generation:
            return Snapshot(manifest=before, live=live)
        before = after


def _live(sweep: Folder, kind: Kind, known: Manifest) -> dict[str, Entry]:
    absorbed = known.absorbed[kind]
    live = {
        entry.name.removesuffix(SUFFIX): entry
        for entry in (sweep / kind).entries()
        if entry.name.endswith(SUFFIX) and not entry.name.startswith(MERGED)
    }
    return {pack: entry for pack, entry in live.items() if absorbed.get(pack) != entry.stamp}


@contextmanager
def opened(sweep: Folder, source: Source) -> Iterator[pq.ParquetFile]:
    """A file of the sweep, open for the time of the block.

    Raises
    ------
    FileNotFoundError
        Where it is gone, since a compaction has replaced it.
    StoreError
        Where it is no Parquet file.
    """
    try:
        file = sweep.filesystem.open_input_file(f"{sweep.path.rstrip('/')}/{source.path}")
        parquet = pq.ParquetFile(file)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"{sweep.uri}/{source.path} cannot be read: {error}; if it is damaged, delete it and launch "
            "again: its trials are then trained once more"
        ) from error
    with file:
        yield parquet


def read(
    sweep: Folder,
    sources: Sequence[Source],
    columns: Sequence[str] | None,
    where: pc.Expression | None = None,
    prune: Callable[[pa.Table], pa.Table] | None = None,
    without: Collection[str] = (),
) -> pa.Table:
    """The rows of many files as one table.

    Parameters
    ----------
    columns
        The columns wanted; files that lack one give nulls, and one that no file has is left out.
        None: all.
    where
        Only rows for which this holds; its columns must be among those wanted, `pack_id` too.
    prune
        Applied to the rows of each file, so that what is not needed is never held together.
    without
        Columns that are left out, where `columns` is None.

    Raises
    ------
    FileNotFoundError, StoreError
        As `opened`.
    """
    threads, reader = threads_on(sweep), ColumnReader()
    few = len(sources) < threads

    def rows(source: Source) -> pa.Table:
        with opened(sweep, source) as file:
            # Over small files a dataset's scanner takes longer to set up than the file to read.
            rows = reader.read(file, columns, without, use_threads=few)
        holds = condition(source, where)
        rows = rows if holds is None else rows.filter(holds)
        return rows if prune is None else prune(rows)

    return promoted(in_parallel(rows, sources, threads))


def condition(source: Source, where: pc.Expression | None = None) -> pc.Expression | None:
    """What rows of a source must meet: not replaced, and `where`."""
    if not source.without:
        return where
    kept = ~pc.field("pack_id").isin(sorted(source.without))
    return kept if where is None else kept & where


def threads_on(sweep: Folder) -> int:
    """How many files of a sweep are read at once."""
    return LOCAL_THREADS if sweep.local else THREADS


def in_parallel(
    work: Callable[[_Item], _Made], items: Sequence[_Item], threads: int = LOCAL_THREADS
) -> list[_Made]:
    """`work` of each item, in order, several at once."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        return list(pool.map(work, items))


def parquet(rows: pa.Table) -> Buffer:
    """A table as the bytes of a Parquet file, its schema's version in the metadata."""
    sink = pa.BufferOutputStream()
    metadata = {**(rows.schema.metadata or {}), **METADATA}
    small = [leaf for leaf, kind in _leaves(rows.schema) if kind.equals(pa.int16())]
    others = [leaf for leaf, _ in _leaves(rows.schema) if leaf not in small]
    pq.write_table(
        rows.replace_schema_metadata(metadata), sink, compression="zstd", row_group_size=ROWS_PER_GROUP,
        use_dictionary=others if len(rows) >= FEWEST_FOR_DICTIONARY else False,
        column_encoding=dict.fromkeys(small, SMALL_NUMBERS),
    )  # fmt: skip
    return memoryview(sink.getvalue())


def _leaves(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """The columns as Parquet names them, and the types of their numbers."""
    return [
        (f"{field.name}.list.element", field.type.value_type)
        if pa.types.is_list(field.type)
        else (field.name, field.type)
        for field in schema
    ]
