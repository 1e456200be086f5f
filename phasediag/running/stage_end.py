"""What the stages of ramps come to, as a checkpoint and as the column `stages` hold it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from phasediag.arrays import BoolArray
from phasediag.columns import Column
from phasediag.ramp import ramp_of
from phasediag.storage.schema_arrow import stages_type
from phasediag.trial import IntArray, Trials

_TEXTS: Final = "texts/"
"""What stands before the name of a column of texts."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageEnd:
    """The trials of a tile at the end of a stage; without ramps, at the end of their training."""

    columns: Mapping[str, npt.NDArray[Any]]
    """The measured columns of `trials`, shape (trials,): NaN, of texts None, where nothing is measured."""
    steps_done: IntArray
    """In all stages together, shape (trials,)."""
    diverged: BoolArray
    """Whether each has ceased to be finite in this stage or before, shape (trials,)."""

    @property
    def status(self) -> npt.NDArray[np.object_]:
        """`ok` or `diverged`, shape (trials,)."""
        return np.where(self.diverged, "diverged", "ok").astype(object)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The end of a stage as arrays for a checkpoint, by name; texts as uint8 of a JSON list."""
        texts = {n: column for n, column in self.columns.items() if column.dtype == object}
        held = {n: column for n, column in self.columns.items() if n not in texts}
        held |= {
            _TEXTS + n: np.frombuffer(json.dumps(column.tolist()).encode(), dtype=np.uint8)
            for n, column in texts.items()
        }
        return {**held, "steps_done": self.steps_done, "diverged": self.diverged}

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> StageEnd:
        """What `arrays` gave, once more."""
        columns = {n: array for n, array in arrays.items() if not n.startswith(_TEXTS)}
        columns |= {
            n.removeprefix(_TEXTS): np.array(json.loads(array.tobytes()), dtype=object)
            for n, array in arrays.items() if n.startswith(_TEXTS)
        }  # fmt: skip
        return cls(steps_done=columns.pop("steps_done"), diverged=columns.pop("diverged"), columns=columns)


def stage_records(
    trials: Trials, stages: Sequence[StageEnd], results: Sequence[Mapping[str, pa.Array]],
    further: Sequence[Column],
) -> pa.Array:  # fmt: skip
    """The column `stages` of trials of equally many stages: a list of structs, one a stage.

    Parameters
    ----------
    results
        Of each stage the measured columns, null where a trial has none.
    further
        The columns of observables that not every sweep has.
    """
    kind = stages_type(further)
    count, number = len(trials), len(stages)
    ramps = [ramp for record in trials.records() if (ramp := ramp_of(record)) is not None]
    order = np.arange(count * number).reshape(number, count).T.reshape(-1)

    def joined(parts: Sequence[Any], kind: pa.DataType) -> pa.Array:
        """One value for each stage of each trial, trial after trial, from those of each stage."""
        arrays = [part if isinstance(part, pa.Array) else pa.array(part, kind) for part in parts]
        return pa.concat_arrays([array.cast(kind) for array in arrays]).take(pa.array(order))

    known: dict[str, list[Any]] = {
        "stage": [np.full(count, stage) for stage in range(number)],
        "way": [[ramp.way(stage) for ramp in ramps] for stage in range(number)],
        "value": [[ramp.values[stage] for ramp in ramps] for stage in range(number)],
        "status": [list(stage.status) for stage in stages],
        "steps_done": [stage.steps_done for stage in stages],
    }
    fields = [
        joined(
            known[field.name] if field.name in known
            else [result.get(field.name, pa.nulls(count)) for result in results],
            field.type,
        )
        for field in kind.value_type
    ]  # fmt: skip
    structs = pa.StructArray.from_arrays(fields, fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(np.arange(count + 1) * number, pa.int32()), structs).cast(kind)
