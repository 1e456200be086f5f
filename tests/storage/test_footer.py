"""Columns that a footer tells are the columns that decoding gives."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phasediag.storage.footer import ColumnReader, constants

ROWS = 10
COLUMNS = {
    "text": pa.array(["relu"] * ROWS),
    "texts": pa.array(["relu", "tanh"] * (ROWS // 2)),
    "number": pa.array([3] * ROWS),
    "numbers": pa.array(range(ROWS)),
    "truth": pa.array([True] * ROWS),
    "one": pa.array([1] * ROWS),
    "float": pa.array([0.5] * ROWS),
    "nan": pa.array([0.5] * (ROWS - 1) + [np.nan]),
    "zeros": pa.array([0.0, -0.0] * (ROWS // 2)),
    "partly": pa.array([3] * (ROWS - 1) + [None]),
    "null": pa.nulls(ROWS, pa.string()),
    "null_float": pa.nulls(ROWS, pa.float64()),
    "lists": pa.array([(1.0, 2.0)] * ROWS, pa.list_(pa.float64())),
    "halves": pa.array([1] * (ROWS // 2) + [2] * (ROWS // 2)),
}
"""`halves` has one value in each of two row groups of five."""


def file_of(columns, **options):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return pq.ParquetFile(io.BytesIO(sink.getvalue()))


@pytest.mark.parametrize("options", [{}, {"row_group_size": 5}, {"write_statistics": False}], ids=str)
@pytest.mark.parametrize("names", [list(COLUMNS), ["text"], ["lists", "numbers"], []], ids=len)
def test_a_read_column_is_the_decoded_column(options, names):
    file = file_of(COLUMNS, **options)
    read, decoded = ColumnReader().read(file, names), file.read(names)
    assert read.column_names == [name for name in COLUMNS if name in names]
    for name in names:
        assert read[name].type == decoded[name].type
        assert [repr(v) for v in read[name].to_pylist()] == [repr(v) for v in decoded[name].to_pylist()]


def test_only_what_is_sure_counts_as_constant():
    """A NaN beside a float is in no statistics, nor is the sign of a zero."""
    sure = {"text": "relu", "number": 3, "truth": True, "one": 1, "null": None, "null_float": None}
    for options, expected in (({}, sure), ({"row_group_size": 5}, sure), ({"write_statistics": False}, {})):
        file = file_of(COLUMNS, **options)
        assert constants(file.schema_arrow, file.metadata, list(COLUMNS)) == expected


def test_files_of_a_sweep_need_not_be_alike():
    """What one file tells of a column is not held against the next."""
    reader = ColumnReader()
    for first, second in (("a", "a"), ("b", "b"), ("a", "b"), ("c", "c"), (None, None)):
        for kind, rows in ((pa.string(), [first, second]), (pa.string(), [first, second] * 40)):
            values = pa.array(rows, kind)
            assert reader.read(file_of({"column": values}), ["column"])["column"].to_pylist() == rows


def test_a_file_without_rows_has_its_columns():
    file = file_of({name: values[:0] for name, values in COLUMNS.items()})
    assert ColumnReader().read(file).equals(file.read())


def test_unwanted_columns_are_left_out():
    file = file_of(COLUMNS)
    assert ColumnReader().read(file, None, {"text", "lists"}).column_names == [
        name for name in COLUMNS if name not in ("text", "lists")
    ]
    assert ColumnReader().read(file, ["number", "other", "text"]).column_names == ["text", "number"]
