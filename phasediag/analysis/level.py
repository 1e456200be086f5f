"""Between which two neighbours values cross a level, and where: the one rule for all that crosses.

Boundaries cross the level of an order parameter, walks leave the state in which they began, and the curves
of two sizes cross where their difference crosses 0.
"""

from __future__ import annotations

import numpy as np

from phasediag.arrays import BoolArray, FloatArray


def crosses(start: FloatArray, end: FloatArray, level: float) -> tuple[BoolArray, BoolArray]:
    """Whether the level is crossed from one value to the next, and whether upwards.

    A value at the level is above it. Nothing is crossed to or from NaN. All arrays have one shape.
    """
    rising = start < level
    return (rising != (end < level)) & ~np.isnan(start) & ~np.isnan(end), rising


def between(
    first: FloatArray, last: FloatArray, start: FloatArray, end: FloatArray, level: float
) -> FloatArray:
    """Where between two places the line through their values has the level; arrays that broadcast.

    Parameters
    ----------
    first, last
        Two places, in units of the coordinate.
    start, end
        The values there, which differ.
    """
    position: FloatArray = first + (last - first) * (level - start) / (end - start)
    return position


def untied(difference: FloatArray) -> FloatArray:
    """A difference along its first axis, each 0 replaced by a tiny number on the side that it came from.

    Curves that agree and then part do not cross, those that agree for a while and change sides do, once. What
    is 0 from the beginning takes the side to which it leaves.
    """
    sided = np.where(difference == 0, np.nan, difference)
    known = ~np.isnan(sided)
    index = np.arange(len(sided)).reshape(-1, *[1] * (sided.ndim - 1))
    before = np.maximum.accumulate(np.where(known, index, -1), axis=0)
    after = known.argmax(axis=0)
    side = np.sign(np.take_along_axis(difference, np.where(before < 0, after, before), axis=0))
    tiny = np.finfo(np.float64).tiny
    return np.where(difference == 0, tiny * side, difference)
