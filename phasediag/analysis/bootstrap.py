"""Resampling replicates jointly: one draw of replicates serves all cells, as they share their seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy import special

from phasediag.arrays import FloatArray, IntArray

FEWEST_REPLICATES: Final = 3
"""With fewer there is no interval."""
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resamples:
    """How often each replicate was drawn; draws that are alike are stored once."""

    weights: FloatArray
    """The distinct draws, shape (draws, replicates)."""
    draw: IntArray
    """The draw of each resample, shape (resamples,)."""

    @classmethod
    def of(cls, replicates: int, resamples: int, seed: int) -> Resamples:
        """Draw `replicates` of them with replacement, `resamples` times."""
        share = np.full(replicates, 1 / replicates)
        counts = np.random.default_rng(seed).multinomial(replicates, share, size=resamples)
        weights, draw = np.unique(counts, axis=0, return_inverse=True)
        return cls(weights=weights.astype(np.float64), draw=draw.reshape(-1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sums:
    """Sum and number of the values of each cell and replicate: all that resampled means need."""

    total: FloatArray
    """Shape (cells, replicates)."""
    number: FloatArray
    """Shape (cells, replicates)."""

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


def interval(values: FloatArray, replicates: int) -> tuple[FloatArray, FloatArray]:
    """The 95 % percentile interval of resampled values, corrected for few replicates.

    A plain percentile interval is too short by sqrt((n-1)/n) and by normal instead of Student quantiles;
    its levels are moved outwards to make up for both (T. Hesterberg, The American Statistician 69, 371,
    2015).

    Parameters
    ----------
    values
        Shape (…, resamples); NaN are left out.
    replicates
        How many were resampled (n).

    Returns
    -------
    Low and high, shape (…,); NaN with fewer than 3 replicates, or where all values are.
    """
    if replicates < FEWEST_REPLICATES:
        empty = np.full(values.shape[:-1], np.nan)
        return empty, empty
    tail = (1 - CONFIDENCE) / 2
    student = special.stdtrit(replicates - 1, tail) * np.sqrt(replicates / (replicates - 1))
    level = float(special.ndtr(student))
    low, high = _quantiles(values, [level, 1 - level])
    return low, high


def _quantiles(values: FloatArray, levels: list[float]) -> FloatArray:
    """`np.nanquantile` along the last axis, NaN for a row of NaN alone.

    It takes one row at a time; only rows with NaN need that.
    """
    known = ~np.isnan(values)
    some = known.any(axis=-1)
    partly = some & ~known.all(axis=-1)
    complete = some & ~partly
    quantiles = np.full((len(levels), *values.shape[:-1]), np.nan)
    if complete.any():
        quantiles[:, complete] = np.quantile(values[complete], levels, axis=-1)
    if partly.any():
        quantiles[:, partly] = np.nanquantile(values[partly], levels, axis=-1)
    return quantiles
