"""Trials with ramps as frames have them: a row for each stage."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.arrays import IntArray
from phasediag.columns import STAGES
from phasediag.trial import rounded

NEEDED: Final = (STAGES.name, "ramp", "point_id", "learning_rate")
"""What the rows of stages rest on besides the columns that are wanted."""
_FOLLOWING: Final = ("lr_over_batch", "learning_time")
"""What is proportional to the learning rate, the batch size and the steps held."""


def staged(rows: pa.Table) -> pa.Table:
    """Rows of `trials`, each of those with a ramp replaced by one row a stage.

    A stage has its own `stage`, `way`, results, and value of the parameter that the ramp changes. Its
    `point_id` is that of the trial with the number of the stage behind a slash, for a stage is a point of
    its own; `trial_id` stays that of the trial. Without ramps the table is as it was.
    """
    if STAGES.name not in rows.column_names:
        return rows
    lists = rows[STAGES.name].combine_chunks()
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    trial = np.repeat(np.arange(len(rows)), np.maximum(counts, 1))
    has = counts[trial] > 0
    place = pa.array(np.cumsum(has) - 1, mask=~has)
    stages = pc.list_flatten(lists)
    spread = rows.drop_columns([STAGES.name]).take(pa.array(trial))
    ends = {field.name: pc.struct_field(stages, field.name).take(place) for field in stages.type}
    value = ends.pop("value")
    for name, column in ends.items():
        spread = _replaced(spread, name, column, has) if name in spread.column_names else spread
    spread = _with_values(spread, value)
    number = pc.cast(ends["stage"], pa.string())
    point = pc.binary_join_element_wise(spread["point_id"], number, "/")
    spread = _replaced(spread, "point_id", point, has)
    return spread.append_column("stage", ends["stage"]).append_column("way", ends["way"])


def _with_values(rows: pa.Table, value: pa.Array) -> pa.Table:
    """The rows with the value of each stage under the name of the parameter that changes."""
    names = rows["ramp"].to_numpy()
    for name in {name for name in names if name is not None}:
        here = names == name
        if name == "learning_rate":
            share = pc.divide(value, rows[name])
            for other in (other for other in _FOLLOWING if other in rows.column_names):
                scaled = pc.multiply(rows[other], share).to_pylist()
                rows = _replaced(
                    rows, other, pa.array([rounded(each) for each in scaled], pa.float64()), here
                )
        if name in rows.column_names:
            rows = _replaced(rows, name, value, here)
    return rows


def _replaced(rows: pa.Table, name: str, column: pa.Array, where: IntArray | Any) -> pa.Table:
    """The table with another column of a name where that holds."""
    position, kind = rows.column_names.index(name), rows.schema.field(name)
    mixed = pc.if_else(pa.array(where), column.cast(kind.type), rows[name].combine_chunks())
    return rows.set_column(position, kind, mixed)
