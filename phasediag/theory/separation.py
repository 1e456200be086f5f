"""Conjecture 1 as a hypothesis under test: distinct neurons stay apart by the regularization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
import statsmodels.api as sm

from phasediag.errors import AnalysisError

Strength = Literal["gamma", "temperature"]
COLUMNS: Final = ["trial_id", "gamma", "temperature", "separation", "merged", "neuron_count"]


def separations(trials: pd.DataFrame, measurements: pd.DataFrame) -> pd.DataFrame:
    """The smallest distance between distinct neurons of each trial.

    Parameters
    ----------
    trials
        As `load_trials` gives them.
    measurements
        As `load_measurements(sweep, observable="classes", last=True)` gives them, distances included,
        of one layer.

    Returns
    -------
    One row a trial that is `ok` and has at least two distinct living neurons: `gamma` =
    weight_decay / 2, `temperature` = lr_over_batch, `separation` (the smallest insertion distance
    that is not below epsilon: all distinct neurons, and the origin, are at least so far apart, in
    units of the weights), `merged` (the largest distance below epsilon, NaN where there is none: a
    gap between the two says that epsilon cuts nothing), `neuron_count`.

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
    rows = trials.loc[trials["status"].eq("ok")].merge(
        measurements[["trial_id", "epsilon", "distances"]], on="trial_id"
    )
    if rows["distances"].isna().any():
        raise AnalysisError("distances were not stored; set measure: {distances: last} and --remeasure")
    gaps = []
    strengths = zip(rows["trial_id"], rows["weight_decay"] / 2, rows["lr_over_batch"], strict=True)
    measured = zip(rows["epsilon"].to_numpy(), rows["distances"], strict=True)
    for named, (epsilon, stored) in zip(strengths, measured, strict=True):
        distances = np.asarray(stored, dtype=np.float64)
        apart, merged = distances[distances >= epsilon], distances[distances < epsilon]
        if len(apart) > 1:
            gap = merged.max() if len(merged) else np.nan
            gaps.append((*named, apart.min(), gap, len(apart)))
    return pd.DataFrame(gaps, columns=COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparationTest:
    """What measurements say of Delta >= c kappa."""

    strength: Strength
    """kappa: gamma, or the temperature T."""
    smallest: pd.DataFrame
    """One row a kappa: `kappa`, smallest `separation`, their `ratio`, `trials`."""
    constant: float
    """The smallest ratio: the largest c that these trials admit."""
    constant_at: float
    """Its kappa."""
    exponent: float
    """Of the smallest separation as a power of kappa."""
    low: float
    high: float
    """95 % interval of the exponent; NaN with fewer than three kappas."""

    @property
    def rejected(self) -> bool:
        """Whether the smallest separation falls faster than kappa, so that no c > 0 can last."""
        return self.low > 1

    def __str__(self) -> str:
        judgement = "rejected by" if self.rejected else "compatible with"
        return (
            f"Δ ≥ c κ, κ = {self.strength}: {judgement} {len(self.smallest)} values of κ; smallest Δ ∼ "
            f"κ^{self.exponent:.2f} [{self.low:.2f}, {self.high:.2f}], c ≤ {self.constant:.3g} "
            f"(at κ = {self.constant_at:.3g})"
        )


def separation_test(separations: pd.DataFrame, strength: Strength = "gamma") -> SeparationTest:
    """Conjecture 1, Delta_ij >= c kappa with c = O(1) and kappa ~ gamma or T, under test.

    The conjecture is a lower bound for kappa -> 0: it is rejected where the smallest separation of
    the trials at a kappa, as a power of kappa, has an exponent above 1. A single small ratio does
    not reject it, but `constant` then says how small c has to be; near a continuous transition
    (`docs/physics.md` E9) it goes to zero.

    Parameters
    ----------
    separations
        As `separations` gives them; rows of kappa 0 are left out.

    Raises
    ------
    AnalysisError
        Where fewer than two values of kappa are left.
    """
    rows = separations.loc[separations[strength] > 0]
    smallest = rows.groupby(strength)["separation"].agg(["min", "size"]).reset_index()
    smallest.columns = pd.Index(["kappa", "separation", "trials"])
    if len(smallest) < 2:
        raise AnalysisError(
            f"{len(smallest)} values of {strength} > 0 with two distinct neurons cannot test a power; "
            "sweep more of them"
        )
    smallest["ratio"] = smallest["separation"] / smallest["kappa"]
    fit = sm.OLS(np.log(smallest["separation"]), sm.add_constant(np.log(smallest["kappa"]))).fit()
    low, high = fit.conf_int().loc["kappa"] if len(smallest) > 2 else (np.nan, np.nan)
    least = smallest.iloc[int(smallest["ratio"].argmin())]
    return SeparationTest(
        strength=strength, smallest=smallest, constant=float(least["ratio"]),
        constant_at=float(least["kappa"]), exponent=float(fit.params["kappa"]), low=float(low),
        high=float(high),
    )  # fmt: skip
