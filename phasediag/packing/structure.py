"""Which program trains a trial: the one answer that planning, running and forecasting share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b

import numpy as np

from phasediag.grids.design_columns import combinations, derived
from phasediag.trial import IntArray, Parameter, Records, Role, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What decides on a program: trials of one structure are trained by one program, and no others are.

    Two structures are equal where their `id` is, whatever record they were made from: a structure is a key of
    dictionaries and of caches.
    """

    record: Mapping[str, Value] = field(compare=False)
    """All values of some trial of the structure, those of the envelope instead of its own: the program is
    built from it. Only its `values` matter to the program."""
    parameters: tuple[Parameter, ...] = field(compare=False)
    """The parameters that decide on the program, in the order of the record."""
    envelope: Mapping[str, Value] = field(compare=False, default_factory=dict)
    """The program's values of the parameters in which its trials may differ, by padding: the largest. None:
    they differ in none."""
    id: str = field(init=False)
    """A hash of the values and of what the envelope names; the same in every process."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "record", {**self.record, **self.envelope})
        object.__setattr__(self, "id", self.id_without(()))

    @property
    def values(self) -> dict[str, Value]:
        """What of the record decides on the program, by the name of the parameter."""
        return {each.name: _of_program(each, self.record[each.name]) for each in self.parameters}

    def id_without(self, free: Iterable[str]) -> str:
        """What structures share that differ at most in the parameters `free`."""
        left = set(free)
        lines = [f"{name}={value!r}" for name, value in sorted(self.values.items()) if name not in left]
        padded = [f"padded {name}={self.envelope[name]!r}" for name in sorted(set(self.envelope))]
        return blake2b("\n".join([*lines, *padded]).encode(), digest_size=16).hexdigest()

    def padded_to(self, envelope: Mapping[str, Value]) -> Structure:
        """The structure of a program to which trials of several structures are padded."""
        return Structure(record=self.record, parameters=self.parameters, envelope=dict(envelope))


def _of_program(parameter: Parameter, value: Value) -> Value:
    """What of a value the trials of one program have in common."""
    if parameter.role is Role.STRUCTURAL:
        return value
    if value is None or value == parameter.neutral:
        return None
    return len(value) if isinstance(value, tuple) else True


def deciding(columns: Iterable[str], parameters: Mapping[str, Parameter]) -> tuple[Parameter, ...]:
    """The parameters among some columns of trials that decide on their program, in their order."""
    roles = (Role.STRUCTURAL, Role.SWITCHED)
    return tuple(parameters[name] for name in columns if parameters[name].role in roles)


def structure_of(
    record: Mapping[str, Value], parameters: Mapping[str, Parameter],
    envelope: Mapping[str, Value] | None = None,
) -> Structure:  # fmt: skip
    """The structure of a trial's record, padded to an envelope where one is given.

    Parameters
    ----------
    parameters
        Of the grid, by name: they tell what decides on a program from what is batched.
    """
    return Structure(record=record, parameters=deciding(record, parameters), envelope=dict(envelope or {}))


def structures(trials: Records, parameters: Mapping[str, Parameter]) -> tuple[list[Structure], IntArray]:
    """The structures of trials, made from the first trial of each, and which of them each trial has.

    Returns
    -------
    structures
        Without repetition.
    index
        The position of each trial's structure, int64, shape (trials,).
    """
    columns = [
        trials.columns[each.name]
        if each.role is Role.STRUCTURAL
        else derived(partial(_of_program, each), [trials.columns[each.name]], (len(trials),))
        for each in deciding(trials.columns, parameters)
    ]
    first, index = combinations(columns, (len(trials),))
    group = np.broadcast_to(index, (len(trials),))
    made = [structure_of(trials.record(row), parameters) for row in first.tolist()]
    distinct = list(dict.fromkeys(made))
    if len(distinct) == len(made):
        return made, group
    position = {structure: number for number, structure in enumerate(distinct)}
    return distinct, np.array([position[structure] for structure in made], dtype=np.int64)[group]
