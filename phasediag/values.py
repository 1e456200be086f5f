"""The values of parameters: as they are written, rounded and read, and columns of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from phasediag.arrays import BoolArray, IntArray

Item = bool | int | float | str
"""What a list may hold."""
Value = Item | tuple[Item, ...] | None
TextArray = npt.NDArray[np.object_]
LARGEST: Final = 1e300
"""No number of a grid is larger."""
Codes = npt.NDArray[np.integer[Any]]
"""Positions in a pool, in the narrowest type that holds them."""


def rounded(value: Value) -> Value:
    """The value with its floats rounded to 12 significant digits, as trained and recorded; -0 is 0."""
    if isinstance(value, tuple):
        return tuple(_rounded(item) for item in value)
    return value if value is None else _rounded(value)


def _rounded(value: Item) -> Item:
    return float(f"{value:.12g}") + 0.0 if isinstance(value, float) else value


def integer(value: Value) -> int:
    """A counting parameter's value as an int."""
    assert isinstance(value, int)
    return value


def number(value: Value) -> float:
    """A numeric parameter's value as a float."""
    assert isinstance(value, int | float)
    return float(value)


def numbers(value: Value) -> tuple[float, ...]:
    """A list-valued parameter's numbers."""
    assert isinstance(value, tuple)
    return tuple(float(item) for item in value)


def formatted(value: Value) -> str:
    """The value as it stands in an identity: floats as ``%.12g``, booleans as true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, tuple):
        return "[" + ",".join(map(formatted, value)) + "]"
    return "null" if value is None else str(value)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """The values of one parameter over many rows, each distinct value stored once.

    The rows are trials, or points of a design with an axis or more (`grids.design_columns`): there a column
    has codes along the axes alone on which it depends.
    """

    pool: tuple[Value, ...]
    """The distinct values."""
    codes: Codes | None = None
    """Position in `pool` of each row's value, shape (rows,) or what broadcasts to the shape of a design;
    None: all have `pool[0]`."""

    def take(self, rows: IntArray) -> Encoded:
        """The column of the chosen rows; values that none of them has leave the pool."""
        return self if self.codes is None else self.recoded(self.codes[rows])

    def recoded(self, codes: Codes, kept: BoolArray | None = None) -> Encoded:
        """A column of the same values with other codes; values that are not used leave the pool.

        Parameters
        ----------
        codes
            Of any shape.
        kept
            Which of them count, of the same shape; those that do not may mean any value then. None: all.
        """
        counted = codes.reshape(-1) if kept is None else codes[kept]
        if len(self.pool) > 4 * counted.size:
            used = np.unique(counted).astype(np.int64)
        else:
            used = np.flatnonzero(np.bincount(counted, minlength=len(self.pool)))
        if len(used) == 1:
            return Encoded(pool=(self.pool[used[0]],))
        position = np.zeros(len(self.pool), dtype=np.min_scalar_type(max(0, len(used) - 1)))
        position[used] = np.arange(len(used))
        return Encoded(pool=tuple(self.pool[i] for i in used), codes=position[codes])

    def __getitem__(self, row: int) -> Value:
        return self.pool[0 if self.codes is None else self.codes[row]]

    def values(self, count: int) -> npt.NDArray[Any]:
        """The values of all `count` rows as one array (numbers as numbers, the rest as objects)."""
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.pool)
        pool = np.array(self.pool) if numeric else objects(self.pool)
        return np.repeat(pool[:1], count) if self.codes is None else pool[self.codes]

    @classmethod
    def of(cls, values: Sequence[Value]) -> Encoded:
        """Encode one value a row."""
        index: dict[str, int] = {}
        pool: list[Value] = []
        codes = np.empty(len(values), dtype=np.int64)
        for row, value in enumerate(values):
            key = formatted(value)
            if key not in index:
                index[key] = len(pool)
                pool.append(value)
            codes[row] = index[key]
        return cls(pool=tuple(pool), codes=None if len(pool) == 1 else narrow(codes, len(pool)))


def narrow(codes: Codes, count: int) -> Codes:
    """Positions among so many, in the narrowest type that holds them."""
    return codes.astype(np.min_scalar_type(max(0, count - 1)), copy=False)


def objects(values: Sequence[Value]) -> TextArray:
    """Values of any kind as a one-dimensional array."""
    array = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        array[row] = value
    return array
