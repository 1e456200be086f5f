"""Operations on whole columns: products, distinct combinations, derived values, stacking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from phasediag.trial import Encoded, IntArray, Value


def product(groups: Sequence[Mapping[str, Sequence[Value]]]) -> tuple[dict[str, Encoded], int]:
    """Every combination of the groups; the last group runs fastest.

    Parameters
    ----------
    groups
        Axes that move together: equally many values by name, each value once.

    Returns
    -------
    The columns, and their number of rows (1 without groups).
    """
    lengths = [len(next(iter(group.values()))) for group in groups]
    count = prod(lengths)
    columns: dict[str, Encoded] = {}
    inner = count
    for group, length in zip(groups, lengths, strict=True):
        inner //= length
        codes = np.tile(np.repeat(np.arange(length, dtype=np.int64), inner), count // (inner * length))
        for name, values in group.items():
            columns[name] = Encoded(pool=tuple(values), codes=None if length == 1 else codes)
    return columns, count


def combinations(columns: Sequence[Encoded], count: int) -> tuple[IntArray, IntArray]:
    """The distinct combinations of some columns.

    Returns
    -------
    first
        The first row of each combination, int64, shape (combinations,).
    index
        The combination of each row, int64, shape (count,).
    """
    key, size = np.zeros(count, dtype=np.int64), 1
    for column in columns:
        if column.codes is None:
            continue
        if size * len(column.pool) > 4 * count:
            first, key = _dense(key, size)
            size = len(first)
        key, size = key * len(column.pool) + column.codes, size * len(column.pool)
    return _dense(key, size)


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


def derived(function: Callable[..., Value], columns: Sequence[Encoded], count: int) -> Encoded:
    """A column computed from others, once for each distinct combination of their values.

    Parameters
    ----------
    function
        Takes one value of each column, in their order.
    columns
        Those that it is computed from.
    count
        Their number of rows.
    """
    first, index = combinations(columns, count)
    values = Encoded.of([function(*(column[int(row)] for column in columns)) for row in first])
    return Encoded(pool=values.pool, codes=None if values.codes is None else values.codes[index])


def repeated(column: Encoded, times: int) -> Encoded:
    """Every row of the column, `times` times in a row."""
    return Encoded(pool=column.pool, codes=None if column.codes is None else np.repeat(column.codes, times))


def stacked(columns: Sequence[Encoded], counts: Sequence[int]) -> Encoded:
    """Columns below each other; `counts` are their numbers of rows."""
    if len(columns) == 1:
        return columns[0]
    pool: dict[tuple[type, Value], int] = {}
    parts: list[IntArray] = []
    for column, count in zip(columns, counts, strict=True):
        lookup = [pool.setdefault((type(value), value), len(pool)) for value in column.pool]
        codes = np.zeros(count, dtype=np.int64) if column.codes is None else column.codes
        parts.append(np.array(lookup, dtype=np.int64)[codes])
    values = tuple(value for _, value in pool)
    return Encoded(pool=values, codes=None if len(values) == 1 else np.concatenate(parts))
