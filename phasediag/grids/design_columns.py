"""Operations on whole columns of a design: products, distinct combinations, derived values, stacking.

A design has a shape: its rows are the combinations of places along its axes, the last axis running fastest. A
column has codes along the axes alone on which it depends (and 1 along the others), so that what follows from
few axes costs as little as they have combinations, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from phasediag.arrays import BoolArray, Shape
from phasediag.trial import Codes, Encoded, IntArray, Value, narrow

_Kind = TypeVar("_Kind", bound=np.generic)


def product(groups: Sequence[Mapping[str, Sequence[Value]]]) -> tuple[dict[str, Encoded], Shape]:
    """Every combination of the groups; the last group runs fastest.

    Parameters
    ----------
    groups
        Axes that move together: equally many values by name, each value once.

    Returns
    -------
    The columns, and the shape of the design: an axis a group, or one of length 1 without groups.
    """
    shape = tuple(len(next(iter(group.values()))) for group in groups) or (1,)
    columns: dict[str, Encoded] = {}
    for axis, group in enumerate(groups):
        length = shape[axis]
        alone = [1] * len(shape)
        alone[axis] = length
        codes = narrow(np.arange(length), length).reshape(alone)
        for name, values in group.items():
            columns[name] = Encoded(pool=tuple(values), codes=None if length == 1 else codes)
    return columns, shape


def combinations(
    columns: Sequence[Encoded], shape: Shape, kept: BoolArray | None = None
) -> tuple[IntArray, IntArray]:
    """The distinct combinations of some columns.

    Parameters
    ----------
    kept
        The rows that count; broadcasts to `shape`. None: all.

    Returns
    -------
    first
        The first row of each combination, counted in the design, int64, shape (combinations,).
    index
        The combination of each row, int64; broadcasts to `shape`, and means nothing where no row is kept.
    """
    along = [column for column in columns if column.codes is not None]
    shapes = [column.codes.shape for column in along if column.codes is not None]
    shapes += [] if kept is None else [kept.shape]
    reach = np.broadcast_shapes(*shapes, (1,) * len(shape))
    if not prod(shape):
        return np.zeros(0, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    rows = None if kept is None else np.flatnonzero(np.broadcast_to(kept, reach))
    count = prod(reach) if rows is None else len(rows)
    key, size = np.zeros(count, dtype=np.int64), 1
    for column in along:
        if size * len(column.pool) > 4 * count:
            first, key = _dense(key, size)
            size = len(first)
        key, size = key * len(column.pool) + _flat(column.codes, reach, rows), size * len(column.pool)
    first, key = _dense(key, size)
    index = key if rows is None else np.zeros(prod(reach), dtype=np.int64)
    if rows is not None:
        first, index[rows] = rows[first], key
    places = np.unravel_index(first, reach)
    return np.ravel_multi_index(places, shape).astype(np.int64), index.reshape(reach)


def _flat(codes: Codes | None, reach: Shape, rows: IntArray | None) -> Codes:
    """The codes of rows of what a column is spread to."""
    assert codes is not None
    spread = np.broadcast_to(codes, reach).reshape(-1)
    return spread if rows is None else spread[rows]


def _dense(key: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """First row and rank of each key; keys lie in [0, size)."""
    count = len(key)
    if size > 4 * count:
        _, first, index = np.unique(key, return_index=True, return_inverse=True)
        return first.astype(np.int64), index.astype(np.int64)
    first = np.full(size, -1, dtype=np.int64)
    first[key[::-1]] = np.arange(count - 1, -1, -1, dtype=np.int64)
    present = first >= 0
    rank = np.cumsum(present) - 1
    return first[present], rank[key]


def value_at(column: Encoded, row: int, shape: Shape) -> Value:
    """The value of one row of a design."""
    return values_at(column, np.array([row]), shape)[0]


def values_at(column: Encoded, rows: IntArray, shape: Shape) -> list[Value]:
    """The values of some rows of a design."""
    if column.codes is None:
        return [column.pool[0]] * len(rows)
    return [column.pool[code] for code in codes_at(column.codes, np.unravel_index(rows, shape)).tolist()]


def codes_at(codes: npt.NDArray[_Kind], places: Sequence[IntArray]) -> npt.NDArray[_Kind]:
    """The codes, or whatever else broadcasts to a design, at some places along every axis of it."""
    along = zip(codes.shape, places, strict=True)
    index = tuple(0 if length == 1 else place for length, place in along)
    return codes[index] if codes.size > 1 else np.broadcast_to(codes.reshape(()), np.shape(places[0]))


def derived(function: Callable[..., Value], columns: Sequence[Encoded], shape: Shape) -> Encoded:
    """A column computed from others, once for each distinct combination of their values.

    Parameters
    ----------
    function
        Takes one value of each column, in their order.
    columns
        Those that it is computed from.
    shape
        Of the design.
    """
    first, index = combinations(columns, shape)
    inputs = [values_at(column, first, shape) for column in columns]
    made = [function(*values) for values in zip(*inputs, strict=True)] if inputs else [function()]
    values = Encoded.of(made)
    return Encoded(pool=values.pool, codes=None if values.codes is None else values.codes[index])


def restricted(column: Encoded, chosen: Sequence[IntArray | None]) -> Encoded:
    """The column of the rows that have the chosen places along every axis; None: all of them."""
    if column.codes is None:
        return column
    codes = column.codes
    for axis, places in enumerate(chosen):
        if places is not None and codes.shape[axis] > 1:
            codes = codes.take(places, axis=axis)
    return column.recoded(codes)


def without_the_rest(column: Encoded, kept: BoolArray) -> Encoded:
    """The column where only rows that are kept count; what no such row has leaves the pool."""
    if column.codes is None:
        return column
    reach = np.broadcast_shapes(column.codes.shape, kept.shape)
    others = tuple(axis for axis, length in enumerate(column.codes.shape) if length == 1)
    some = np.broadcast_to(kept, reach).any(axis=others, keepdims=True)
    return column.recoded(column.codes, np.asarray(some))


def stacked(columns: Sequence[Encoded], counts: Sequence[int]) -> Encoded:
    """Columns of one axis below each other; `counts` are their numbers of rows."""
    if len(columns) == 1:
        return columns[0]
    pool: dict[tuple[type, Value], int] = {}
    parts: list[IntArray] = []
    for column, count in zip(columns, counts, strict=True):
        lookup = [pool.setdefault((type(value), value), len(pool)) for value in column.pool]
        codes = np.zeros(count, dtype=np.int64) if column.codes is None else column.codes
        parts.append(np.array(lookup, dtype=np.int64)[codes])
    values = tuple(value for _, value in pool)
    return Encoded(
        pool=values, codes=None if len(values) == 1 else narrow(np.concatenate(parts), len(values))
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbering:
    """Which numbers the points of a part have among all points of a grid.

    The number of a point is `first` plus, for each axis of its design, its place along that axis times what
    the axes behind it have combinations.
    """

    first: int
    lengths: Shape
    """Places of each axis of the design, of which the part may have some only."""
    chosen: tuple[IntArray | None, ...]
    """The places of each axis that the part has, ascending; None: all."""
    listed: IntArray | None = None
    """Where points are listed, and those between them give values to other parameters: the place of each in
    the list, ascending, shape (places along the only axis,). Then it stands for `chosen`, too."""

    @property
    def end(self) -> int:
        """One more than the largest number that a point may have."""
        return self.first + (prod(self.lengths) if self.listed is None else int(self.listed[-1]) + 1)

    def places(self, numbers: IntArray) -> tuple[tuple[IntArray, ...], BoolArray]:
        """Where points with some numbers are in the part.

        Returns
        -------
        places
            Along every axis of the part, each of shape (numbers,); any of them where it is not there.
        there
            Whether the part has a point of that number, shape (numbers,); exclusions are not looked at.
        """
        rest = numbers - self.first
        there = (rest >= 0) & (rest < self.end - self.first)
        if self.listed is not None:
            place, held = _placed(rest, self.listed)
            return (place,), there & held
        along: list[IntArray] = []
        for axis in range(len(self.lengths) - 1, -1, -1):
            rest, place = np.divmod(rest, self.lengths[axis])
            chosen = self.chosen[axis]
            if chosen is not None:
                place, held = _placed(place, chosen)
                there &= held
            along.append(place)
        return tuple(reversed(along)), there


def _placed(places: IntArray, among: IntArray) -> tuple[IntArray, BoolArray]:
    """Where each of some places is among ascending ones, and whether it is."""
    index = np.minimum(np.searchsorted(among, places), len(among) - 1)
    return index, among[index] == places
