"""Trials sorted by their programs, and those of a program in the order in which they are trained.

They are gone through block by block: what is kept of each is its place in the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from phasediag.arrays import FloatArray
from phasediag.grids.design_columns import combinations, values_at
from phasediag.packing.structure import Structure, structures
from phasediag.packing.trial_source import TrialSource
from phasediag.ramp import lengths
from phasediag.trial import Codes, Encoded, IntArray, Parameter, Records, formatted, narrow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Programs:
    """Trials sorted by their structures."""

    structures: list[Structure]
    group: Codes
    """The position of each trial's structure, shape (trials,)."""
    counts: list[int]
    """Trials of each structure."""
    steps: list[float]
    """Steps of all of them together."""


def programs_of(trials: TrialSource, parameters: Mapping[str, Parameter]) -> Programs:
    """Sort trials by their structures.

    Parameters
    ----------
    parameters
        Tells the structural parameters from the batched ones.
    """
    known: dict[Structure, int] = {}
    groups: list[Codes] = []
    counts, steps = np.zeros(0), np.zeros(0)
    for block in trials.blocks():
        distinct, index = structures(block, parameters)
        numbers = np.array([known.setdefault(structure, len(known)) for structure in distinct])
        group = numbers[index]
        groups.append(narrow(group, len(known)))
        counts = _added(counts, np.bincount(group, minlength=len(known)))
        steps = _added(steps, np.bincount(group, weights=lengths(block), minlength=len(known)))
    return Programs(
        structures=list(known), group=np.concatenate(groups), counts=counts.astype(np.int64).tolist(),
        steps=steps.tolist(),
    )  # fmt: skip


def _added(before: FloatArray, more: FloatArray | IntArray) -> FloatArray:
    """Sums of which there may be more now."""
    sums: FloatArray = np.concatenate([before, np.zeros(len(more) - len(before))]) + more
    return sums


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingOrder:
    """The trials of a program in the order in which they are trained: the longest first, then world by world.

    A run of it holds trials of one world that take equally many steps.
    """

    rows: Codes
    """Where each trial stands in its source, shape (trials,)."""
    ends: IntArray
    """One more than the last trial of each run in this order, shape (runs,)."""
    steps: IntArray
    """Steps of each trial of a run, shape (runs,)."""


def orders_of(
    trials: TrialSource, bucket: IntArray, group: Codes, worlds: Sequence[Sequence[str]]
) -> list[TrainingOrder]:
    """The order of the trials of each program.

    Parameters
    ----------
    bucket
        The program of each structure.
    group
        The structure of each trial, as in `Programs`.
    worlds
        For each program, the parameters on which a world depends besides its replicate.
    """
    gathered = [_Gathered(names) for names in worlds]
    start = 0
    for block in trials.blocks():
        programs, steps = bucket[group[start : start + len(block)]], lengths(block)
        for program in np.unique(programs).tolist():
            rows = np.flatnonzero(programs == program)
            gathered[program].add(start, block, rows, steps[rows])
        start += len(block)
    return [each.order() for each in gathered]


@dataclass(slots=True)
class _Gathered:
    """What decides on the order of a program's trials, block by block."""

    names: Sequence[str]
    """The parameters on which a world depends, besides its replicate."""
    keys: list[tuple[Codes, ...]] = field(default_factory=list)
    """Keys of the trials of each block: where they stand, worlds but for the replicate, replicates, steps."""
    worlds: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add(self, start: int, block: Records, rows: IntArray, steps: IntArray) -> None:
        """Take in some trials of a block, of which the first stands at `start` in the source."""
        count = (len(block),)
        seeds, seed = np.unique(block.grid_seed, return_inverse=True)
        columns = [block.columns[name] for name in self.names]
        columns.append(Encoded(pool=tuple(seeds.tolist()), codes=seed if len(seeds) > 1 else None))
        first, index = combinations(columns, count)
        values = zip(*(values_at(column, first, count) for column in columns), strict=True)
        numbers = [self.worlds.setdefault(tuple(map(formatted, each)), len(self.worlds)) for each in values]
        world = np.broadcast_to(np.array(numbers)[index], count)[rows]
        keys = (start + rows, world, block.replicate[rows], steps)
        self.keys.append(tuple(narrow(key, int(key.max()) + 1) for key in keys))

    def order(self) -> TrainingOrder:
        """The order of all that were taken in."""
        rows, world, replicate, steps = (np.concatenate(keys) for keys in zip(*self.keys, strict=True))
        self.keys.clear()
        count = (len(rows),)
        lengths, rank = _ranked(steps)
        keys = (len(lengths) - 1 - rank, replicate, world)
        first, index = combinations([_coded(key) for key in keys], count)
        run = narrow(np.broadcast_to(index, count), len(first))
        return TrainingOrder(
            rows=rows[np.argsort(run, kind="stable")], ends=np.cumsum(np.bincount(run)),
            steps=steps[first].astype(np.int64),
        )  # fmt: skip


def _coded(key: Codes) -> Encoded:
    """Numbers from 0 on as a column of which they are the codes."""
    pool = tuple(range(int(key.max()) + 1))
    return Encoded(pool=pool, codes=key if len(pool) > 1 else None)


def _ranked(values: Codes) -> tuple[IntArray, IntArray]:
    """The distinct whole numbers, ascending, and which of them each is."""
    most = int(values.max())
    if most > 4 * len(values):
        distinct, rank = np.unique(values, return_inverse=True)
        return distinct.astype(np.int64), rank
    present = np.zeros(most + 1, dtype=bool)
    present[values] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[values]
