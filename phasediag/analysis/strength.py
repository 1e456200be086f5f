"""One strength for two regularizations: whether weight decay and noise act through gamma + T Var alone.

No law of the counts is assumed: they may follow the strength by any monotone curve. Each description is
judged by what it foretells of cells and replicates that were left out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.axes import pooled
from phasediag.analysis.bootstrap import FEWEST_REPLICATES, Resamples, Sums, conditional, interval
from phasediag.analysis.comparison import ReplicateMeans
from phasediag.analysis.exchange import Exchange, compare_exchanges
from phasediag.analysis.frame import Groups, numbers
from phasediag.analysis.noise import noise_column, ways
from phasediag.analysis.result import Result, plain
from phasediag.analysis.selection import ROOM, Sample, entered
from phasediag.analysis.single_index import Cells, fit_index
from phasediag.analysis.verdict import Claim
from phasediag.arrays import FloatArray, IntArray
from phasediag.errors import AnalysisError

FEWEST_CELLS: Final = 6
POOLED: Final = "what follows one strength in each may not do so in all at once"
"""What pooling other axes may do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class StrengthFit(Result):
    """y as a monotone function of gamma + T (variance + noise label_noise^2), beside what else may be."""

    figure: ClassVar[str] = "strength"

    y: str
    noise: str
    """The column of T: `temperature`, or lr_over_batch where the trials have none."""
    parameters: pd.DataFrame
    """One row each of `variance` (of the gradient's share per unit of T without label noise) and `noise`
    (what the square of the label noise adds): `value`, `low`, `high` (95 %)."""
    models: tuple[Mapping[str, Any], ...]
    """`name, formula, behind, behind_error, prediction` of each description, best first: one strength, decay
    or noise alone, and a factor of each; as `Exchange.models` has them."""
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
    condition: str = ""
    """What the intervals are conditional on, in a sentence; empty where on nothing."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known of how the trials were chosen, and what the intervals do not speak of."""
        known = self.parameters["low"].notna().any()
        return (*self.notes, *([self.condition] if self.condition and known else []))

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
        return f"{self.y} as a monotone function of {self.formula}: {', '.join(texts)}", claim

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
        notes = [f"warning: {note}" for note in self.warnings]
        return "\n".join([*self.findings, f"combined strength of {first}", *more, *notes])

    @property
    def formula(self) -> str:
        """The fitted strength as an expression of columns, for `fit_scaling` and `phase_diagram`."""
        variance, noise = self.parameters["value"].to_numpy(dtype=np.float64)
        if np.isinf([variance, noise]).any():
            return self.noise if np.isinf(variance) else f"{self.noise} * label_noise ** 2"
        text = f"weight_decay / 2 + {self.noise} * ({variance:.6g}"
        return text + (f" + {noise:.6g} * label_noise ** 2)" if noise else ")")


def fit_strength(
    trials: pd.DataFrame, y: str = "neuron_count", resamples: int = 200, seed: int = 0,
    x: str = "weight_decay", window: tuple[float, float] | None = None, by: str = "width",
    room: float = ROOM,
) -> StrengthFit:  # fmt: skip
    """Fit gamma + T (variance + noise * label_noise^2), of which y is to be a monotone function.

    In the limit of a stochastic differential equation, gradient noise adds T Var to the decay (for a chain
    of two weights on one input: gamma + T Var(xy) = |E[xy]| at collapse, with Var(xy) = Var(x y*) +
    sigma^2 E[x^2]), gamma = weight_decay / 2. Here the variances are fitted, together with any monotone
    curve; whether y follows it is told as `compare_exchanges` says. The intervals are those of
    `phasediag.analysis.bootstrap.interval` over replicates, resampled jointly over all cells.

    Parameters
    ----------
    trials
        One row a trial; `weight_decay` and `temperature` (or `lr_over_batch`), and `label_noise` where it
        varies: as noise of gradients where it is fresh, while one that was drawn once is refused. The trials
        that enter are those of `fit_scaling(trials, x, y, window=window, by=by, room=room)`, by the same
        rules. Other axes are pooled, which is said.
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
    cells = _cells(table, noise)
    names = list(_terms(table[noise].to_numpy(), table["label_noise"].to_numpy()))
    if not sample.counts.any():
        raise AnalysisError(f"'{y}' is 0 in all trials; there is nothing to fit")
    sums = Sums.of(group.cell, sample.replicates(group.cell), sample.counts)
    data = ReplicateMeans.of(sums, sample.counts)
    exchange = compare_exchanges(cells, _levels(table, noise), data)
    fit = exchange.fit
    points = table.assign(
        strength=fit.index, mean=sums.means, trials=sums.numbers, fit=fit.curve,
    )  # fmt: skip
    named = (x, y, "weight_decay", "label_noise", noise, *ways(trials))
    return StrengthFit(
        y=y, noise=noise, parameters=_parameters(cells, names, sums, exchange, resamples, seed),
        models=exchange.models, claim=exchange.claim(y), points=points, n=len(sample.counts),
        replicates=sums.replicates, left_out=sample.reasons,
        notes=(*sample.notes, *pooled(sample.trials, named, POOLED)), condition=conditional(trials),
    )  # fmt: skip


def _cells(table: pd.DataFrame, noise: str) -> Cells:
    """The cells, with T and, where the label noise varies, T sigma^2 of each.

    Raises
    ------
    AnalysisError
        For fewer than 6 cells, or where neither varies.
    """
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
    if np.ptp(decay) == 0:
        raise AnalysisError(
            "weight_decay has one value in these trials; whether noise acts as decay does takes several"
        )
    return Cells(gamma=decay / 2, noises=np.stack(list(_terms(rate, sigma).values())))


def _terms(rate: FloatArray, sigma: FloatArray) -> dict[str, FloatArray]:
    """What each coefficient multiplies, by its name; one that would only shift all strengths has none."""
    terms = {"variance": rate, "noise": rate * sigma**2}
    varies = {"variance": bool(np.ptp(rate) > 0), "noise": bool(np.ptp(sigma) > 0 and rate.any())}
    return {name: term for name, term in terms.items() if varies[name]}


def _levels(table: pd.DataFrame, noise: str) -> IntArray:
    """The number of each cell's noise: of its T and its label noise; shape (cells,)."""
    codes = table.groupby([noise, "label_noise"], sort=True).ngroup()
    return codes.to_numpy().astype(np.int64)


def _parameters(
    cells: Cells, names: Sequence[str], sums: Sums, exchange: Exchange, resamples: int, seed: int
) -> pd.DataFrame:  # fmt: skip
    """Variance and noise with their intervals over replicates; a coefficient that is not fitted is zero."""
    draws = Resamples.of(sums.replicates, resamples, seed)
    total, number = (each.T for each in sums.drawn(draws.weights))
    means = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
    fits = [fit_index(cells, *each, exchange.rising) for each in zip(means, number, strict=True)]
    with np.errstate(divide="ignore"):
        logs = np.log([fit.coefficients for fit in fits])
        low, high = interval(logs.T, draws, np.log(exchange.fit.coefficients))
    low, high = np.exp(low), np.exp(high)
    if sums.agree:
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    elif (
        sums.replicates >= FEWEST_REPLICATES
    ):  # what gives the same order of the cells, no replicate can tell
        low, high = np.fmin(low, exchange.fit.low), np.fmax(high, exchange.fit.high)
    ends = np.stack([low, high])
    rows = dict.fromkeys(("variance", "noise"), (0.0, np.nan, np.nan))
    rows |= {
        name: (value, *end) for name, value, end in zip(names, exchange.fit.coefficients, ends.T, strict=True)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])


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
