"""Distances at half, at 0.9 and at the end of a run, and how the first two are stored beside the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from phasediag.arrays import FloatArray, IntArray

UNIT: Final = 1024
"""Changes are stored in so many parts of a natural logarithm, each 0.1 % of a distance."""
_LARGEST: Final = 2**15 - 1
"""Beyond 32 natural logarithms a change is stored as that: what moves so far passes any threshold."""
_SMALLEST: Final = float(np.finfo(np.float32).tiny)
"""A distance below is as good as zero."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """By how much the distances of some trials changed up to the end: what is stored of how they moved."""

    half: npt.NDArray[np.int16]
    """`UNIT` log(distance at the end / at half of the run), of the distances in ascending order, shape
    (trials, length)."""
    late: npt.NDArray[np.int16]
    """`UNIT` log(distance at the end / at 0.9 of the run); as `half`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CourseMoments:
    """The distances of some trials at three moments, ascending, float64, shape (trials, length) each.

    Ascending, so that neurons which change places do not look like motion.
    """

    half: FloatArray
    """At half of the run."""
    late: FloatArray
    """At 0.9 of the run."""
    last: FloatArray
    """At its end."""

    @classmethod
    def of(cls, last: npt.NDArray[Any], changes: Changes) -> CourseMoments:
        """The moments from what is stored: the last distances, in any order, and how they came there."""
        end = np.sort(last.astype(np.float64), axis=1)
        shown = np.maximum(end, _SMALLEST)
        half, late = (shown * np.exp(-change / UNIT) for change in (changes.half, changes.late))
        return cls(half=half, late=late, last=end)

    def __len__(self) -> int:
        return len(self.last)

    @property
    def length(self) -> int:
        """How many distances there are of each trial."""
        return int(self.last.shape[1])

    def take(self, rows: IntArray) -> CourseMoments:
        """The moments of some of the trials."""
        return CourseMoments(half=self.half[rows], late=self.late[rows], last=self.last[rows])


def changes_of(half: npt.NDArray[Any], late: npt.NDArray[Any], last: npt.NDArray[Any]) -> Changes:
    """What is stored of the way of some distances.

    Parameters
    ----------
    half, late, last
        As measured, in any order, shape (trials, length); a moment that was not measured is NaN, and then
        nothing changed from it.
    """
    ends = np.sort(last.astype(np.float64), axis=1)
    return Changes(half=_change(half, ends), late=_change(late, ends))


def _change(before: npt.NDArray[Any], end: FloatArray) -> npt.NDArray[np.int16]:
    begun = np.sort(before.astype(np.float64), axis=1)
    with np.errstate(invalid="ignore"):
        logarithm = np.log(np.maximum(end, _SMALLEST)) - np.log(np.maximum(begun, _SMALLEST))
    parts = np.clip(np.round(UNIT * np.nan_to_num(logarithm, nan=0.0)), -_LARGEST, _LARGEST)
    change: npt.NDArray[np.int16] = parts.astype(np.int16)
    return change
