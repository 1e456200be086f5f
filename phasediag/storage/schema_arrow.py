"""The columns of a sweep's Parquet files: their names, order and types. The only schema there is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from phasediag.columns import (
    DERIVED_COLUMNS,
    LEADING,
    MEASUREMENT_COLUMNS,
    MEASUREMENTS,
    OF_STAGES,
    RESULT_COLUMNS,
    RESULTS,
    STAGES,
    Column,
    column_of,
)
from phasediag.errors import StoreError
from phasediag.trial import Parameter, Role, formatted

SCHEMA_VERSION: Final = 2
"""Stands in the metadata of every file as `phasediag_schema`."""
DECLARED: Final = b"phasediag_column"
"""Under this key a field holds the declaration of its column, as JSON."""
METADATA: Final = {b"phasediag_schema": str(SCHEMA_VERSION).encode()}


def _field(column: Column, numbers: pa.DataType | None = None) -> pa.Field:
    """The field of a column; `numbers` is the type of the trials, of columns that are lists of them."""
    types = {
        "string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"), "changes": pa.list_(pa.int16()),
    }  # fmt: skip
    return pa.field(column.name, pa.list_(numbers) if column.type == "numbers" else types[column.type])


_LEADING: Final = pa.schema([_field(column) for column in LEADING])
_RESULTS: Final = pa.schema([_field(column) for column in RESULTS])


def parameter_type(parameter: Parameter) -> pa.DataType:
    """The Arrow type of a parameter's column, from the kind of its values."""
    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    return pa.list_(kinds[parameter.item]) if parameter.kind is tuple else kinds[parameter.kind]


def column_in(field: pa.Field) -> Column | None:
    """The declaration that a file holds of one of its columns; None of those that every file has."""
    held = (field.metadata or {}).get(DECLARED)
    if held is None:
        return None
    known = {each.name for each in fields(Column)}
    declared = {name: value for name, value in json.loads(held).items() if name in known}
    return Column(**{**declared, "bounds": tuple(declared["bounds"])})


def declared_in(schema: pa.Schema) -> dict[str, Column]:
    """The columns whose declaration a file holds, by name."""
    declared = {field.name: column_in(field) for field in schema}
    return {name: column for name, column in declared.items() if column is not None}


def _declared_field(column: Column) -> pa.Field:
    """A field that says itself what it holds, for readers who have not what declared it."""
    return _field(column).with_metadata({DECLARED: json.dumps(asdict(column)).encode()})


def stages_type(further: Iterable[Column] = ()) -> pa.DataType:
    """The type of the column `stages`: of each stage its number, way, value, status, steps and results.

    Parameters
    ----------
    further
        As for `trials_schema`.
    """
    plain = [*OF_STAGES, *(column_of(name) for name in ("status", "steps_done", "relaxations"))]
    measured = [column for column in (*RESULTS, *further) if column.null_when_diverged]
    value = pa.field("value", pa.float64())
    return pa.list_(pa.struct([*map(_field, plain), value, *map(_field, measured)]))


def trials_schema(
    parameters: Iterable[Parameter], further: Iterable[Column] = (), stages: bool = False
) -> pa.Schema:
    """The schema of `trials` for trials with these parameters, in the order given; shorthands have no column.

    Parameters
    ----------
    further
        Columns of observables that not every sweep has.
    stages
        Whether the trials have ramps.

    Raises
    ------
    StoreError
        Where a parameter of the user's own task or model has the name of a result.
    """
    further = list(further)
    added = [_declared_field(column) for column in further]
    added += [pa.field(STAGES.name, stages_type(further))] if stages else []
    recorded = [parameter for parameter in parameters if parameter.role is not Role.SHORTHAND]
    given = [pa.field(parameter.name, parameter_type(parameter)) for parameter in recorded]
    taken = {*RESULT_COLUMNS, *DERIVED_COLUMNS, *(field.name for field in added)}
    taken |= {column.name for column in OF_STAGES} if stages else set()
    clash = sorted({field.name for field in given} & taken)
    if clash:
        raise StoreError(
            f"the parameter '{clash[0]}' has the name of a result column; "
            f"rename it in your task or model (taken: {', '.join(sorted(taken))})"
        )
    return pa.schema([*_LEADING, *given, *_RESULTS, *added], metadata=METADATA)


def measurements_schema(dtype: str = "float32") -> pa.Schema:
    """The schema of `measurements` for trials of this dtype (`float32` or `float64`)."""
    numbers = {"float32": pa.float32(), "float64": pa.float64()}[dtype]
    return pa.schema([_field(column, numbers) for column in MEASUREMENTS], metadata=METADATA)


def table(schema: pa.Schema, values: Mapping[str, Sequence[Any] | npt.NDArray[Any]], rows: int) -> pa.Table:
    """A table of `rows` rows in this schema; columns that are not given are null.

    Parameters
    ----------
    values
        One value a row for each column given: an array of shape (rows,), or for lists of numbers a
        sequence of tuples or arrays, or an array of shape (rows, length). None is null; NaN stays NaN.

    Raises
    ------
    ValueError
        Where a column is not in the schema, or has another number of rows.
    """
    unknown = sorted(set(values) - set(schema.names))
    if unknown:
        raise ValueError(f"no column {unknown[0]!r} in the schema; it has {', '.join(schema.names)}")
    arrays = [
        _array(values[field.name], field.type) if field.name in values else pa.nulls(rows, field.type)
        for field in schema
    ]
    for field, array in zip(schema, arrays, strict=True):
        if len(array) != rows:
            raise ValueError(f"column {field.name!r} has {len(array)} rows, not {rows}")
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: Sequence[Any] | npt.NDArray[Any] | pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values.cast(kind)
    if isinstance(values, np.ndarray) and values.ndim == 2:
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        flat = pa.array(np.ascontiguousarray(values).reshape(-1), kind.value_type, from_pandas=False)
        return pa.ListArray.from_arrays(pa.array(offsets), flat)
    return pa.array(values, kind, from_pandas=False)


def promoted(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all rows, with the columns of all tables; nulls where a table lacks one.

    A column that is whole numbers here and floats there becomes float; one whose types cannot be
    reconciled becomes text, as its values stand in an identity.
    """
    schema = joint_schema([table.schema for table in tables])
    if not tables:
        return schema.empty_table()
    return pa.concat_tables([conform(table, schema) for table in tables])


def joint_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """The schema that can hold the rows of all these schemas, results in their fixed order."""
    joint: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            known = joint.get(field.name)
            joint[field.name] = field if known is None else _joint_field(known, field)
    further = declared_in(pa.schema(list(joint.values())))
    return pa.schema([joint[name] for name in arranged(joint, further)], metadata=METADATA)


def _joint_field(one: pa.Field, other: pa.Field) -> pa.Field:
    if one.type.equals(other.type) and not other.metadata:
        return one
    held = other.metadata or one.metadata
    return pa.field(one.name, _joint_type(one.type, other.type), metadata=held)


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with the columns and types of a schema that can hold them."""
    if rows.schema.equals(schema):
        return rows.replace_schema_metadata(schema.metadata)
    held = set(rows.schema.names)
    arrays = [
        _cast(rows[field.name], field.type) if field.name in held else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def arranged(names: Iterable[str], further: Iterable[str] = ()) -> list[str]:
    """Column names in order: ids, parameters, results (`further` ones last), or ids and what is measured."""
    names = dict.fromkeys(names)
    fixed = dict.fromkeys(RESULT_COLUMNS if "status" in names else (*RESULT_COLUMNS, *MEASUREMENT_COLUMNS))
    fixed |= dict.fromkeys((*further, STAGES.name))
    leading = [name for name in _LEADING.names if name in names]
    parameters = [name for name in names if name not in fixed]
    return [*leading, *parameters, *(n for n in fixed if n in names and n not in leading)]


def _joint_type(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one.equals(other):
        return one
    pair = [pa.schema([("column", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(pair, promote_options="permissive").field("column").type
    except pa.ArrowTypeError:
        return pa.string()


def _cast(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if values.type.equals(kind):
        return values
    if kind.equals(pa.string()) and not pa.types.is_null(values.type):
        return pa.chunked_array([pa.array([_text(value) for value in values.to_pylist()], pa.string())])
    return values.cast(kind, safe=False)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return formatted(tuple(value) if isinstance(value, list) else value)
