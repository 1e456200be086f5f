"""One strength for two regularizations: weight decay and gradient noise, gamma + T Var."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.bootstrap import Resamples, Sums, interval
from phasediag.analysis.frame import Groups, numbers
from phasediag.analysis.likelihood import deviance, log_linear_designs, pearson, quasi_likelihood
from phasediag.analysis.noise import noise_column
from phasediag.analysis.result import Result, plain
from phasediag.analysis.selection import ROOM, Sample, entered
from phasediag.analysis.simplex import first_steps, minima
from phasediag.analysis.verdict import Answer, Claim
from phasediag.arrays import FloatArray, IntArray
from phasediag.errors import AnalysisError

LEAST_DISPERSION: Final = 1e-6
"""Counts that agree with a curve exactly are no proof that they do not scatter."""
CLEARLY: Final = 10.0
FEWEST_CELLS: Final = 6
_COMBINED: Final = "combined strength"
_TINY: Final = 1e-12
"""Below, a typical strength or count counts as so large where its logarithm starts a search."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A curve that was fitted to the means of counts."""

    model: Mapping[str, Any]
    """What is known of it: `name`, `formula` and what else its table shows."""
    curve: FloatArray
    """Its means, shape (cells,); it is ruled out where one is no number, or 0 where there are counts."""
    parameters: int
    """How many were fitted."""
    price: int
    """What they cost in the criterion."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Candidates by their criterion."""

    models: tuple[Mapping[str, Any], ...]
    """What is known of each candidate, with `aic` and `delta_aic`, best first."""
    dispersion: float
    """The smallest that a candidate reaches: the variance of the counts over their mean."""


def compared(
    candidates: Sequence[Candidate], means: FloatArray, numbers: FloatArray, counts: FloatArray,
    cell: IntArray,
) -> Comparison:  # fmt: skip
    """Compare candidates by the QAIC: 2 price - 2 quasi-likelihood / dispersion.

    The dispersion is one for all, the smallest that a candidate reaches, so that the criteria are
    comparable (K. P. Burnham and D. R. Anderson, Model Selection and Multimodel Inference, 2002).

    Parameters
    ----------
    means, numbers
        Mean and number of the counts of each cell, shape (cells,).
    counts, cell
        The single counts and the cell of each, shape (counts,).
    """
    likelihoods = [
        float(quasi_likelihood(each.curve, means, numbers)) if np.isfinite(each.curve).all() else -np.inf
        for each in candidates
    ]
    scatter = [
        pearson(each.curve[cell], counts).sum() / max(len(counts) - each.parameters, 1)
        for each, likelihood in zip(candidates, likelihoods, strict=True)
        if np.isfinite(likelihood)
    ]
    dispersion = max(float(min(scatter, default=1.0)), LEAST_DISPERSION)
    criteria = [
        2 * each.price - 2 * likelihood / dispersion
        for each, likelihood in zip(candidates, likelihoods, strict=True)
    ]
    models = (
        {**each.model, "aic": aic, "delta_aic": aic - min(criteria)}
        for each, aic in zip(candidates, criteria, strict=True)
    )
    return Comparison(
        models=tuple(sorted(models, key=lambda model: float(model["aic"]))), dispersion=dispersion
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StrengthFit(Result):
    """y ~ (gamma + T (variance + noise label_noise^2))^exponent, beside what else may be."""

    figure: ClassVar[str] = "strength"

    y: str
    noise: str
    """The column of T: `temperature`, or lr_over_batch where the trials have none."""
    parameters: pd.DataFrame
    """One row each of `exponent`, `variance` (of the gradient's share per unit of T without label noise),
    `noise` (what the square of the label noise adds): `value`, `low`, `high` (95 %)."""
    models: tuple[Mapping[str, Any], ...]
    """`name, formula, aic, delta_aic`, best first: the combined strength, weight decay alone, weight decay
    with an offset that no noise changes, noise alone, and powers of both apart."""
    claim: Claim
    points: pd.DataFrame
    """One row a cell: `weight_decay`, T under its own name, `label_noise`, `strength` (the fitted), `mean`,
    `trials` and the fitted mean `fit`."""
    n: int
    """Trials that entered."""
    replicates: int
    left_out: Mapping[str, int]
    """Trials that did not enter, by reason."""
    notes: tuple[str, ...] = ()
    """What must be known of how the trials were chosen."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known of how the trials were chosen."""
        return self.notes

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The fitted strength, what it was compared with, and the cells."""
        return {
            "parameters": self.parameters.rename_axis("parameter").reset_index(),
            "models": pd.DataFrame([dict(model) for model in self.models]), "points": self.points,
        }  # fmt: skip

    @property
    def findings(self) -> tuple[str, ...]:
        """The fitted strength, and whether the counts follow it."""
        texts = [
            f"{name} {row['value']:.3g}"
            + ("" if np.isnan(row["low"]) else f" [{row['low']:.3g}, {row['high']:.3g}]")
            for name, row in self.parameters.iterrows()
        ]
        claim = f"{self.claim.verdict}: {self.claim.claim} ({self.claim.reason})"
        return f"{self.y} ~ ({self.formula})^exponent: {', '.join(texts)}", claim

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types."""
        return {
            "y": self.y, "parameters": plain(self.parameters.to_dict(orient="index")),
            "models": plain(self.models), "claim": asdict(self.claim), "n": self.n,
            "replicates": self.replicates, "left_out": plain(self.left_out),
        }  # fmt: skip

    def summary(self) -> str:
        """The result in words, with the trials that it rests on."""
        first, *more = entered(self.n, self.replicates, self.left_out)
        notes = [f"warning: {note}" for note in self.notes]
        return "\n".join([*self.findings, f"combined strength of {first}", *more, *notes])

    @property
    def formula(self) -> str:
        """The fitted strength as an expression of columns, for `fit_scaling` and `phase_diagram`."""
        _, variance, noise = self.parameters["value"].to_numpy(dtype=np.float64)
        text = f"weight_decay / 2 + {self.noise} * ({variance:.6g}"
        return text + (f" + {noise:.6g} * label_noise ** 2)" if noise else ")")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cells:
    """The cells of weight decay, T and label noise, each with the mean of its counts."""

    gamma: FloatArray
    """Half of the weight decay, shape (cells,)."""
    noises: FloatArray
    """T, and T sigma^2 where the label noise varies, shape (1 or 2, cells)."""
    sums: Sums

    @property
    def means(self) -> FloatArray:
        """Shape (cells,)."""
        return self.sums.means

    @property
    def numbers(self) -> FloatArray:
        """Counts of each, shape (cells,)."""
        return self.sums.numbers


def fit_strength(
    trials: pd.DataFrame, y: str = "neuron_count", resamples: int = 200, seed: int = 0,
    x: str = "weight_decay", window: tuple[float, float] | None = None, by: str = "width",
    room: float = ROOM,
) -> StrengthFit:  # fmt: skip
    """Fit a power of gamma + T (variance + noise * label_noise^2), gamma = weight_decay / 2.

    In the limit of a stochastic differential equation, gradient noise adds T Var to the decay (for a chain
    of two weights on one input: gamma + T Var(xy) = |E[xy]| at collapse, with Var(xy) = Var(x y*) +
    sigma^2 E[x^2]). Here the variances are fitted. All fits maximise the quasi-likelihood of counts; the
    intervals are those of `phasediag.analysis.bootstrap.interval` over replicates, resampled jointly over
    all cells.

    Parameters
    ----------
    trials
        One row a trial; `weight_decay` and `temperature` (or `lr_over_batch`), and `label_noise` where it
        varies: as noise of gradients where it is fresh, while one that was drawn once is refused. The trials
        that enter are those of `fit_scaling(trials, x, y, window=window, by=by, room=room)`, by the same
        rules. Other axes are pooled.
    y
        A count, or another column or expression that is never negative.
    resamples, seed
        Of the bootstrap.
    x, window, by, room
        As `fit_scaling` takes them: they select the trials; a window of None takes all x above 0.

    Raises
    ------
    AnalysisError
        For missing columns, fewer than 6 cells, or where neither T nor the label noise varies.
    """
    noise = noise_column(trials)
    sample = Sample.of(trials, x, y, named=("weight_decay", noise), by=by, room=room, window=window)
    sample = sample.without(np.isnan(numbers(sample.trials, noise)), f"without a {noise}")
    kept = sample.trials if "label_noise" in trials else sample.trials.assign(label_noise=0.0)
    _check_quenched(kept)
    group = Groups.of(kept, ("weight_decay", noise, "label_noise"))
    table = group.decoded(group.code, 3).astype(np.float64)
    if len(table) < FEWEST_CELLS:
        raise AnalysisError(
            f"{len(table)} cells of weight decay, T and label noise are ok and converged, a combined "
            f"strength needs {FEWEST_CELLS}; add values, or train longer"
        )
    decay, rate, sigma = (table[name].to_numpy() for name in ("weight_decay", noise, "label_noise"))
    if np.ptp(rate) == 0 and np.ptp(sigma) == 0:
        raise AnalysisError(
            f"{noise} and label_noise have one value each in these trials; a strength that combines "
            "them with weight decay needs one that varies"
        )
    if not sample.counts.any():
        raise AnalysisError(f"'{y}' is 0 in all trials; there is nothing to fit")
    sums = Sums.of(group.cell, sample.replicates(group.cell), sample.counts)
    noises = np.stack([rate, rate * sigma**2])[[True, bool(np.ptp(sigma) > 0)]]
    cells = _Cells(gamma=decay / 2, noises=noises, sums=sums)
    best = _combined(cells.gamma, noises, cells.means, cells.numbers)
    low, high = _intervals(cells, best, resamples, seed)
    names = ["exponent", "variance", "noise"]
    parameters = pd.DataFrame({"value": _readable(best[None])[0], "low": low, "high": high}, index=names)
    models = _compared(best, cells, sample.counts, group.cell)
    points = table.assign(
        strength=_strength(best[None], cells.gamma, noises)[0], mean=cells.means, trials=cells.numbers,
        fit=_curves(best[None], cells.gamma, noises)[0],
    )  # fmt: skip
    return StrengthFit(
        y=y, noise=noise, parameters=parameters, models=models, claim=_claim(y, models), points=points,
        n=len(sample.counts), replicates=sums.replicates, left_out=sample.reasons,
        notes=sample.notes,
    )  # fmt: skip


def _check_quenched(trials: pd.DataFrame) -> None:
    """Refuse several label noises that were drawn once: they change the data, not the noise of gradients."""
    if "noise" not in trials or trials["label_noise"].nunique() < 2:
        return
    quenched = (trials["noise"] == "quenched").to_numpy(dtype=np.bool_, na_value=False)
    levels = trials["label_noise"][quenched].unique()
    if len(levels) > 1:
        raise AnalysisError(
            f"label noise was drawn once for the data set (noise: quenched) at {len(levels)} levels: a "
            "network learns it, and it does not add to the noise of gradients as T label_noise^2 does; "
            f"keep the trials of one level (--where label_noise={levels[0]:g}), or sweep noise: fresh"
        )


def _intervals(cells: _Cells, best: FloatArray, resamples: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """The intervals of exponent, variance and noise, shape (3,) each; draws are searched from the best."""
    draws = Resamples.of(cells.sums.replicates, resamples, seed)
    total, number = (each.T for each in cells.sums.drawn(draws.weights))
    means = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
    starts = np.repeat(best[None], len(means), axis=0)
    minimal, _ = _minima(cells.gamma, cells.noises, means, number, starts)
    low, high = interval(_readable(minimal).T, draws, _readable(best[None])[0])
    low[1:] = np.maximum(low[1:], 0.0)  # of coefficients, which are not negative
    return low, high


def _strength(parameters: FloatArray, gamma: FloatArray, noises: FloatArray) -> FloatArray:
    """Gamma + T Var of each cell, shape (tries, cells)."""
    return np.asarray(gamma + np.exp(np.clip(parameters[:, 2:], -60, 60)) @ noises)


def _curves(parameters: FloatArray, gamma: FloatArray, noises: FloatArray) -> FloatArray:
    """The means of each cell, shape (tries, cells).

    `parameters`: log amplitude, exponent, log of each coefficient, shape (tries, parameters).
    """
    strength = _strength(parameters, gamma, noises)
    return np.asarray(np.exp(parameters[:, :1] + parameters[:, 1:2] * np.log(strength)))


def _combined(gamma: FloatArray, noises: FloatArray, means: FloatArray, numbers: FloatArray) -> FloatArray:
    """The parameters of the best strength, the best of several searches, shape (parameters,)."""
    typical = np.log(max(float(np.median(gamma)), _TINY) / np.maximum(np.median(noises, axis=1), _TINY))
    middle = np.log(max(float(numbers @ means / numbers.sum()), _TINY))
    scale = np.log(max(float(np.median(gamma)), _TINY))
    starts = np.array([
        np.concatenate([[middle - a * scale, a], typical + shift])
        for a in (-0.5, 0.5) for shift in (-3, 0, 3)
    ])  # fmt: skip
    times = len(starts), 1
    minimal, losses = _minima(gamma, noises, np.tile(means, times), np.tile(numbers, times), starts)
    return np.asarray(minimal[np.argmin(losses)])


def _minima(
    gamma: FloatArray, noises: FloatArray, means: FloatArray, numbers: FloatArray, starts: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The parameters of least deviance near each start, and that deviance.

    `means` and `numbers` have shape (problems, cells), `starts` (problems, parameters).
    """

    def losses(parameters: FloatArray, problems: IntArray) -> FloatArray:
        with np.errstate(all="ignore"):
            curves = _curves(parameters, gamma, noises)
            total = deviance(curves, means[problems], numbers[problems]).sum(axis=1)
        return np.where(np.isfinite(total), total, np.inf)

    minimal = minima(losses, starts, first_steps(starts), xatol=1e-5, fatol=1e-7, iterations=3000)
    return minimal, losses(minimal, np.arange(len(starts)))


def _readable(parameters: FloatArray) -> FloatArray:
    """Exponent, variance and noise of each search, shape (searches, 3); a noise not fitted is zero."""
    columns = [parameters[:, 1], *np.exp(parameters[:, 2:]).T, np.zeros(len(parameters))]
    return np.stack(columns[:3], axis=1)


def _compared(
    best: FloatArray, cells: _Cells, counts: FloatArray, cell: IntArray
) -> tuple[Mapping[str, Any], ...]:
    """The combined strength against its parts, best first."""
    gamma, noises, means, numbers = cells.gamma, cells.noises, cells.means, cells.numbers
    noise = noises.sum(axis=0) if len(noises) == 1 else np.exp(best[2:]) @ noises + 1e-300
    offset = np.ones((1, len(gamma)))
    shifted = _curves(_combined(gamma, offset, means, numbers)[None], gamma, offset)[0]
    more = len(noises) - 1
    candidates = [
        _candidate(_COMBINED, "(gamma + T Var)^exponent", _curves(best[None], gamma, noises)[0], len(best)),
        _candidate("decay with an offset", "(gamma + offset)^exponent", shifted, 3),
    ]
    decays, noisy = bool((gamma > 0).all()), bool((noises.sum(axis=0) > 0).all())
    if decays:
        curve = _powers([gamma], means, numbers)
        candidates.append(_candidate("weight decay alone", "gamma^exponent", curve, 2))
    if noisy and np.ptp(np.log(noise)) > 0:
        curve = _powers([noise], means, numbers)
        candidates.append(_candidate("noise alone", "(T Var)^exponent", curve, 2 + more))
        if decays:
            curve = _powers([gamma, noise], means, numbers)
            candidates.append(_candidate("both apart", "gamma^a (T Var)^b", curve, 3 + more))
    return compared(candidates, means, numbers, counts, cell).models


def _candidate(name: str, formula: str, curve: FloatArray, price: int) -> Candidate:
    return Candidate(model={"name": name, "formula": formula}, curve=curve, parameters=price, price=price)


def _powers(factors: list[FloatArray], means: FloatArray, numbers: FloatArray) -> FloatArray:
    """The fitted means of a product of powers of these factors, shape (cells,)."""
    logs = np.column_stack([np.log(factor) - np.log(factor).mean() for factor in factors])
    constant, *exponents = log_linear_designs(logs[None], means, numbers)[0]
    return np.asarray(np.exp(constant + logs @ np.array(exponents)))


def _claim(y: str, models: tuple[Mapping[str, Any], ...]) -> Claim:
    combined = next(model for model in models if model["name"] == _COMBINED)
    rival = next(model for model in models if model["name"] != _COMBINED)
    gap = float(rival["aic"] - combined["aic"])
    verdict: Answer = "supported" if gap > CLEARLY else "not supported" if gap < -CLEARLY else "cannot tell"
    reason = f"against {rival['name']} ({rival['formula']}): AIC better by {gap:.1f}"
    return Claim(claim=f"{y} follows the combined strength gamma + T Var", verdict=verdict, reason=reason)
