"""Conjecture 1 as a hypothesis under test: distinct neurons stay apart by the regularization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from phasediag.arrays import FloatArray
from phasediag.columns import NOISE_TEMPERATURE, TEMPERATURE
from phasediag.errors import AnalysisError
from phasediag.theory.gaps import GAP, cut_at_gap

Strength = Literal["gamma", "temperature"]
TEMPERATURES: Final = (NOISE_TEMPERATURE.name, TEMPERATURE.name, "lr_over_batch")
"""The columns that may tell the temperature; the first that there is does."""
SeparationVerdict = Literal["rejected", "compatible", "cannot tell"]
CONFIDENCE: Final = 0.95
FEWEST_REPLICATES: Final = 3
COLUMNS: Final = [
    "trial_id", "replicate", "gamma", "temperature", "separation", "merged", "gap", "decided", "neuron_count",
]  # fmt: skip


def separations(trials: pd.DataFrame, measurements: pd.DataFrame) -> pd.DataFrame:
    """The smallest distance between distinct neurons of each trial, seen by the gap in its distances.

    No threshold enters: the insertion distances of a layer, descending, are cut where the ratio of two
    neighbours is largest. What is above the cut are neurons that differ, what is below are copies of them. A
    threshold would keep every separation above itself, whatever the neurons do.

    Parameters
    ----------
    trials
        As `load_trials` gives them.
    measurements
        As `load_measurements(sweep, observable="classes", last=True)` gives them, distances included,
        of one layer.

    Returns
    -------
    One row a trial that is `ok` and has two distances or more: `gamma` = weight_decay / 2, `temperature`
    (lr_over_batch where the trials have no such column), `separation` (the smallest distance above the cut:
    all distinct neurons, and the origin, are at least so far apart, in units of the weights), `merged` (the
    largest distance below), `gap` (their ratio), `decided` (whether that is above 10, two neurons are left
    and the trial has converged: a copy that still merges is no neuron), `neuron_count` (of distances above
    the cut).

    Raises
    ------
    AnalysisError
        Where a measurement is no last one of `classes` with its distances, or of several layers.
    """
    if set(measurements["observable"]) - {"classes"} or measurements["trial_id"].duplicated().any():
        raise AnalysisError(
            "separations need one measurement of classes a trial; "
            'give load_measurements(sweep, observable="classes", layer="hidden.1", last=True)'
        )
    rows = trials.loc[trials["status"].eq("ok")].merge(measurements[["trial_id", "distances"]], on="trial_id")
    if rows["distances"].isna().any():
        raise AnalysisError("distances were not stored; set measure: {distances: last} and --remeasure")
    noise = rows[next(name for name in TEMPERATURES if name in rows)]
    replicate = rows["replicate"] if "replicate" in rows else pd.Series(range(len(rows)))
    named = zip(rows["trial_id"], replicate, rows["weight_decay"] / 2, noise, strict=True)
    cut = [
        (*of, *_cut(np.asarray(distances))) for of, distances in zip(named, rows["distances"], strict=True)
    ]
    table = pd.DataFrame(cut, columns=COLUMNS)
    if "converged" in rows:
        table["decided"] &= rows["converged"].fillna(False).to_numpy(dtype=np.bool_)
    return table[table["separation"].notna()].reset_index(drop=True)


def _cut(distances: FloatArray) -> tuple[float, float, float, bool, int]:
    """Separation, what is merged, their ratio, whether that decides, and how many are above."""
    if len(distances) < 2:
        return float("nan"), float("nan"), float("nan"), False, len(distances)
    cut = cut_at_gap(distances)
    return cut.least, cut.merged, cut.gap, cut.gap > GAP and cut.above > 1, cut.above


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparationTest:
    """What measurements say of Delta >= c kappa."""

    strength: Strength
    """kappa: gamma, or the temperature T."""
    smallest: pd.DataFrame
    """One row a kappa: `kappa`, smallest `separation`, their `ratio`, decided `trials`, `typical` (the
    geometric mean over replicates of the smallest separation of each)."""
    constant: float
    """The smallest ratio: the largest c that these trials admit."""
    constant_at: float
    """The kappa at which `constant` was seen."""
    exponent: float
    """The exponent of the typical smallest separation as a power of kappa."""
    low: float
    high: float
    """95 % interval of the exponent over replicates; NaN with fewer than 3 of them."""
    replicates: int
    undecided: int
    """Trials without a gap in their distances, which say nothing."""

    @property
    def verdict(self) -> SeparationVerdict:
        """Rejected where the separation falls faster than kappa beyond doubt, so that no c > 0 can last."""
        if np.isnan(self.low):
            return "cannot tell"
        return "rejected" if self.low > 1 else "compatible"

    @property
    def rejected(self) -> bool:
        """Whether no c > 0 can last."""
        return self.verdict == "rejected"

    def __str__(self) -> str:
        said = {
            "rejected": "rejected by", "compatible": "compatible with", "cannot tell": "not apart from",
        }[self.verdict]  # fmt: skip
        bounds = f"[{self.low:.2f}, {self.high:.2f}]" if np.isfinite(self.low) else "without an interval"
        return (
            f"Δ ≥ c κ, κ = {self.strength}: {said} {len(self.smallest)} values of κ and {self.replicates} "
            f"replicates; smallest Δ ∼ κ^{self.exponent:.2f} {bounds}, c ≤ {self.constant:.3g} "
            f"(at κ = {self.constant_at:.3g}); {self.undecided} trials without a gap above {GAP:g} are left "
            "out"
        )


def separation_test(separations: pd.DataFrame, strength: Strength = "gamma") -> SeparationTest:
    """Conjecture 1, Delta_ij >= c kappa with c = O(1) and kappa ~ gamma or T, under test.

    The conjecture is a lower bound for kappa -> 0: it is rejected where the smallest separation of a
    replicate, as a power of kappa, has an exponent above 1. The exponent is fitted to the mean logarithms
    over replicates; its interval is Student's, of a jackknife over replicates, so that it does not hang on
    how many trials there are at a kappa. A single small ratio does not reject it, but `constant` then says
    how small c has to be; near a continuous transition (`docs/physics.md` E9) it goes to zero.

    Parameters
    ----------
    separations
        As `separations` gives them; rows of kappa 0, and undecided ones, are left out.

    Raises
    ------
    AnalysisError
        Where fewer than two values of kappa are left.
    """
    rows = separations.loc[separations[strength] > 0]
    undecided = int((~rows["decided"]).sum())
    rows = rows.loc[rows["decided"]]
    table = rows.pivot_table(index=strength, columns="replicate", values="separation", aggfunc="min")
    if len(table) < 2:
        raise AnalysisError(
            f"{len(table)} values of {strength} > 0 with two distinct neurons cannot test a power "
            f"({undecided} trials have no gap above {GAP:g} in their distances); sweep more of them, or "
            "train longer, so that copies merge"
        )
    logs = np.log(table.to_numpy(dtype=np.float64))
    kappa = table.index.to_numpy(dtype=np.float64)
    exponent = _slope(kappa, logs)
    low, high = _interval(kappa, logs, exponent)
    smallest = pd.DataFrame({
        "kappa": kappa, "separation": np.exp(np.nanmin(logs, axis=1)),
        "trials": rows.groupby(strength).size().to_numpy(), "typical": np.exp(np.nanmean(logs, axis=1)),
    })  # fmt: skip
    smallest["ratio"] = smallest["separation"] / smallest["kappa"]
    least = smallest.iloc[int(smallest["ratio"].argmin())]
    return SeparationTest(
        strength=strength, smallest=smallest, constant=float(least["ratio"]),
        constant_at=float(least["kappa"]), exponent=exponent, low=low, high=high,
        replicates=logs.shape[1], undecided=undecided,
    )  # fmt: skip


def _slope(kappa: FloatArray, logs: FloatArray) -> float:
    """The exponent of the mean logarithms, of those kappas at which some replicate is decided."""
    some = ~np.isnan(logs).all(axis=1)
    if some.sum() < 2:
        return float("nan")
    return float(np.polyfit(np.log(kappa[some]), np.nanmean(logs[some], axis=1), 1)[0])


def _interval(kappa: FloatArray, logs: FloatArray, exponent: float) -> tuple[float, float]:
    replicates = logs.shape[1]
    if replicates < FEWEST_REPLICATES:
        return float("nan"), float("nan")
    without = np.array([_slope(kappa, np.delete(logs, each, axis=1)) for each in range(replicates)])
    error = np.sqrt((replicates - 1) * without.var())
    if not error > 0:
        return float("nan"), float("nan")
    around = float(stdtrit(replicates - 1, (1 + CONFIDENCE) / 2) * error)
    return exponent - around, exponent + around
