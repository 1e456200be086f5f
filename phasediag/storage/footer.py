"""Columns of a Parquet file with one value throughout: its footer tells the value, so none is decoded.

Most columns of a fragment are such, as a pack holds like trials. Setting up the reader of a column takes
longer than decoding what a pack left in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

_VARIED: Final = object()
"""In place of a value: there are several, or it is not known."""


class ColumnReader:
    """Reads columns of files that are much alike, such as those of one sweep; from many threads at once.

    What it learns from a file only makes the next ones faster.
    """

    def __init__(self) -> None:
        self._varied: set[str] = set()
        """Columns with several values in some file; later files are not asked about them."""
        self._repeats: dict[tuple[Any, str], pa.Array] = {}
        """Arrays of one value, shared by all files and columns that need them."""

    def read(
        self,
        file: pq.ParquetFile,
        columns: Collection[str] | None = None,
        without: Collection[str] = (),
        *,
        use_threads: bool = False,
    ) -> pa.Table:
        """Columns of a file in its order, with the rows that `ParquetFile.read` gives.

        Parameters
        ----------
        columns
            The columns wanted; one that the file lacks is left out. None: all.
        without
            Columns that are left out, where `columns` is None.
        """
        schema, footer = file.schema_arrow, file.metadata  # made anew each time they are asked for
        fields = [f for f in schema if (f.name not in without if columns is None else f.name in columns)]
        asked = [field.name for field in fields if field.name not in self._varied]
        known = constants(schema, footer, asked)
        self._varied.update(name for name in asked if name not in known)
        decoded = [field.name for field in fields if field.name not in known]
        table = file.read(decoded, use_threads=use_threads)
        arrays = [
            self._repeated(known[field.name], field.type, footer.num_rows)
            if field.name in known
            else table[field.name]
            for field in fields
        ]
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields, schema.metadata))

    def _repeated(self, value: Any, kind: pa.DataType, rows: int) -> pa.Array:
        """`value` of type `kind`, `rows` times; None is null."""
        array = self._repeats.get((value, str(kind)))
        if array is None or len(array) < rows:
            array = pa.nulls(rows, kind) if value is None else pa.repeat(pa.scalar(value, kind), rows)
            self._repeats[value, str(kind)] = array
        return array.slice(0, rows)


def constants(schema: pa.Schema, footer: pq.FileMetaData, names: Sequence[str]) -> dict[str, Any]:
    """The columns among `names` with one value in every row, by the statistics of the file; None: all null.

    Floats count only where all are null, as no statistics tell of NaN. Lists never count.
    """
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    position = {name: number for number, name in enumerate(schema.names)}
    single = {}
    for name in names:
        values = _values(groups, position[name], name, floats=pa.types.is_floating(schema.field(name).type))
        first = next(values, _VARIED)
        if first is not _VARIED and all(value == first for value in values):
            single[name] = first
    return single


def _values(
    groups: Sequence[pq.RowGroupMetaData], position: int, name: str, *, floats: bool
) -> Iterator[Any]:
    """The one value that a column has in each row group, or `_VARIED`."""
    for group in groups:
        chunk = group.column(position)
        statistics = chunk.statistics if chunk.path_in_schema == name else None
        if statistics is None or not statistics.has_null_count:
            yield _VARIED
        elif statistics.null_count == chunk.num_values:
            yield None
        elif floats or statistics.null_count or not statistics.has_min_max:
            yield _VARIED
        else:
            least = statistics.min
            yield least if least == statistics.max else _VARIED
