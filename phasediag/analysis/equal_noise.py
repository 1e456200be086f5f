"""Whether a result depends on learning rate and batch size through their temperature alone.

Trials of one temperature that came to it by several rates and batch sizes are compared, each with all else
equal; what differs is what the temperature does not say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.axes import axes_of
from phasediag.analysis.bootstrap import CONFIDENCE, FEWEST_REPLICATES, Sums
from phasediag.analysis.comparison import ReplicateMeans, jackknifed, reach
from phasediag.analysis.declared_columns import about
from phasediag.analysis.frame import Groups, need_columns
from phasediag.analysis.noise import temperature_column, ways
from phasediag.analysis.result import Result, plain
from phasediag.analysis.selection import Sample, entered, reasons_in_words
from phasediag.analysis.verdict import Claim, SupportVerdict
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

NEGLIGIBLE: Final = 0.05
"""A difference below this share of the spread of y over all cells is none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class EqualNoise(Result):
    """How much y differs between trials of the same temperature."""

    figure: ClassVar[str] = "equal_noise"

    y: str
    difference: float
    """Mean of y at the larger rate less that at the smaller, as a share of the spread of y."""
    low: float
    high: float
    """The 95 % interval of `difference`; NaN with fewer than 3 replicates."""
    cells: pd.DataFrame
    """One row a point: its `temperature` (`noise.temperature_column`) and other axes, `rate_small`,
    `rate_large`, the means `mean_small`, `mean_large`, and their `difference` with `low`, `high` (95 % for
    all points together), as shares of the spread of y."""
    claim: Claim
    n: int
    replicates: int
    left_out: Mapping[str, int]

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The points that were compared."""
        return {"equal temperature": self.cells}

    @property
    def findings(self) -> tuple[str, ...]:
        """What the comparison says."""
        return (f"{self.claim.verdict}: {self.claim.claim} ({self.claim.reason})",)

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types."""
        return {
            "y": self.y, "difference": plain(self.difference), "low": plain(self.low),
            "high": plain(self.high), "claim": asdict(self.claim), "cells": plain(self.cells), "n": self.n,
            "replicates": self.replicates, "left_out": plain(self.left_out),
        }  # fmt: skip

    def summary(self) -> str:
        """The result in words, with the trials that it rests on."""
        first, *more = entered(self.n, self.replicates, self.left_out)
        return "\n".join([*self.findings, f"equal temperature of {first}", *more])


def compare_equal_noise(
    trials: pd.DataFrame, y: str = "neuron_count", window: tuple[float, float] | None = None,
    x: str = "weight_decay",
) -> EqualNoise:  # fmt: skip
    """Compare y between the largest and the smallest rate of each temperature, all else equal.

    The verdict is "not supported" where y differs by more than 5 % of its spread over all points, in the mean
    or at some point, and "supported" where the mean difference lies within that; errors are those of a
    jackknife over replicates.

    Parameters
    ----------
    trials
        One row a trial, with `temperature`, `learning_rate` and `batch_size`.
    y
        A column or an expression. A rate per step, such as log_rate, is to be taken per unit of training
        time: `log_rate / learning_rate`.
    window, x
        Only trials of these x.

    Raises
    ------
    AnalysisError
        Where no trial has converged, or no temperature is reached in two ways at the same point.
    """
    temperature = temperature_column(trials)
    need_columns(trials, [temperature, "learning_rate", "batch_size"])
    if any(about(trials, word).of_training for word in re.findall(r"[^\W\d]\w*", y)):
        trials = trials.assign(converged=True)  # of a rate of growth nothing is to have settled
    sample = Sample.of(trials, x, y, window=window, strength=False)
    noise = sample.trials[temperature].to_numpy(np.float64)
    sample = sample.without(~(noise > 0), "without noise of a temperature")
    if not len(sample.trials):
        raise AnalysisError(f"no trial is left to compare: {reasons_in_words(sample.left_out)}")
    rows = sample.trials.assign(**{
        temperature: [float(f"{value:.9g}") for value in sample.trials[temperature]]
    })  # fmt: skip
    axes = (temperature, *axes_of(rows, (temperature,), without=(*ways(rows), y)))
    point = Groups.of(rows, axes)
    both = Groups.of(rows, (*axes, "learning_rate"))
    if len(both.code) == len(point.code):
        raise AnalysisError(
            "no temperature is reached in two ways at the same point; sweep two batch sizes at each "
            "temperature (zip learning_rate with batch_size), with learning_time in place of steps"
        )
    data = ReplicateMeans.of(Sums.of(both.cell, sample.replicates(both.cell), sample.counts), sample.counts)
    table = both.decoded(both.code, len(axes) + 1)
    pairs = _pairs(table, axes)
    spread = float(np.ptp(data.means))
    if not spread > 0:
        raise AnalysisError(f"'{y}' is the same in all trials; there is nothing to compare")
    small, large = pairs.T
    differences, folds = (
        (means[..., large] - means[..., small]) / spread for means in (data.means, data.without_folds[0])
    )
    mean, low, high = _mean(differences, folds)
    each = _each(folds)
    if data.agree:
        low, high, each = float("nan"), float("nan"), np.full_like(each, np.nan)
    cells = table.loc[small, list(axes)].reset_index(drop=True).assign(
        rate_small=table["learning_rate"].to_numpy()[small],
        rate_large=table["learning_rate"].to_numpy()[large], mean_small=data.means[small],
        mean_large=data.means[large], difference=differences, low=differences - each,
        high=differences + each,
    )  # fmt: skip
    return EqualNoise(
        y=y, difference=mean, low=low, high=high, cells=cells, claim=_claim(y, mean, low, high, cells),
        n=len(sample.counts), replicates=data.values.shape[1], left_out=sample.reasons,
    )  # fmt: skip


def _pairs(table: pd.DataFrame, axes: tuple[str, ...]) -> Any:
    """The cells of the smallest and the largest rate of each point that has two, shape (points, 2)."""
    groups = table.groupby(list(axes), dropna=False, sort=False)["learning_rate"]
    ends = np.stack([groups.idxmin().to_numpy(), groups.idxmax().to_numpy()], axis=1)
    return ends[ends[:, 0] != ends[:, 1]]


def _mean(differences: FloatArray, folds: FloatArray) -> tuple[float, float, float]:
    mean = float(differences.mean())
    if len(folds) < FEWEST_REPLICATES:
        return mean, float("nan"), float("nan")
    around = reach(len(folds), CONFIDENCE) * np.sqrt(jackknifed(folds.mean(axis=1)))
    if not around > 0:
        return mean, float("nan"), float("nan")
    return mean, mean - float(around), mean + float(around)


def _each(folds: FloatArray) -> FloatArray:
    """Half of the interval of each point, for all points together."""
    if len(folds) < FEWEST_REPLICATES:
        return np.full(folds.shape[1], np.nan)
    confidence = 1 - (1 - CONFIDENCE) / folds.shape[1]
    return np.asarray(reach(len(folds), confidence) * np.sqrt([jackknifed(one) for one in folds.T]))


def _claim(y: str, mean: float, low: float, high: float, cells: pd.DataFrame) -> Claim:
    claim = f"{y} depends on learning rate and batch size through their temperature alone"
    reason = f"at equal temperature it differs by {mean:+.1%} of its spread over {len(cells)} points"
    if np.isnan(low):
        return Claim(claim=claim, verdict="cannot tell", reason=f"{reason}; the replicates give no interval")
    reason += f", 95 % interval [{low:+.1%}, {high:+.1%}]"
    apart = (cells["low"] > NEGLIGIBLE) | (cells["high"] < -NEGLIGIBLE)
    said: SupportVerdict = "cannot tell"
    if apart.any() or low > NEGLIGIBLE or high < -NEGLIGIBLE:
        said = "not supported"
        most = cells.iloc[int(np.argmax(cells["difference"].abs().to_numpy()))]
        reason += (
            f"; most at temperature {most[temperature_column(cells)]:.3g}: {most['mean_small']:.3g} at rate "
            f"{most['rate_small']:g}, {most['mean_large']:.3g} at {most['rate_large']:g} "
            f"({int(apart.sum())} points differ beyond doubt)"
        )
    elif low >= -NEGLIGIBLE and high <= NEGLIGIBLE:
        said = "supported"
    return Claim(claim=claim, verdict=said, reason=f"{reason} (negligible: below {NEGLIGIBLE:.0%})")
