"""The rows of the Parquet files of a sweep. Everybody who wants rows gets them here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phasediag.storage.damage import Damage, DamagedError
from phasediag.storage.folder import Folder
from phasediag.storage.footer import ColumnReader
from phasediag.storage.manifest import Kind
from phasediag.storage.opening import SUFFIX, Source, opened
from phasediag.storage.schema_arrow import METADATA, SCHEMA_VERSION, promoted
from phasediag.storage.seal import sealed

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


def read(
    sweep: Folder,
    sources: Sequence[Source],
    columns: Sequence[str] | None,
    where: pc.Expression | None = None,
    prune: Callable[[pa.Table], pa.Table] | None = None,
    without: Collection[str] = (),
    met: list[Damage] | None = None,
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
    met
        Is told of each file that cannot be believed, whose rows are then left out.

    Raises
    ------
    FileNotFoundError, StoreError
        As `opened`; of a file that cannot be believed only where `met` is None.
    """
    threads, reader = threads_on(sweep), ColumnReader()
    few = len(sources) < threads

    def rows(source: Source) -> pa.Table | None:
        try:
            with opened(sweep, source) as file:
                # Over small files a dataset's scanner takes longer to set up than the file to read.
                rows = reader.read(file, columns, without, use_threads=few)
        except DamagedError as error:
            if met is None:
                raise
            met.append(error.damage)
            return None
        holds = condition(source, where)
        rows = rows if holds is None else rows.filter(holds)
        return rows if prune is None else prune(rows)

    return promoted([table for table in in_parallel(rows, sources, threads) if table is not None])


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


def write_rows(sweep: Folder, kind: Kind, name: str, rows: pa.Table, sweep_id: str) -> int:
    """Write a file of a sweep, sealed; how many bytes it has.

    Raises
    ------
    StoreError
        Where it cannot be written.
    """
    file = f"{name}{SUFFIX}"
    parts = sealed(parquet(rows), sweep=sweep_id, file=f"{kind}/{file}", schema=SCHEMA_VERSION)
    (sweep / kind).write(file, *parts)
    return sum(map(len, parts))


def in_pack(rows: pa.Table, pack_id: str) -> pa.Table:
    """Rows, as those of another pack."""
    at = rows.column_names.index("pack_id")
    return rows.set_column(at, rows.schema.field(at), pa.array([pack_id] * len(rows), pa.string()))


def parquet(rows: pa.Table) -> memoryview:
    """A table as the bytes of a Parquet file without a seal, its schema's version in the metadata."""
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
