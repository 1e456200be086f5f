"""Resampling replicates jointly: one draw of replicates serves all cells, as they share their seeds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb, factorial
from typing import Final

import numpy as np
import pandas as pd
from scipy import special

from phasediag.arrays import FloatArray, IntArray

FEWEST_REPLICATES: Final = 3
"""With fewer there is no interval."""
FEWEST_FOR_PERCENTILES: Final = 8
"""With fewer an interval is Student's: percentiles of resamples then cover less than they say."""
CONFIDENCE: Final = 0.95
ROUNDING: Final = 1e-9
"""An interval narrower than this is one of rounding, where its caller knows no better."""
MOST_SEEDS: Final = 6
"""Data seeds that a sentence names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resamples:
    """Draws of replicates; draws that are alike are stored once."""

    weights: FloatArray
    """How often each replicate is in each draw, shape (draws, replicates)."""
    times: IntArray
    """How often each draw was made, shape (draws,)."""

    @classmethod
    def of(cls, replicates: int, resamples: int, seed: int) -> Resamples:
        """Draw `replicates` of them with replacement, `resamples` times.

        Where all draws that there are are no more than that, as of up to 6 replicates and 500 resamples, they
        are all taken, each as often as it is made on average: their spread then has no error of chance.
        """
        if comb(2 * replicates - 1, replicates) <= resamples:
            drawn = np.array(list(combinations_with_replacement(range(replicates), replicates)))
            weights = (drawn[..., None] == np.arange(replicates)).sum(axis=1)
            orders = np.array([factorial(count) for count in range(replicates + 1)])
            return cls(
                weights=weights.astype(np.float64),
                times=factorial(replicates) // orders[weights].prod(axis=1),
            )
        share = np.full(replicates, 1 / replicates)
        counts = np.random.default_rng(seed).multinomial(replicates, share, size=resamples)
        weights, times = np.unique(counts, axis=0, return_counts=True)
        return cls(weights=weights.astype(np.float64), times=times.astype(np.int64))

    @property
    def replicates(self) -> int:
        """How many replicates are drawn from."""
        return int(self.weights.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sums:
    """Sum and number of the values of each cell and replicate: all that resampled means need."""

    total: FloatArray
    """The sum of the values, shape (cells, replicates)."""
    number: FloatArray
    """How many values there are, shape (cells, replicates)."""

    @classmethod
    def of(
        cls, cell: IntArray, replicate: IntArray, values: FloatArray, shape: tuple[int, int] | None = None
    ) -> Sums:
        """Sum the values of each cell and replicate.

        Parameters
        ----------
        cell, replicate
            Of each value, counted from 0, shape (values,).
        values
            All of them finite.
        shape
            The number of cells and of replicates; None: as many as there are.
        """
        cells, replicates = (int(cell.max()) + 1, int(replicate.max()) + 1) if shape is None else shape
        index, size = cell * replicates + replicate, cells * replicates
        total = np.bincount(index, values, minlength=size).reshape(cells, replicates)
        number = np.bincount(index, minlength=size).reshape(cells, replicates)
        return cls(total=total.astype(np.float64, copy=False), number=number.astype(np.float64))

    @property
    def replicates(self) -> int:
        """How many there are."""
        return int(self.total.shape[1])

    @property
    def numbers(self) -> FloatArray:
        """How many values each cell has, shape (cells,)."""
        return np.asarray(self.number.sum(axis=1))

    @property
    def means(self) -> FloatArray:
        """The mean of each cell, NaN where it has no value, shape (cells,)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.total.sum(axis=1) / self.number.sum(axis=1))

    @property
    def agree(self) -> bool:
        """Whether the replicates of every cell are exactly alike, so that they tell nothing of the error.

        Where cells lack replicates, resampled means differ all the same: by which cells are missing.
        """
        with np.errstate(invalid="ignore"):
            values = self.total / self.number
        most, least = np.fmax.reduce(values, axis=1), np.fmin.reduce(values, axis=1)
        return bool((np.nan_to_num(most - least) <= ROUNDING * np.nan_to_num(np.abs(most))).all())

    def drawn(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Sum and number of the values of each cell in draws of replicates, shape (cells, draws) each.

        Parameters
        ----------
        weights
            How often each replicate was drawn, shape (draws, replicates).
        """
        return self.total @ weights.T, self.number @ weights.T

    def drawn_means(self, weights: FloatArray) -> FloatArray:
        """The mean of each cell in draws of replicates, NaN where none of its values was drawn.

        Parameters
        ----------
        weights
            How often each replicate was drawn, shape (draws, replicates).

        Returns
        -------
        Shape (cells, draws).
        """
        total, number = self.drawn(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            return total / number


def replicate_codes(trials: pd.DataFrame, cell: IntArray) -> IntArray:
    """Number the replicates from 0, alike in all cells.

    Trials are the same replicate where their `replicate` is the same, and their `seed` too if grids of
    several seeds were mixed. Without such a column the trials of a cell are numbered as they come.

    Parameters
    ----------
    cell
        The cell of each trial, shape (trials,).

    Returns
    -------
    Int64, shape (trials,).
    """
    if "replicate" not in trials:
        return pd.Series(cell).groupby(cell).cumcount().to_numpy().astype(np.int64)
    codes = pd.factorize(trials["replicate"], sort=True, use_na_sentinel=False)[0].astype(np.int64)
    if "seed" not in trials or not pd.Series(cell * (codes.max() + 1) + codes).duplicated().any():
        return codes
    seeds = pd.factorize(trials["seed"], sort=True, use_na_sentinel=False)[0].astype(np.int64)
    return np.unique(codes * (seeds.max() + 1) + seeds, return_inverse=True)[1].astype(np.int64)


def interval(
    values: FloatArray,
    draws: Resamples,
    estimate: FloatArray | float,
    *,
    replicates: int | None = None,
    rounding: FloatArray | float = ROUNDING,
    percentiles: bool = True,
) -> tuple[FloatArray, FloatArray]:
    """The 95 % interval of a statistic of replicates, from its values in draws of them.

    For an exponent, say: `draws = Resamples.of(n, 1000, seed)`, fit each row of `sums.drawn(draws.weights)`
    to get `values` of shape (draws,), fit all replicates to get `estimate`, and ask
    `interval(values, draws, estimate)`.

    With 3 to 7 replicates it is Student's: the estimate, plus and minus as many standard errors as his t of
    n - 1 degrees of freedom asks for; the standard error is the spread of the drawn values, times
    sqrt(n / (n - 1)), which is exact for a mean. Percentiles cannot reach beyond what so few replicates
    hold: over 3 of them they cover 75 % at most. With 8 and more it is the percentile interval, whose
    levels are moved outwards to make up for the same factor and for normal instead of Student quantiles
    (T. Hesterberg, The American Statistician 69, 371, 2015); it follows a skewed statistic. Of R draws the
    k-th is taken for the quantile k / (R + 1), which it is on average.

    Draws whose value lies beyond all that was measured are infinities: where they are more than
    the tail that the interval leaves out, its end is infinite, an open one.

    Replicates that agree exactly tell nothing of the error: there is no interval of width zero, it is NaN.
    Where data are pinned, `conditional` says what the interval does not speak of.

    Parameters
    ----------
    values
        The statistic in each draw, shape (…, draws); NaN are left out.
    draws
        Those draws.
    estimate
        The statistic of all replicates, each taken once; shape (…,).
    replicates
        How many the statistic rests on (n), where they are fewer than were drawn from.
    rounding
        An interval narrower than this is one of rounding; shape (…,) or one for all.
    percentiles
        False: Student's with any number of replicates, for what is known to lean in the draws.

    Returns
    -------
    Low and high, shape (…,); NaN with fewer than 3 replicates, where all values are, or where all are alike.
    """
    number = draws.replicates if replicates is None else replicates
    if number < FEWEST_REPLICATES:
        empty = np.full(values.shape[:-1], np.nan)
        return empty, empty.copy()
    student = float(special.stdtrit(number - 1, (1 + CONFIDENCE) / 2))
    correction = np.sqrt(number / (number - 1))
    tail = float(special.ndtr(-student * correction))
    if number < FEWEST_FOR_PERCENTILES or not percentiles:
        reach = student * correction * _spread(values, draws.times)
        low, high = np.asarray(estimate - reach), np.asarray(estimate + reach)
    else:
        low, high = _quantiles(np.repeat(values, draws.times, axis=-1), (tail, 1 - tail))
    known = np.maximum(~np.isnan(values) @ draws.times, 1)
    low = np.where((values == -np.inf) @ draws.times > tail * known, -np.inf, low)
    high = np.where((values == np.inf) @ draws.times > tail * known, np.inf, high)
    distinct = high - low > rounding
    return np.where(distinct, low, np.nan), np.where(distinct, high, np.nan)


def _spread(values: FloatArray, times: IntArray) -> FloatArray:
    """The standard deviation of the finite values along the last axis, NaN where there is none."""
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(finite, times, 0) / (finite @ times)[..., None]
        mean = (np.where(finite, values, 0) * share).sum(axis=-1, keepdims=True)
        away = np.where(finite, values - mean, 0)
        return np.asarray(np.sqrt((away**2 * share).sum(axis=-1)))


def _quantiles(values: FloatArray, levels: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """The quantiles of the values along the last axis, NaN where there is none.

    An infinite value has its place among them, but is taken for the nearest finite one.
    """
    finite = np.where(np.isfinite(values), values, np.nan)
    least = np.fmin.reduce(finite, axis=-1, keepdims=True)
    largest = np.fmax.reduce(finite, axis=-1, keepdims=True)
    order = np.sort(np.clip(values, least, largest), axis=-1)
    last = np.sum(~np.isnan(order), axis=-1, keepdims=True) - 1
    low, high = (_at_level(order, last, level) for level in levels)
    return low, high


def _at_level(order: FloatArray, last: IntArray, level: float) -> FloatArray:
    """The quantile at a level of values in order, of which the last known ones are at `last`."""
    place = np.clip((last + 2) * level - 1, 0, np.maximum(last, 0))
    before = np.floor(place).astype(np.int64)
    after = np.minimum(before + 1, np.maximum(last, 0))
    start, end = (np.take_along_axis(order, at, axis=-1) for at in (before, after))
    return np.asarray((start + (end - start) * (place - before))[..., 0])


def conditional(trials: pd.DataFrame) -> str:
    """What an interval over the replicates of these trials does not speak of; empty where of all.

    A `data_seed` pins one teacher and one data set for all replicates: whatever is resampled from them, no
    interval knows how much another teacher would move the result.
    """
    if "data_seed" not in trials or not trials["data_seed"].notna().any():
        return ""
    seeds = ", ".join(f"{seed:g}" for seed in sorted(trials["data_seed"].dropna().unique())[:MOST_SEEDS])
    return (
        f"Intervals are conditional on one teacher and one data set: data_seed = {seeds} pins them for all "
        "replicates, so that these say nothing of what other teachers or data would give."
    )
