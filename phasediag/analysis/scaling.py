"""How a count scales with a parameter: a power law with its interval, beside its alternatives.

All laws are fitted by the quasi-likelihood of counts to the means over replicates, and are compared by what
they foretell of replicates and values of x that were left out (`law_comparison`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.axes import pooled
from phasediag.analysis.basis import arbitrary_basis
from phasediag.analysis.bootstrap import FEWEST_REPLICATES, Resamples, Sums, conditional, interval
from phasediag.analysis.comparison import ReplicateMeans
from phasediag.analysis.exponent_moves import FEWEST_POINTS, exponent_moves, moves_in_words
from phasediag.analysis.fit_words import (
    about_fit,
    described_models,
    difference,
    exponent_in_words,
    prediction,
)
from phasediag.analysis.independence import Independence, fit_independence
from phasediag.analysis.law_comparison import compare_laws
from phasediag.analysis.laws import REFERENCE
from phasediag.analysis.likelihood import log_linear
from phasediag.analysis.result import Result, plain
from phasediag.analysis.selection import ROOM, Sample, entered, reasons_in_words, remedies
from phasediag.analysis.verdict import AGREEING, Claim, bounded, independent, polynomial
from phasediag.arrays import FloatArray, IntArray
from phasediag.errors import AnalysisError

MOST_RESAMPLES: Final = 400
"""Draws for the shifts of the exponent, at most."""
POOLED: Final = "an exponent of several laws at once may be that of none"
"""What pooling other axes may do."""
PLATEAU: Final = 0.05
"""Neighbouring means that differ from the first or last by less than this share form a plateau."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ScalingFit(Result):
    """A power law, its interval and its alternatives."""

    figure: ClassVar[str] = "scaling"

    x: str
    y: str
    exponent: float
    """The exponent of the power law y ~ x^exponent."""
    low: float
    high: float
    """The 95 % interval of the exponent; NaN with fewer than 3 replicates."""
    window: tuple[float, float]
    """The smallest and largest x that entered."""
    n: int
    """Trials that entered."""
    replicates: int
    left_out: Mapping[str, int]
    """Trials that did not enter, by reason."""
    models: tuple[Mapping[str, Any], ...]
    """`name, formula, parameters, r2, behind, behind_error, prediction, foretells, note` of each law, best
    first, as `LawComparison.models` has them."""
    points: pd.DataFrame
    """One row a value of x: x under its own name, `mean`, `std`, `trials`, `inside` the window, and the
    power law `fit` with its 95 % band `low`, `high` (NaN outside)."""
    independence: Independence | None
    """How y goes with the width where x is the same; None with one width."""
    moves: pd.DataFrame
    """By how much the exponent moves with the window, the smallest width and the law, as `exponent_moves`
    has it: the systematic error beside the statistical one."""
    claims: tuple[Claim, ...]
    """What the trials say of the conjecture and, of a count that it bounds, of Theorem 4."""
    room: float = ROOM
    """The share of the width above which the mean count of a cell left it out."""
    notes: tuple[str, ...] = ()
    """What must be known of how the trials were chosen."""
    condition: str = ""
    """What the intervals are conditional on, in a sentence; empty where on nothing."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The claims, the exponent with its interval, the laws, and the means, one row each."""
        best = self.models[0]["name"]
        exponent = {
            "exponent": self.exponent, "low": self.low, "high": self.high, "from": self.window[0],
            "to": self.window[1], "trials": self.n, "replicates": self.replicates, "best law": best,
        }  # fmt: skip
        return {
            "claims": pd.DataFrame([asdict(claim) for claim in self.claims]),
            "exponents": pd.DataFrame([exponent]),
            "models": pd.DataFrame([
                {
                    "law": model["name"], "formula": model["formula"],
                    "behind": difference(model), "error of prediction": prediction(model),
                    "r2": model["r2"], "note": model["note"],
                    "parameters": ", ".join(f"{k} {v:.4g}" for k, v in model["parameters"].items()),
                }
                for model in self.models
            ]),
            "points": self.points,
            **({"systematics": self.moves} if len(self.moves) else {}),
            **({} if self.independence is None else {"widths": self.independence.cells}),
        }  # fmt: skip

    @property
    def findings(self) -> tuple[str, ...]:
        """The exponent, the law that describes the counts best, and what the trials say of each claim."""
        power = exponent_in_words(self.exponent, self.low, self.high)
        return (
            f"{self.y} goes with {self.x} to the power {power}; best at foretelling replicates and values of "
            f"{self.x} that were left out is the {self.models[0]['name']}.",
            *filter(None, [moves_in_words(self.moves)]),
            *(f"Whether {claim.claim}: {claim.verdict}." for claim in self.claims),
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the fit hides: trials that it left out, a short window, a law that does better."""
        condition = [] if not self.condition or np.isnan(self.low) else [self.condition]
        return (*self.notes, *about_fit(self.left_out, self.window, self.models), *condition)

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types: `exponent, low, high, window, n, models`, and what was fitted."""
        names = ("x", "y", "exponent", "low", "high", "window", "n", "replicates", "left_out", "models")
        values: dict[str, Any] = {name: plain(getattr(self, name)) for name in names}
        values["independence"] = None if self.independence is None else plain(asdict(self.independence))
        values["systematics"] = plain(self.moves)
        return {**values, "claims": [plain(asdict(claim)) for claim in self.claims]}

    def summary(self) -> str:
        """The fit in words: exponent, window, trials, laws, claims."""
        first, *more = entered(self.n, self.replicates, self.left_out)
        return "\n".join([
            f"{self.y} ~ {self.x}^{self.exponent:.3f}   95 % interval {self._interval()}",
            *filter(None, [moves_in_words(self.moves)]),
            f"window {self.window[0]:g} <= {self.x} <= {self.window[1]:g}, {first}",
            *more,
            *described_models(self.models),
            *(f"{claim.verdict}: {claim.claim} ({claim.reason})" for claim in self.claims),
            *(f"warning: {note}" for note in self.notes),
        ])  # fmt: skip

    def _interval(self) -> str:
        if np.isnan(self.low):
            few = f"unknown with {self.replicates} replicates (3 are needed)"
            return few if self.replicates < FEWEST_REPLICATES else f"unknown: {AGREEING}"
        return f"[{self.low:.3f}, {self.high:.3f}]"


def fit_scaling(
    trials: pd.DataFrame,
    x: str = "weight_decay",
    y: str = "neuron_count",
    window: tuple[float, float] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    by: str = "width",
    room: float = ROOM,
) -> ScalingFit:
    """Fit y ~ x^exponent, and say how well other laws do.

    Only trials that are ok and whose counts stay (`count_converged`), with positive x, enter, from cells of
    x and width in most of which they do and whose count the width does not limit. Other axes are pooled:
    filter the trials to fit one of their values. Where there are several widths, the dependence on the width
    is asked of all cells (`fit_independence`), those too that the width limits, in the whole of `window`
    where it is given.

    The interval is that of `phasediag.analysis.bootstrap.interval` over replicates, resampled jointly over
    all x. A replicate is the unit of all evidence, and its mean over several widths is one number: the same
    counts copied under other widths change nothing. Laws are compared as `compare_laws` says.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it.
    x
        A numeric parameter, or an expression such as `weight_decay / 2 + lr_over_batch * label_noise ** 2`.
    y
        A count, or another column or expression that is never negative.
    window
        The smallest and largest x to enter. By default a plateau at either end is left out: two or more
        neighbouring means at the end that lie within 5 % of the last one.
    resamples, seed
        Of the bootstrap.
    by
        The column of the widths, whose influence is tested; ignored where the trials lack it.
    room
        Cells whose mean count exceeds this share of their width are left out of the law of x, not of the test
        of the width: a layer cannot hold more neurons than it has. Ignored where some count does exceed its
        width; 1 keeps all.

    Raises
    ------
    AnalysisError
        For unknown or unusable columns, or where fewer than 3 values of x remain.
    """
    if x == y:
        raise AnalysisError(f"x and y are both '{x}'; a scaling needs two columns")
    usable = Sample.of(trials, x, y, by=by, room=room)
    points = _points(x, usable)
    asked = window
    window = _window(points, x, y, usable.left_out) if window is None else window
    sample = usable.within(window)
    points["inside"] = points[x].between(*window)
    kept = points[points["inside"]]
    _check_points(kept, x, y, window, sample.left_out)
    values = kept[x].to_numpy(dtype=np.float64)
    cell = np.searchsorted(values, sample.at)
    replicate = sample.replicates(cell)
    data = ReplicateMeans.of(Sums.of(cell, replicate, sample.counts), sample.counts)
    comparison = compare_laws(values, data)
    sums = Sums(total=np.nan_to_num(data.values), number=data.present.astype(np.float64))
    models = comparison.models
    power = comparison.model(REFERENCE.name)["parameters"]
    (low, high), band = _intervals(values, sums, resamples, seed)
    fitted = REFERENCE.curve(values, np.array(list(power.values())))
    points = points.join(pd.DataFrame({"fit": fitted, **band}, index=kept.index))
    independence = None
    if sample.size is not None:
        independence = _independence(trials, x, y, by, asked)
    moves = exponent_moves(
        values, sums, _without_smallest(sample, cell, replicate, sums, by), comparison, (low, high),
        Resamples.of(sums.replicates, min(resamples, MOST_RESAMPLES), seed),
    )  # fmt: skip
    claims = (
        polynomial(x, y, comparison, float(np.log10(values[-1] / values[0]))),
        independent(x, y, independence),
        bounded(x, y, low, high, _dimension(usable.trials)),
    )  # fmt: skip
    return ScalingFit(
        x=x, y=y, exponent=power["exponent"], low=low, high=high,
        window=(float(values[0]), float(values[-1])), n=len(sample.at), replicates=sums.replicates,
        left_out=sample.reasons, models=models, points=points, independence=independence, moves=moves,
        claims=tuple(claim for claim in claims if claim is not None),
        room=room, condition=conditional(trials),
        notes=(
            *sample.notes, *filter(None, [arbitrary_basis(trials, [y])]),
            *pooled(sample.trials, (x, y, by), POOLED),
        ),
    )  # fmt: skip


def _without_smallest(
    sample: Sample, cell: IntArray, replicate: IntArray, sums: Sums, by: str
) -> dict[str, Sums]:
    """The replicate means without the smallest width; nothing with one width."""
    if sample.size is None or len(np.unique(sample.size)) < 2:
        return {}
    smallest = float(sample.size.min())
    kept = sample.size > smallest
    fewer = Sums.of(cell[kept], replicate[kept], sample.counts[kept], sums.total.shape)
    means = np.divide(fewer.total, fewer.number, out=np.zeros(sums.total.shape), where=fewer.number > 0)
    return {f"without {by} {smallest:g}": Sums(total=means, number=np.minimum(fewer.number, 1.0))}


def _independence(
    trials: pd.DataFrame, x: str, y: str, by: str, window: tuple[float, float] | None
) -> Independence | None:
    """How y goes with the width, in all cells: what the width limits is what is asked here."""
    sample = Sample.of(trials, x, y, by=by, room=1, window=window)
    if sample.size is None or not len(sample.at):
        return None
    cell = np.unique(np.stack([sample.at, sample.size]), axis=1, return_inverse=True)[1].reshape(-1)
    return fit_independence(by, sample.size, sample.at, sample.counts, sample.replicates(cell))


def _intervals(
    values: FloatArray, sums: Sums, resamples: int, seed: int
) -> tuple[tuple[float, float], dict[str, FloatArray]]:
    """The interval of the exponent, and the band of the power law, `low` and `high` of shape (points,).

    NaN where all replicates agree exactly, as counts may: resampling them then tells nothing.
    """
    if sums.agree:
        unknown = np.full(len(values), np.nan)
        return (float("nan"), float("nan")), {"low": unknown, "high": unknown}
    draws = Resamples.of(sums.replicates, resamples, seed)
    u = np.log(values) - np.log(values).mean()
    power = log_linear(u, sums.total.sum(axis=1)[None], sums.numbers[None])[:, 0]
    total, number = sums.drawn(draws.weights)
    coefficients = log_linear(u, total.T, number.T)
    low, high = interval(coefficients[1], draws, power[1])
    logs = coefficients[0] + coefficients[1] * u[:, None]
    bands = interval(logs, draws, power[0] + power[1] * u)
    return (float(low), float(high)), {
        side: np.exp(band) for side, band in zip(("low", "high"), bands, strict=True)
    }


def _dimension(trials: pd.DataFrame) -> int | None:
    """The length of a neuron's vector in a network of two layers; None where it is not the same for all."""
    names = ("inputs", "outputs", "bias", "depth")
    if any(name not in trials or trials[name].nunique(dropna=False) != 1 for name in names):
        return None
    first = trials[list(names)].iloc[0]
    if first.isna().any() or first["depth"] != 2:
        return None
    return int(first["inputs"]) + int(first["outputs"]) + int(bool(first["bias"]))


def _points(x: str, sample: Sample) -> pd.DataFrame:
    grouped = pd.DataFrame({x: sample.at, "count": sample.counts}).groupby(x)["count"]
    return grouped.agg(mean="mean", std="std", trials="size").reset_index()


def _window(points: pd.DataFrame, x: str, y: str, left_out: Mapping[str, int]) -> tuple[float, float]:
    """From the first to the last x that lies on no plateau at an end."""
    means, values = points["mean"].to_numpy(), points[x].to_numpy()
    if len(points) < FEWEST_POINTS:
        return (0.0, np.inf)
    first, last = _plateau(means), len(means) - _plateau(means[::-1])
    if last - first < FEWEST_POINTS:
        between = max(last - first, 0)
        few = "no value" if between == 0 else f"only {between} value{'s' if between > 1 else ''}"
        raise AnalysisError(
            f"{few} of {x} between the plateaus of {y}, a fit needs {FEWEST_POINTS} (trials left "
            f"out: {reasons_in_words(left_out)}); give --window LOW HIGH "
            f"(window=), or add values where it changes{_advised(left_out)}"
        )
    return float(values[first]), float(values[last - 1])


def _plateau(means: FloatArray) -> int:
    """How many of the first means form a plateau; one alone is none."""
    flat = np.abs(means - means[0]) <= PLATEAU * np.maximum(means[0], means)
    length = len(means) if flat.all() else int(np.argmin(flat))
    return length if length > 1 else 0


def _check_points(
    kept: pd.DataFrame, x: str, y: str, window: tuple[float, float], left_out: Mapping[str, int]
) -> None:
    if len(kept) < FEWEST_POINTS:
        raise AnalysisError(
            f"{len(kept)} distinct values of {x} remain in the window {window[0]:g} to {window[1]:g}, a fit "
            f"needs {FEWEST_POINTS} (trials left out: {reasons_in_words(left_out)}); widen --window "
            f"(window=), train longer, or add values{_advised(left_out)}"
        )
    alive = np.flatnonzero(kept["mean"].to_numpy() > 0)
    if not len(alive):
        raise AnalysisError(f"'{y}' is 0 in all trials of the window; give a window where it is not")
    if len(alive) == 1 and alive[0] in (0, len(kept) - 1):
        raise AnalysisError(
            f"'{y}' is 0 everywhere in the window but at {x} = {kept[x].iloc[alive[0]]:g}, its end: a power "
            f"law that does so has no finite exponent; give a window in which more values of {x} have "
            "counts, or add values there"
        )


def _advised(left_out: Mapping[str, int]) -> str:
    return "".join(f"\n  {line}" for line in remedies(left_out))
