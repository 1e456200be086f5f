"""The explicit points of a grid: a list in the file, or a Parquet file beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from phasediag.grids.axis import read_value
from phasediag.grids.nodes import Node, Report
from phasediag.trial import Encoded, IntArray, Parameter

_UNNAMED: Final = r"__index_level_\d+__"
"""How pandas names an index that has no name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawColumn:
    """The values of one key as they were read, not yet checked."""

    pool: list[Any]
    lines: list[int]
    """The line of each value in the pool."""
    codes: IntArray
    """Position in `pool` of each point's value, shape (points,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointSet:
    """Points that give a value to the same parameters."""

    columns: Mapping[str, RawColumn]
    position: IntArray
    """The number of each point among all points, shape (points,)."""
    lines: IntArray
    """The line that tells where each point stands, shape (points,)."""
    index: frozenset[str] = frozenset()
    """The columns that were the index of a pandas frame."""

    def __len__(self) -> int:
        return len(self.position)


def read_points(node: Node, folder: Path, report: Report) -> list[PointSet]:
    """The points, grouped by the parameters that they name; values are not checked yet.

    In a Parquet file a null means that the point does not name the parameter.
    """
    if isinstance(node.content, str):
        return _from_parquet(node, folder / node.content, report)
    if not isinstance(node.content, tuple) or not node.content:
        remedy = "write points: [{width: 16, ...}, ...] or points: file.parquet"
        report.add(node.line, "points", f"{node.shown} is neither a list of points nor a file", remedy)
        return []
    groups: dict[tuple[str, ...], list[int]] = {}
    contents: list[Mapping[str, Node]] = []
    for index, point in enumerate(node.content):
        if not isinstance(point.content, dict) or not point.content:
            remedy = "a point is a mapping such as {width: 16}"
            report.add(point.line, f"points[{index}]", f"{point.shown} is not a point", remedy)
            return []
        contents.append(point.content)
        groups.setdefault(tuple(sorted(point.content)), []).append(index)
    at = np.array([point.line for point in node.content], dtype=np.int64)
    return [_from_nodes(names, np.array(rows), contents, at) for names, rows in groups.items()]


def _from_nodes(
    names: Sequence[str], rows: IntArray, points: Sequence[Mapping[str, Node]], lines: IntArray
) -> PointSet:
    columns = {}
    for name in names:
        values = [points[row][name] for row in rows]
        columns[name] = RawColumn(
            pool=[value.plain for value in values], lines=[value.line for value in values],
            codes=np.arange(len(rows), dtype=np.int64),
        )  # fmt: skip
    return PointSet(columns=columns, position=rows, lines=lines[rows])


def _from_parquet(node: Node, path: Path, report: Report) -> list[PointSet]:
    if os.path.exists(path) and not os.path.isfile(path):  # Arrow would read all that lies in a folder
        report.add(node.line, "points", f"{path} is no file", "give a Parquet file")
        return []
    try:
        stored = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        report.add(node.line, "points", f"{path} cannot be read ({reason})", "paths are relative to the grid")
        return []
    index = _index_of(stored)
    table = stored.drop_columns([name for name in index if re.fullmatch(_UNNAMED, name)])
    if not table.num_rows or not table.num_columns:
        remedy = "give one row a point, one column a parameter"
        report.add(node.line, "points", f"{path} holds no points", remedy)
        return []
    given = np.stack([column.is_valid().to_numpy() for column in table.columns], axis=1)
    patterns, which = np.unique(given, axis=0, return_inverse=True)
    sets = []
    for number, pattern in enumerate(patterns):
        rows = np.flatnonzero(which.reshape(-1) == number).astype(np.int64)
        part = table.take(pa.array(rows))
        names = [name for name, named in zip(table.column_names, pattern, strict=True) if named]
        columns = {name: _encoded(part.column(name), node.line) for name in names}
        lines = np.full(len(rows), node.line)
        sets.append(PointSet(columns=columns, position=rows, lines=lines, index=index))
    return sets


def _index_of(table: pa.Table) -> frozenset[str]:
    """The columns that the file's metadata name as the index of the frame that it was written from."""
    try:
        named = (table.schema.pandas_metadata or {}).get("index_columns", [])
    except ValueError:
        return frozenset()
    return frozenset(name for name in named if isinstance(name, str) and name in table.column_names)


def _shortest(value: Any, kind: pa.DataType) -> Any:
    """A number of lower precision as its shortest decimal: 0.001, not 0.0010000000474974513."""
    if isinstance(value, list):
        return [_shortest(item, kind.value_type) for item in value]
    if pa.types.is_float32(kind) and value is not None:
        return float(str(np.float32(value)))
    if pa.types.is_float16(kind) and value is not None:
        return float(str(np.float16(value)))
    return value


def _encoded(column: Any, line: int) -> RawColumn:
    if pa.types.is_nested(column.type) or pa.types.is_float16(column.type):  # neither has a dictionary
        values = column.to_pylist()
        index: dict[str, int] = {}
        codes = np.array([index.setdefault(repr(value), len(index)) for value in values], dtype=np.int64)
        _, first = np.unique(codes, return_index=True)
        pool = [_shortest(values[row], column.type) for row in first]
    else:
        joined = column.combine_chunks()
        encoded = joined if pa.types.is_dictionary(column.type) else joined.dictionary_encode()
        pool = [_shortest(value, encoded.type.value_type) for value in encoded.dictionary.to_pylist()]
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return RawColumn(pool=pool, lines=[line] * len(pool), codes=codes)


def checked_column(name: str, raw: RawColumn, declarations: Sequence[Parameter], report: Report) -> Encoded:
    """The column with every distinct value in its parameter's type; faults stand in `report`."""
    key = f"points.{name}"
    pairs = zip(raw.pool, raw.lines, strict=True)
    values = Encoded.of([read_value(item, line, key, declarations, report) for item, line in pairs])
    return Encoded(pool=values.pool, codes=None if values.codes is None else values.codes[raw.codes])
