"""One strength for two regularizations: weight decay and gradient noise, gamma + T Var."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize

from phasediag.analysis.bootstrap import Resamples, interval, replicate_codes
from phasediag.analysis.cells import order_values
from phasediag.analysis.frame import Groups, converged, has_status, with_formulas
from phasediag.analysis.laws import deviance, pearson
from phasediag.analysis.verdict import CLEARLY, Answer, Claim
from phasediag.analysis.versions import newest
from phasediag.errors import AnalysisError

FloatArray = npt.NDArray[np.float64]

NEEDED: Final = ("weight_decay", "lr_over_batch")
FEWEST_CELLS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StrengthFit:
    """y ~ (gamma + T (variance + noise label_noise^2))^exponent, beside what else may be."""

    y: str
    parameters: pd.DataFrame
    """One row each of `exponent`, `variance` (of the gradient's share per unit of T without label noise),
    `noise` (what the square of the label noise adds): `value`, `low`, `high` (95 %)."""
    models: tuple[Mapping[str, Any], ...]
    """`name, formula, aic, delta_aic`, best first: the combined strength, weight decay alone, weight decay
    with an offset that no noise changes, noise alone, and powers of both apart."""
    claim: Claim
    n: int
    replicates: int

    def summary(self) -> str:
        """The result in words."""
        texts = [
            f"{name} {row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
            for name, row in self.parameters.iterrows()
        ]
        claim = f"{self.claim.verdict}: {self.claim.claim} ({self.claim.reason})"
        return f"{self.y} ~ ({self.formula})^exponent: {', '.join(texts)}\n{claim}"

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types."""
        plain = self.parameters.astype(object).where(self.parameters.notna(), None)
        rows = plain.to_dict(orient="index")
        return {
            "y": self.y, "parameters": rows, "models": [dict(m) for m in self.models],
            "claim": asdict(self.claim), "n": self.n, "replicates": self.replicates,
        }  # fmt: skip

    @property
    def formula(self) -> str:
        """The fitted strength as an expression of columns, for `fit_scaling` and `phase_diagram`."""
        _, variance, noise = self.parameters["value"].to_numpy(dtype=np.float64)
        text = f"weight_decay / 2 + lr_over_batch * ({variance:.6g}"
        return text + (f" + {noise:.6g} * label_noise ** 2)" if noise else ")")


def fit_strength(
    trials: pd.DataFrame, y: str = "neuron_count", resamples: int = 200, seed: int = 0
) -> StrengthFit:
    """Fit a power of gamma + T (variance + noise * label_noise^2), gamma = weight_decay / 2.

    In the limit of a stochastic differential equation, gradient noise adds T Var to the decay (for a chain
    of two weights on one input: gamma + T Var(xy) = |E[xy]| at collapse, with Var(xy) = Var(x y*) +
    sigma^2 E[x^2]). Here the variances are fitted. All fits maximise the quasi-likelihood of counts; the
    intervals are percentile bootstraps over replicates, resampled jointly over all cells.

    Parameters
    ----------
    trials
        One row a trial; `weight_decay` and `lr_over_batch`, and `label_noise` where it varies. Only trials
        that are ok and converged enter; other axes are pooled.
    y
        A count, or another column or expression that is never negative.
    resamples, seed
        Of the bootstrap.

    Raises
    ------
    AnalysisError
        For missing columns, fewer than 6 cells, or where neither T nor the label noise varies.
    """
    trials = with_formulas(newest(trials, (*NEEDED, y), pooled=True), (*NEEDED, y))
    values = order_values(trials, y)
    kept = has_status(trials, "ok") & converged(trials, when_unknown=False) & np.isfinite(values)
    trials, values = trials[kept].reset_index(drop=True), values[kept]
    if len(values) and values.min() < 0:
        raise AnalysisError(f"y='{y}' is negative in some trials; a scaling is fitted to counts, at least 0")
    if "label_noise" not in trials:
        trials = trials.assign(label_noise=0.0)
    group = Groups.of(trials, (*NEEDED, "label_noise"))
    cells = group.decoded(group.code, 3).astype(np.float64)
    if len(cells) < FEWEST_CELLS:
        raise AnalysisError(
            f"{len(cells)} cells of weight decay, T and label noise are ok and converged, a combined "
            f"strength needs {FEWEST_CELLS}; add values, or train longer"
        )
    gamma, rate, sigma = (cells[name].to_numpy() for name in ("weight_decay", "lr_over_batch", "label_noise"))
    gamma = gamma / 2
    if np.ptp(rate) == 0 and np.ptp(sigma) == 0:
        raise AnalysisError(
            "lr_over_batch and label_noise have one value each in these trials; a strength that combines "
            "them with weight decay needs one that varies"
        )
    replicate = replicate_codes(trials, group.cell)
    shape = (len(cells), int(replicate.max()) + 1)
    index = np.ravel_multi_index((group.cell, replicate), shape)
    sums, number = (
        np.bincount(index, w, minlength=shape[0] * shape[1]).reshape(shape)
        for w in (values, np.ones_like(values))
    )
    noises = np.stack([rate, rate * sigma**2])
    noises = noises[[True, bool(np.ptp(sigma) > 0)]]
    weights = number.sum(axis=1)
    means = sums.sum(axis=1) / weights
    best = _combined(gamma, noises, means, weights, None)
    draws = Resamples.of(shape[1], resamples, seed)
    found = []
    for draw in draws.weights:
        drawn = number @ draw
        with np.errstate(invalid="ignore", divide="ignore"):
            average = np.where(drawn > 0, (sums @ draw) / drawn, 0)
        found.append(_readable(_combined(gamma, noises, average, drawn, best)))
    low, high = interval(np.array(found)[draws.draw].T, shape[1])
    names = ["exponent", "variance", "noise"]
    parameters = pd.DataFrame({"value": _readable(best), "low": low, "high": high}, index=names)
    models = _compared(best, gamma, noises, means, weights, values, group)
    return StrengthFit(
        y=y, parameters=parameters, models=models, claim=_claim(y, models), n=len(values), replicates=shape[1]
    )


def _curve(parameters: FloatArray, gamma: FloatArray, noises: FloatArray) -> FloatArray:
    """`parameters`: log amplitude, exponent, log of each coefficient."""
    strength = gamma + np.exp(np.clip(parameters[2:], -60, 60)) @ noises
    return np.asarray(np.exp(parameters[0] + parameters[1] * np.log(strength)))


def _combined(
    gamma: FloatArray, noises: FloatArray, means: FloatArray, weights: FloatArray, start: FloatArray | None
) -> FloatArray:
    def loss(parameters: FloatArray) -> float:
        with np.errstate(all="ignore"):
            found = float(deviance(_curve(parameters, gamma, noises), means, weights).sum())
        return found if np.isfinite(found) else 1e300

    typical = np.log(max(float(np.median(gamma)), 1e-12) / np.maximum(np.median(noises, axis=1), 1e-12))
    middle = np.log(max(float(weights @ means / weights.sum()), 1e-12))
    scale = np.log(max(float(np.median(gamma)), 1e-12))
    guesses = [start] if start is not None else [
        np.concatenate([[middle - a * scale, a], typical + shift])
        for a in (-0.5, 0.5) for shift in (-3, 0, 3)
    ]  # fmt: skip
    options = {"xatol": 1e-5, "fatol": 1e-7, "maxiter": 3000}
    fits = [minimize(loss, guess, method="Nelder-Mead", options=options) for guess in guesses]
    return np.asarray(min(fits, key=lambda fit: float(fit.fun)).x)


def _readable(parameters: FloatArray) -> FloatArray:
    """Exponent, variance and noise; a noise that was not fitted is zero."""
    return np.array([parameters[1], *np.exp(parameters[2:]), 0.0][:3])


def _compared(
    best: FloatArray, gamma: FloatArray, noises: FloatArray, means: FloatArray, weights: FloatArray,
    values: FloatArray, group: Groups,
) -> tuple[Mapping[str, Any], ...]:  # fmt: skip
    """The combined strength against its parts, by quasi-likelihood over the smallest dispersion."""
    total = np.log(noises.sum(axis=0) if len(noises) == 1 else np.exp(best[2:]) @ noises + 1e-300)
    decay = np.log(np.maximum(gamma, 1e-300))
    curves: list[tuple[str, str, FloatArray, int]] = [
        ("combined strength", "(gamma + T Var)^exponent", _curve(best, gamma, noises), len(best))
    ]
    offset = np.ones((1, len(gamma)))
    shifted = _curve(_combined(gamma, offset, means, weights, None), gamma, offset)
    curves.append(("decay with an offset", "(gamma + offset)^exponent", shifted, 3))
    if (gamma > 0).all():
        curves.append(("weight decay alone", "gamma^exponent", _power([decay], means, weights), 2))
    if (noises.sum(axis=0) > 0).all() and np.ptp(total) > 0:
        curves.append(
            ("noise alone", "(T Var)^exponent", _power([total], means, weights), 2 + len(noises) - 1)
        )
        if (gamma > 0).all():
            curves.append((
                "both apart", "gamma^a (T Var)^b", _power([decay, total], means, weights), 3 + len(noises) - 1
            ))  # fmt: skip
    scatter = [
        pearson(curve[group.cell], values).sum() / max(len(values) - price, 1)
        for _, _, curve, price in curves
    ]
    dispersion = max(float(min(scatter)), 1e-6)
    aics = [
        2 * price + float(deviance(curve, means, weights).sum()) / dispersion for _, _, curve, price in curves
    ]
    models: list[Mapping[str, Any]] = [
        {"name": name, "formula": formula, "aic": aic, "delta_aic": aic - min(aics)}
        for (name, formula, _, _), aic in zip(curves, aics, strict=True)
    ]
    return tuple(sorted(models, key=lambda model: float(model["aic"])))


def _power(logs: list[FloatArray], means: FloatArray, weights: FloatArray) -> FloatArray:
    """The fitted means of a product of powers."""
    design = np.column_stack([np.ones_like(means), *(log - log.mean() for log in logs)])

    def loss(parameters: FloatArray) -> float:
        with np.errstate(all="ignore"):
            found = float(deviance(np.exp(design @ parameters), means, weights).sum())
        return found if np.isfinite(found) else 1e300

    start = np.array([np.log(max(float(weights @ means / weights.sum()), 1e-12)), *[0.0] * len(logs)])
    options = {"xatol": 1e-6, "fatol": 1e-8, "maxiter": 3000}
    return np.asarray(np.exp(design @ minimize(loss, start, method="Nelder-Mead", options=options).x))


def _claim(y: str, models: tuple[Mapping[str, Any], ...]) -> Claim:
    combined = next(model for model in models if model["name"] == "combined strength")
    rival = next(model for model in models if model["name"] != "combined strength")
    gap = float(rival["aic"] - combined["aic"])
    verdict: Answer = "supported" if gap > CLEARLY else "not supported" if gap < -CLEARLY else "cannot tell"
    reason = f"against {rival['name']} ({rival['formula']}): AIC better by {gap:.1f}"
    return Claim(claim=f"{y} follows the combined strength gamma + T Var", verdict=verdict, reason=reason)
