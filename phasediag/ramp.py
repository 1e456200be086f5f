"""Ramps: trials that walk along one parameter, stage after stage, each from the weights of the one before.

A trial with a ramp is trained for `steps` steps at each value of `ramp_values` in turn, and is measured at
the end of every stage. Its own row tells of the last stage; its column `stages` of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from phasediag.trial import (
    Encoded,
    FiniteFloat,
    IntArray,
    NonNegativeFloat,
    Parameter,
    Records,
    Role,
    Trials,
    Value,
    number,
    numbers,
)

RampLeg = Literal["up", "down"]
"""Whether the value of a stage is above or below that of the stage before."""

RAMP: Final[tuple[Parameter, ...]] = (
    Parameter(name="ramp", type=str | None, default=None, neutral=None, role=Role.STRUCTURAL,
              meaning="The parameter that changes from stage to stage of a trial; its own column holds the "
              "value of the last stage."),
    Parameter(name="ramp_values", type=Annotated[tuple[FiniteFloat, ...], Field(min_length=1)] | None,
              default=None, neutral=None, role=Role.SWITCHED,
              meaning="What `ramp` takes in each stage; a stage takes `steps` steps."),
    Parameter(name="ramp_kick", type=NonNegativeFloat, default=0.0, neutral=0.0, role=Role.BATCHED,
              unit="weights", meaning="Standard deviation of what is added to every number that is trained "
              "before each stage but the first."),
)  # fmt: skip
"""What a trial has besides where its grid has a ramp; other grids know nothing of them."""
KICK: Final = 1e-4
"""`ramp_kick` where a grid does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """The walk of one trial."""

    parameter: str
    values: tuple[float, ...]
    """The values of the parameter, stage after stage."""

    def way(self, stage: int) -> RampLeg:
        """In which direction the ramp came to a stage; of the first one, in which it goes on."""
        before, after = (stage - 1, stage) if stage else (0, 1)
        return "up" if self.values[after] > self.values[before] else "down"


def ramp_of(record: Mapping[str, Value]) -> Ramp | None:
    """The ramp of a trial's record; None where it has none."""
    parameter = record.get("ramp")
    if parameter is None:
        return None
    return Ramp(parameter=str(parameter), values=numbers(record["ramp_values"]))


def stages_of(record: Mapping[str, Value]) -> int:
    """How many stages a trial has: 1 without a ramp."""
    ramp = ramp_of(record)
    return 1 if ramp is None else len(ramp.values)


def ramped(trials: Records) -> bool:
    """Whether any of the trials has a ramp."""
    return "ramp" in trials.columns and trials.columns["ramp"].pool != (None,)


def lengths(trials: Records) -> IntArray:
    """Steps of training of each trial, those of all its stages, int64, shape (trials,)."""
    steps: IntArray = trials.values("steps").astype(np.int64)
    if not ramped(trials):
        return steps
    column = trials.columns["ramp_values"]
    counts = Encoded(
        pool=tuple(1 if value is None else len(numbers(value)) for value in column.pool), codes=column.codes
    )
    return steps * counts.values(len(trials)).astype(np.int64)


def at_stage(trials: Trials, stage: int) -> Trials:
    """Trials of one structure as they are in a stage: with the value of their parameter there."""
    if not ramped(trials):
        return trials
    (parameter,) = trials.columns["ramp"].pool
    column = trials.columns["ramp_values"]
    there = Encoded(pool=tuple(numbers(values)[stage] for values in column.pool), codes=column.codes)
    return replace(trials, columns={**trials.columns, str(parameter): there})


def slowest(trials: Records, name: str) -> npt.NDArray[np.float64]:
    """The smallest positive value that a parameter has in any stage of each trial; 0 where it has none."""
    own: npt.NDArray[np.float64] = trials.values(name).astype(np.float64)
    if not ramped(trials):
        return own
    walks = Encoded(
        pool=tuple(min((v for v in numbers(values) if v > 0), default=0.0) if values else 0.0
                   for values in trials.columns["ramp_values"].pool),
        codes=trials.columns["ramp_values"].codes,
    ).values(len(trials))  # fmt: skip
    return np.where(trials.values("ramp") == name, walks, own)


def kick_of(record: Mapping[str, Value]) -> float:
    """The standard deviation of a trial's kicks: 0 without a ramp."""
    return number(record.get("ramp_kick", 0.0))
