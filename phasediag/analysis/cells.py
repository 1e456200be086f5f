"""What the replicates of a cell say: mean, spread, susceptibility, shares of their fates."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from phasediag import columns
from phasediag.analysis.bootstrap import CONFIDENCE
from phasediag.analysis.frame import Groups, converged, has_status, numbers
from phasediag.arrays import FloatArray, IntArray

DIVERGED: Final = columns.DIVERGED.name
"""An order parameter that every frame has: 1 where a trial diverged, 0 where it ended well."""
FEWEST_FOR_SPREAD: Final = 5
"""With fewer replicates a susceptibility has no interval."""

ROUNDING: Final = 1e-12
"""A standard deviation below this share of the mean is rounding."""


def order_values(trials: pd.DataFrame, order: str) -> FloatArray:
    """The order parameter of the ok trials, NaN elsewhere; infinities at the largest finite values.

    Parameters
    ----------
    order
        A numeric column, or `diverged`.

    Returns
    -------
    Float64, shape (trials,).
    """
    if order == DIVERGED and order not in trials:
        ended = has_status(trials, "ok") | has_status(trials, "diverged")
        return np.where(ended, has_status(trials, "diverged"), np.nan)
    values = np.where(has_status(trials, "ok"), numbers(trials, order), np.nan)
    finite = values[np.isfinite(values)]
    return np.clip(values, finite.min(), finite.max()) if len(finite) else np.full_like(values, np.nan)


def decided_means(cells: pd.DataFrame, order: str, column: str = "mean") -> FloatArray:
    """The value of each cell that tells its side of a level; NaN where the cell has none.

    Where most trials of a cell diverged, the others are no sample of it and it has none, unless the order
    parameter is the divergence itself.

    Parameters
    ----------
    cells
        The columns `diverged_share` and `column`, one row a cell.
    order
        The order parameter.
    """
    value = cells[column] if order == DIVERGED else cells[column].where(cells["diverged_share"] <= 0.5)
    return value.to_numpy(dtype=np.float64)


def cell_statistics(trials: pd.DataFrame, group: Groups, values: FloatArray) -> pd.DataFrame:
    """One row a cell, in the order of `group.code`: its place and what its replicates say.

    Returns
    -------
    The columns of the cells that `PhaseDiagram.cells` describes, without `phase`.
    """

    def total(weights: npt.NDArray[np.float64] | npt.NDArray[np.bool_]) -> FloatArray:
        sums = np.bincount(group.cell, weights.astype(np.float64), minlength=len(group.code))
        return sums.astype(np.float64, copy=False)

    known = np.isfinite(values)
    ok, diverged = has_status(trials, "ok"), has_status(trials, "diverged")
    unconverged = ok & ~converged(trials, when_unknown=True)
    count = total(known)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total(np.where(known, values, 0)) / count
        away = np.where(known, values - mean[group.cell], 0)
        second, fourth = total(away**2), total(away**4)
        second[second <= count * (ROUNDING * mean) ** 2] = 0
        variance = np.where(count > 1, second / (count - 1), np.nan)
        binder = np.where((count > 2) & (second > 0), 1 - count * fourth / (3 * second**2), np.nan)
        diverged_share = np.nan_to_num(total(diverged) / total(ok | diverged))
        unconverged_share = np.nan_to_num(total(unconverged) / total(ok))
    low, high = _variance_interval(variance, second, count, values, group.cell)
    return group.decoded(group.code, len(group.names)).assign(
        mean=mean, std=np.sqrt(variance), replicates=count.astype(np.int64), susceptibility=variance,
        susceptibility_low=low, susceptibility_high=high, binder=binder, diverged_share=diverged_share,
        unconverged_share=unconverged_share,
    )  # fmt: skip


def of_settled(
    trials: pd.DataFrame, group: Groups, values: FloatArray, cells: pd.DataFrame
) -> tuple[FloatArray, pd.DataFrame]:
    """Leave out the trials that have not converged, of the cells most of which have.

    Parameters
    ----------
    values, cells
        The order parameter of each trial, and what `cell_statistics` made of it.

    Returns
    -------
    The values that remain, NaN elsewhere, and what they make of the cells; `unconverged_share` is as it was.
    """
    share = cells["unconverged_share"]
    late = ~converged(trials, when_unknown=True) & (share.to_numpy() <= 0.5)[group.cell]
    kept = np.where(late, np.nan, values)
    return kept, cell_statistics(trials, group, kept).assign(unconverged_share=share)


def _variance_interval(
    variance: FloatArray, second: FloatArray, count: FloatArray, values: FloatArray, cell: IntArray
) -> tuple[FloatArray, FloatArray]:
    """The 95 % interval of each cell's variance, for values that need not be normal.

    D. G. Bonett, Computational Statistics & Data Analysis 50, 775 (2006): normal in log(variance), with
    the kurtosis about the trimmed mean. NaN where all values are equal: they say nothing of the spread.
    """
    z = float(special.ndtri((1 + CONFIDENCE) / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        away = values - _trimmed_mean(values, cell, count)[cell]
        fourth = np.bincount(cell, np.nan_to_num(away) ** 4, minlength=len(count))
        kurtosis = count * fourth / second**2
        correction = count / (count - z)
        error = correction * np.sqrt((kurtosis - (count - 3) / count) / (count - 1))
        centre = np.log(correction * variance)
        sure = (count >= FEWEST_FOR_SPREAD) & (second > 0)
        low, high = (np.where(sure, np.exp(centre + sign * z * error), np.nan) for sign in (-1, 1))
    return low, high


def _trimmed_mean(values: FloatArray, cell: IntArray, count: FloatArray) -> FloatArray:
    """The mean of each cell without the share 1 / (2 sqrt(n - 4)) of its values at either end."""
    rows = np.flatnonzero(np.isfinite(values))
    rows = rows[np.lexsort((values[rows], cell[rows]))]
    number = count.astype(np.int64)
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(number) - number, number)
    cut = np.floor(count / (2 * np.sqrt(np.maximum(count - 4, 1)))).astype(np.int64)[cell[rows]]
    kept = rows[(rank >= cut) & (rank < number[cell[rows]] - cut)]
    size = len(count)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(cell[kept], values[kept], minlength=size) / np.bincount(cell[kept], minlength=size)
    return np.asarray(mean, dtype=np.float64)
