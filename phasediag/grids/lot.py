"""The trials of a grid by their numbers: made when they are asked for, block by block.

The number of a trial is that of its point among all points of the grid, those that are excluded included,
times the replicates, plus its replicate. From a number follows all else: nobody need hold more of a trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from phasediag.arrays import Shape
from phasediag.grids.design_columns import combinations, stacked
from phasediag.grids.resolved import NOT_APPLICABLE, Points
from phasediag.identity import ID_BYTES, Digests, Identity, Ids
from phasediag.trial import Codes, Encoded, IntArray, Records, Trials, Value

BLOCK: Final = 2**17
"""Trials that are made at a time."""


class MadeColumns(Mapping[str, Encoded]):
    """Columns that are made when they are asked for."""

    def __init__(self, names: Sequence[str], make: Callable[[str], Encoded]) -> None:
        self._names, self._make = dict.fromkeys(names), make
        self._made: dict[str, Encoded] = {}

    def __getitem__(self, name: str) -> Encoded:
        if name not in self._made:
            if name not in self._names:
                raise KeyError(name)
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Members:
    """The trials of one part among some trials."""

    identity: Identity
    rows: IntArray
    """Which of the trials."""
    columns: MadeColumns
    """The columns of the part."""
    replicate: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Expansion:
    """Makes the trials of a grid from their numbers; in other processes, too, for it can be sent there."""

    parts: tuple[Points, ...]
    identities: tuple[Identity, ...]
    """How the columns of each part become ids."""
    names: tuple[str, ...]
    """The parameters, in the order of the columns."""
    replicates: int
    seed: int

    @property
    def end(self) -> int:
        """One more than the largest number that a trial may have."""
        return self.replicates * max((part.numbering.end for part in self.parts), default=0)

    @property
    def constant(self) -> dict[str, Value]:
        """The parameters that all points of the grid have in common, with their values."""
        columns = {
            name: [part.columns.get(name, NOT_APPLICABLE) for part in self.parts] for name in self.names
        }
        pools = {name: {repr(each.pool) for each in several} for name, several in columns.items()}
        return {
            name: first.pool[0] for name, (first, *_) in columns.items()
            if len(first.pool) == 1 and len(pools[name]) == 1
        }  # fmt: skip

    def numbers(self, start: int, stop: int) -> IntArray:
        """The numbers in a range that are of trials: of points that no exclusion removes."""
        numbers = np.arange(start, stop, dtype=np.int64)
        points = np.arange(start // self.replicates, -(-stop // self.replicates), dtype=np.int64)
        there = np.zeros(len(points), dtype=bool)
        for part in self.parts:
            there |= part.find(points)[1]
        return numbers if there.all() else numbers[there[numbers // self.replicates - points[:1]]]

    def records(self, numbers: Codes) -> Records:
        """The trials of some numbers without their ids; columns are made when they are asked for."""
        return self._records(self._members(numbers), len(numbers))

    def trials(self, numbers: Codes) -> Trials:
        """The trials of some numbers, in their order."""
        members = self._members(numbers)
        records = self._records(members, len(numbers))
        trial_id, point_id = np.empty(len(numbers), dtype=object), np.empty(len(numbers), dtype=object)
        for each in members:
            ids = each.identity.ids(each.columns, each.replicate, self._seeds(len(each.rows)))
            trial_id[each.rows], point_id[each.rows] = ids
        return Trials(
            columns=dict(records.columns), replicate=records.replicate, grid_seed=records.grid_seed,
            trial_id=trial_id, point_id=point_id,
        )  # fmt: skip

    def digests(self, numbers: Codes) -> Digests:
        """The ids of the trials of some numbers."""
        made = np.empty((len(numbers), ID_BYTES), dtype=np.uint8)
        for each in self._members(numbers):
            content = each.identity.digests(each.columns, each.replicate, self._seeds(len(each.rows)))
            made[each.rows] = np.frombuffer(content, dtype=np.uint8).reshape(-1, ID_BYTES)
        return made

    @property
    def repeats(self) -> bool:
        """Whether two of its points may train the same: none do where each axis alone tells them apart.

        Points of two designs may (a listed point that the axes hold too), and two values of which the same
        follows (two learning times that round to the same steps).
        """
        designs = {part.numbering.first for part in self.parts if part.numbering.listed is None}
        lists = sum(part.numbering.listed is not None for part in self.parts)
        return len(designs) + lists > 1 or not all(map(_distinct, self.parts, self.identities))

    def _members(self, numbers: Codes) -> list[_Members]:
        """The trials of some numbers, part by part."""
        points, replicate = np.divmod(numbers.astype(np.int64), self.replicates)
        members, count = [], 0
        for part, identity in zip(self.parts, self.identities, strict=True):
            places, there = part.find(points)
            rows = np.flatnonzero(there)
            if len(rows):
                some = places if len(rows) == len(numbers) else tuple(each[rows] for each in places)
                columns = MadeColumns(tuple(part.columns), partial(part.column, some))
                members.append(
                    _Members(identity=identity, rows=rows, columns=columns, replicate=replicate[rows])
                )
                count += len(rows)
        assert count == len(numbers), "a number of no trial"
        return members

    def _records(self, members: Sequence[_Members], count: int) -> Records:
        """The columns of all parts, one below the other and in the order of the trials."""
        counts, rows = [len(each.rows) for each in members], [each.rows for each in members]
        back = np.argsort(np.concatenate(rows)) if len(members) > 1 else None
        replicate = np.concatenate([np.zeros(0, dtype=np.int64), *(each.replicate for each in members)])

        def make(name: str) -> Encoded:
            if not members:
                return NOT_APPLICABLE
            column = stacked([each.columns.get(name, NOT_APPLICABLE) for each in members], counts)
            return column if back is None else column.take(back)

        return Records(
            columns=MadeColumns(self.names, make), grid_seed=self._seeds(count),
            replicate=replicate if back is None else replicate[back],
        )  # fmt: skip

    def _seeds(self, count: int) -> IntArray:
        return np.full(count, self.seed, dtype=np.int64)


class Lot:
    """Some trials of a grid, by their numbers.

    Sent to another process, it is the numbers alone: `over` gives them their grid there.

    Parameters
    ----------
    expansion
        Of the grid.
    numbers
        In any order.
    digests
        Their ids, if they are known.
    """

    def __init__(self, expansion: Expansion, numbers: Codes, digests: Digests | None = None) -> None:
        self._expansion: Expansion | None = expansion
        self.numbers, self._digests = numbers, digests

    def __getstate__(self) -> dict[str, Any]:
        """The numbers."""
        return {"_expansion": None, "numbers": self.numbers, "_digests": None}

    def over(self, expansion: Expansion) -> Lot:
        """The lot of the same numbers."""
        return Lot(expansion, self.numbers)

    @property
    def knows_grid(self) -> bool:
        """Whether it knows its grid."""
        return self._expansion is not None

    @property
    def expansion(self) -> Expansion:
        """The expansion of its grid."""
        assert self._expansion is not None, "these are numbers alone"
        return self._expansion

    @classmethod
    def of_grid(cls, expansion: Expansion) -> Lot:
        """Every trial of a grid once: points in the order of the file, the replicate running fastest.

        Points that would train the same are trained once, where the first of them stands.
        """
        ends = range(0, expansion.end, BLOCK)
        kind = np.min_scalar_type(max(0, expansion.end - 1))
        blocks = [expansion.numbers(at, min(at + BLOCK, expansion.end)).astype(kind) for at in ends]
        lot = cls(expansion, np.concatenate([np.zeros(0, dtype=kind), *blocks]))
        if not expansion.repeats:
            return lot
        digests = lot.digests()
        return lot.of(Ids(digests).find(digests) == np.arange(len(lot)))

    def __len__(self) -> int:
        return len(self.numbers)

    def of(self, rows: npt.NDArray[Any]) -> Lot:
        """The lot of the chosen trials: positions in any order or a boolean mask, shape (trials,)."""
        if rows.dtype == bool and rows.all():
            return self
        digests = None if self._digests is None else self._digests[rows]
        return Lot(self.expansion, self.numbers[rows], digests)

    def trials(self) -> Trials:
        """All of them, made."""
        return self.expansion.trials(self.numbers)

    def everything(self) -> Records:
        """All of them without their ids; columns are made when they are asked for."""
        return self.expansion.records(self.numbers)

    def blocks(self) -> Iterator[Records]:
        """All of them without their ids, so many at a time."""
        for start in range(0, len(self), BLOCK):
            yield self.expansion.records(self.numbers[start : start + BLOCK])

    def digests(self) -> Digests:
        """Their ids as bytes; hashed once."""
        if self._digests is None:
            made = np.empty((len(self), ID_BYTES), dtype=np.uint8)
            for start in range(0, len(self), BLOCK):
                stop = min(start + BLOCK, len(self))
                made[start:stop] = self.expansion.digests(self.numbers[start:stop])
            self._digests = made
        return self._digests

    def ids(self) -> list[str]:
        """Their ids as text."""
        text = self.digests().tobytes().hex()
        return [text[at : at + 2 * ID_BYTES] for at in range(0, len(text), 2 * ID_BYTES)]


def _distinct(part: Points, identity: Identity) -> bool:
    """Whether no two points of a part have one id.

    Points that differ along an axis on which a column depends alone, and takes as many values as the axis
    has places, do; so do those along the rest if the columns there have as many combinations as points.
    """
    telling = [
        column for name in identity.names(part.columns)
        if (column := part.columns[name]).codes is not None
        and len(set(identity.lines(name, column))) == len(column.pool)
    ]  # fmt: skip
    axes = {axis for axis, length in enumerate(part.shape) if length > 1}
    left = {axis for axis in axes if not _tell(telling, part.shape, {axis})}
    among = left.union(*(reach for reach in map(_axes_of, telling) if reach & left))
    return not left or _tell(telling, part.shape, among)


def _axes_of(column: Encoded) -> set[int]:
    """The axes on which a column depends."""
    shape = () if column.codes is None else column.codes.shape
    return {axis for axis, length in enumerate(shape) if length > 1}


def _tell(columns: Sequence[Encoded], shape: Shape, axes: set[int]) -> bool:
    """Whether those of the columns that depend on no other axes have another combination at every place."""
    within = [column for column in columns if _axes_of(column) <= axes]
    return len(combinations(within, shape)[0]) == prod(shape[axis] for axis in axes)
