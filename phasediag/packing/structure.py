"""Which program trains a trial: the one answer that planning, running and forecasting share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from phasediag.grids.columns import combinations
from phasediag.trial import IntArray, Parameter, Role, Trials, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What decides on a program: trials of one structure are trained by one program, and no others are.

    Two structures are equal where their `id` is, whatever record they were made from: a structure is a key of
    dictionaries and of caches.
    """

    record: Mapping[str, Value] = field(compare=False)
    """All values of some trial of the structure, those of the envelope instead of its own: the program is
    built from it. Only its `values` matter to the program."""
    names: tuple[str, ...] = field(compare=False)
    """The structural parameters, in the order of the record."""
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
        """The structural parameters of the program, by name."""
        return {name: self.record[name] for name in self.names}

    def id_without(self, free: Iterable[str]) -> str:
        """What structures share that differ at most in the parameters `free`."""
        left = sorted(set(self.names).difference(free))
        lines = [f"{name}={self.record[name]!r}" for name in left]
        padded = [f"padded {name}={self.envelope[name]!r}" for name in sorted(set(self.envelope))]
        return blake2b("\n".join([*lines, *padded]).encode(), digest_size=16).hexdigest()

    def padded_to(self, envelope: Mapping[str, Value]) -> Structure:
        """The structure of a program to which trials of several structures are padded."""
        return Structure(record=self.record, names=self.names, envelope=dict(envelope))


def structural(columns: Iterable[str], parameters: Mapping[str, Parameter]) -> tuple[str, ...]:
    """The structural parameters among some columns of trials, in their order."""
    return tuple(name for name in columns if parameters[name].role is Role.STRUCTURAL)


def structure_of(
    record: Mapping[str, Value], parameters: Mapping[str, Parameter],
    envelope: Mapping[str, Value] | None = None,
) -> Structure:  # fmt: skip
    """The structure of a trial's record, padded to an envelope where one is given.

    Parameters
    ----------
    parameters
        Of the grid, by name: they tell the structural parameters from the batched ones.
    """
    return Structure(record=record, names=structural(record, parameters), envelope=dict(envelope or {}))


def structures(trials: Trials, parameters: Mapping[str, Parameter]) -> tuple[list[Structure], IntArray]:
    """The structures of trials, made from the first trial of each, and which of them each trial has.

    Returns
    -------
    structures
        Without repetition.
    index
        The position of each trial's structure, int64, shape (trials,).
    """
    names = structural(trials.columns, parameters)
    first, group = combinations([trials.columns[name] for name in names], len(trials))
    made = [structure_of(trials.record(row), parameters) for row in first.tolist()]
    distinct = list(dict.fromkeys(made))
    if len(distinct) == len(made):
        return made, group
    position = {structure: number for number, structure in enumerate(distinct)}
    return distinct, np.array([position[structure] for structure in made], dtype=np.int64)[group]
