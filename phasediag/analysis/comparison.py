"""Comparing descriptions of the same replicates by how well each foretells the replicates left out of it.

A replicate shares its seeds in all cells, so that its counts err together: single counts are no independent
evidence. A replicate is the unit: it is left out whole, and errors are those over replicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtrit, xlogy

from phasediag.analysis.bootstrap import CONFIDENCE, FEWEST_REPLICATES, Sums
from phasediag.arrays import BoolArray, FloatArray, IntArray

SURE: Final = 0.98
"""How sure it must be that one description is better than another before a verdict rests on it."""
MOST_FOLDS: Final = 20
"""Parts into which the replicates are taken, each of which is left out in turn."""
ROUNDING: Final = 1e-12
"""A relative difference of scores: two descriptions that differ by no more are not told apart."""
ROUNDED: Final = 1 / 12
"""Variance of a number that is known to whole ones only."""
_CEILING: Final = 1e6
"""Times the largest mean: what is foretold beyond is as wrong as this."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplicateMeans:
    """What each replicate says of each cell: the mean of its counts there."""

    values: FloatArray
    """NaN where a replicate has no count, shape (cells, replicates)."""
    integers: bool = False
    """Whether all counts are whole numbers."""

    @classmethod
    def of(cls, sums: Sums, counts: FloatArray) -> ReplicateMeans:
        """The means of each cell and replicate, from their sums; `counts` are the values, shape (values,)."""
        with np.errstate(invalid="ignore"):
            return cls(values=sums.total / sums.number, integers=bool((counts == np.round(counts)).all()))

    @property
    def present(self) -> BoolArray:
        """Where there are counts, shape (cells, replicates)."""
        return np.asarray(~np.isnan(self.values))

    @property
    def means(self) -> FloatArray:
        """The mean over replicates of each cell, shape (cells,)."""
        return np.asarray(self.without(np.zeros((1, self.values.shape[1]), dtype=np.bool_))[0][0])

    def without(self, left_out: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Means over replicates, 0 where none is left, and how many they rest on; shape (draws, cells) each.

        Parameters
        ----------
        left_out
            Which replicates each draw leaves out, shape (draws, replicates).
        """
        taken = ~left_out.astype(np.bool_)
        number = taken.astype(np.float64) @ self.present.T.astype(np.float64)
        total = taken.astype(np.float64) @ np.nan_to_num(self.values).T
        return np.divide(total, number, out=np.zeros_like(total), where=number > 0), number

    @property
    def without_folds(self) -> tuple[FloatArray, FloatArray]:
        """`without` each fold in turn; without none where there is one fold only."""
        folds = int(self.folds.max()) + 1
        held: BoolArray = self.folds == np.arange(folds)[:, None]
        return self.without(held if folds > 1 else np.zeros_like(held))

    @property
    def variance(self) -> FloatArray:
        """Over the replicates of each cell, 0 where there are fewer than two, shape (cells,)."""
        number = self.present.sum(axis=1)
        away = np.where(self.present, self.values - self.means[:, None], 0.0)
        return np.asarray((away**2).sum(axis=1) / np.maximum(number - 1, 1))

    @property
    def agree(self) -> bool:
        """Whether all replicates are exactly alike, so that they tell nothing of the error."""
        return bool((self.variance == 0).all())

    @property
    def least(self) -> FloatArray:
        """What a mean of none is taken for: half of the smallest count in all replicates, shape (cells,)."""
        positive = self.values[self.values > 0]
        smallest = float(positive.min()) if len(positive) else 1.0
        return np.asarray(smallest / (2 * np.maximum(self.present.sum(axis=1), 1)))

    @property
    def folds(self) -> IntArray:
        """The part to which each replicate belongs, shape (replicates,); one part where there are too few."""
        replicates = self.values.shape[1]
        parts = min(replicates, MOST_FOLDS) if replicates >= FEWEST_REPLICATES else 1
        return np.arange(replicates) % parts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Foretold:
    """What a description says of the replicates that were left out of it."""

    means: FloatArray
    """At least `ReplicateMeans.least`, shape (folds, cells)."""

    @classmethod
    def of(cls, curves: FloatArray, data: ReplicateMeans) -> Foretold:
        """From curves, shape (folds, cells): those of fold k were made without the replicates of it.

        A logarithm has none for a mean of 0 or less: it is taken for half a count in all replicates.
        """
        ceiling = _CEILING * max(float(data.means.max()), 1e-300)
        least = np.minimum(data.least, ceiling)
        return cls(means=np.clip(np.nan_to_num(curves, nan=ceiling, posinf=ceiling), least, ceiling))

    def scores(self, data: ReplicateMeans) -> FloatArray:
        """The log score of each fold, a replicate: the sum over cells of y log(mu) - mu; (folds,)."""
        values, present, folds = data.values.T, data.present.T, data.folds
        own = self.means[folds]
        scores = np.where(present, xlogy(np.nan_to_num(values), own) - own, 0.0).sum(axis=1)
        number = np.bincount(folds, minlength=len(self.means))
        return np.asarray(np.bincount(folds, scores, minlength=len(self.means)) / number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """By how much one description foretells left-out replicates better than another."""

    gain: float
    """By how much the log score of a replicate is larger."""
    error: float
    """The standard error of `gain`; NaN where there are too few replicates."""
    folds: int

    @property
    def clear(self) -> bool:
        """Whether it is above what chance makes, by Student's t."""
        return self.folds >= FEWEST_REPLICATES and self.gain > reach(self.folds, SURE) * self.error


def lead(one: Foretold, other: Foretold, data: ReplicateMeans) -> Lead:
    """The lead of one description over another.

    The error is that of a jackknife: what the comparison would be without each fold, whose replicates then
    take part neither in the fits nor in what is foretold. So it knows of the fits' errors too, which all
    folds share. Whole numbers that agree in all replicates are known to no better than their rounding,
    however many there are.
    """
    scores = one.scores(data)
    gains = scores - other.scores(data)
    folds = len(gains)
    if folds < FEWEST_REPLICATES:
        return Lead(gain=float(gains.mean()), error=float("nan"), folds=folds)
    ratio = np.log(one.means / other.means)
    means, _ = data.without_folds
    variance = jackknifed((means * ratio - one.means + other.means).sum(axis=1))
    if data.integers:
        variance += float((ratio.mean(axis=0) ** 2 * np.maximum(ROUNDED - data.variance, 0)).sum())
    variance += (ROUNDING * float(np.abs(scores).mean())) ** 2
    return Lead(gain=float(gains.mean()), error=float(np.sqrt(variance)), folds=folds)


def jackknifed(values: FloatArray) -> float:
    """The squared standard error of a statistic from what it is without each fold, shape (folds,)."""
    folds = len(values)
    return float(values.var() * (folds - 1))


def reach(folds: int, confidence: float) -> float:
    """How many standard errors an interval of so many folds reaches to either side."""
    return float(stdtrit(folds - 1, (1 + confidence) / 2))


def student(values: FloatArray, rounding: float = 1.0) -> tuple[float, float, float]:
    """The mean of independent values and its 95 % interval, Student's.

    Values that agree are known to no better than what they are rounded to. The interval is NaN with fewer
    than 3 values, and where values without rounding agree exactly, which tells nothing of their error.

    Parameters
    ----------
    rounding
        The step between values that there can be: 1 of whole numbers, 0 where there is none.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return (float("nan"),) * 3
    mean = float(values.mean())
    if len(values) < FEWEST_REPLICATES:
        return mean, float("nan"), float("nan")
    variance = max(float(values.var(ddof=1)), ROUNDED * rounding**2)
    around = reach(len(values), CONFIDENCE) * np.sqrt(variance / len(values))
    return (mean, mean - around, mean + around) if around > 0 else (mean, float("nan"), float("nan"))
