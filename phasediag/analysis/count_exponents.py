"""How the number of neurons goes with the strength of decay, for neurons of several dimensions and targets.

The exponents are those of Theorem 4: N ~ gamma^-e, which it bounds by 3 d / (d + 2), d the numbers of a
neuron. A replicate is the unit of all evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from phasediag.analysis.bootstrap import FEWEST_REPLICATES
from phasediag.analysis.comparison import ReplicateMeans, student
from phasediag.analysis.law_comparison import UNTESTED, LawComparison, compare_laws
from phasediag.analysis.laws import REFERENCE, law
from phasediag.analysis.result import Result, plain
from phasediag.analysis.settled_counts import ENTERS, SettledCounts
from phasediag.analysis.verdict import Claim, SupportVerdict
from phasediag.arrays import FloatArray
from phasediag.theory.counting import bound_exponent

FEWEST_VALUES: Final = 3
"""Values of x that a slope needs."""
ERRORS: Final = 2.0
"""Standard errors over replicates by which a law has to foretell better than another."""
LEAST_COUNT: Final = 0.5
"""What no neuron is taken for where its logarithm is asked for."""
WITHIN: Final = "within the bound"
BEYOND: Final = "beyond the bound"
CANNOT_TELL: Final = "cannot tell"
HALVES: Final = ("lower half", "upper half")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CountExponents(Result):
    """Exponents of the number of neurons, by the dimension of a neuron and the target."""

    figure: ClassVar[str] = "count_exponents"

    exponents: pd.DataFrame
    """One row a target and dimension: `target`, `dimension`, `values` (of x that enter), `from`, `to`,
    `replicates` (with 3 values or more), the mean `exponent` with `low`, `high`, the same over the `lower
    half` and the `upper half` of the window, the `bound` and the `verdict`."""
    slopes: pd.DataFrame
    """One row a target, dimension and replicate: `exponent`."""
    laws: pd.DataFrame
    """One row a target, dimension and law, best first: `law`, `behind` the best by how much of the log score
    of a left-out replicate, with its standard `error`, `prediction` (error of what is foretold, per cent)."""
    claims: tuple[Claim, ...]
    """Whether, of each dimension, the number is polynomial in x, and whether exponents rise with it."""
    trend: tuple[float, float, float]
    """The rank correlation of exponent and dimension, mean over replicates, with its 95 % interval."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The exponents, the laws and the claims."""
        return {
            "exponents": self.exponents, "laws": self.laws,
            "claims": pd.DataFrame([asdict(claim) for claim in self.claims]),
        }  # fmt: skip

    @property
    def findings(self) -> tuple[str, ...]:
        """The verdict of each exponent, and of each claim."""
        return (
            *(_sentence(row) for _, row in self.exponents.iterrows()),
            *(f"Whether {claim.claim}: {claim.verdict} ({claim.reason})." for claim in self.claims),
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """That an exponent far below an upper bound is weak evidence for it."""
        far = self.exponents[self.exponents["high"] < self.exponents["bound"] / 2]
        if not len(far):
            return ()
        return (
            f"{len(far)} exponents lie below half of the bound: any weaker rise obeys an upper bound, so "
            "that this is weak evidence for it.",
        )

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types."""
        return {
            "exponents": plain(self.exponents), "laws": plain(self.laws), "trend": plain(self.trend),
            "claims": [asdict(claim) for claim in self.claims],
        }  # fmt: skip


def count_exponents(
    targets: Mapping[str, SettledCounts], dimension_of: Mapping[Any, int], states: Sequence[str] = (ENTERS,)
) -> CountExponents:
    """Fit the slopes of log N against log x over the cells that enter, one for each replicate.

    A replicate takes part where it has 3 values of x or more. The number is called polynomial in x only
    where, on all targets, the power law foretells left-out values of x best of all laws, and every law that
    is not polynomial worse by more than twice the standard error of the difference over replicates.

    Parameters
    ----------
    targets
        The counts of each target, by its name, told apart by one column (such as `inputs`).
    dimension_of
        The numbers of a neuron by the value of that column.
    states
        Which cells are fitted, as `SettledCounts.limits` calls them. With others than `ENTERS` the exponents
        are those of layers of that width, and say nothing of an infinitely wide one.
    """
    exponents, slopes, laws = [], [], []
    comparisons: dict[tuple[str, int], LawComparison | None] = {}
    for target, counts in targets.items():
        for key in counts.questions():
            dimension = dimension_of[key[0]]
            numbers = counts.numbers(key, states)
            each = replicate_slopes(numbers)
            named = {"target": target, "dimension": dimension}
            exponents.append({**named, **_row(numbers, each, dimension)})
            slopes += [{**named, "replicate": r, "exponent": e} for r, e in each.items()]
            compared = _compared(numbers)
            comparisons[target, dimension] = compared
            laws += [{**named, **model} for model in _models(compared)]
    table = pd.DataFrame(slopes, columns=["target", "dimension", "replicate", "exponent"])
    trend = dimension_trend(table)
    dimensions = sorted({dimension for _, dimension in comparisons})
    return CountExponents(
        exponents=pd.DataFrame(exponents), slopes=table, trend=trend,
        laws=pd.DataFrame(laws, columns=["target", "dimension", "law", "behind", "error", "prediction"]),
        claims=(
            *(
                _polynomial(d, {t: c for (t, own), c in comparisons.items() if own == d})
                for d in dimensions
            ),
            _rising(trend, table),
        ),
    )  # fmt: skip


def replicate_slopes(numbers: pd.DataFrame) -> dict[Any, float]:
    """The exponent e of N ~ x^-e of each replicate that has 3 values of x or more.

    Parameters
    ----------
    numbers
        One row an x (the index, above 0), one column a replicate, NaN where it has none.
    """
    logs = np.log(numbers.index.to_numpy(dtype=np.float64))
    values = np.log(np.maximum(numbers.to_numpy(dtype=np.float64), LEAST_COUNT))
    slopes = {}
    for replicate, column in zip(numbers.columns, values.T, strict=True):
        known = np.isfinite(column)
        if known.sum() >= FEWEST_VALUES:
            slopes[replicate] = -float(np.polyfit(logs[known], column[known], 1)[0])
    return slopes


def dimension_trend(slopes: pd.DataFrame) -> tuple[float, float, float]:
    """The rank correlation of exponent and dimension in each replicate and target: mean and interval.

    A replicate's targets are averaged, as they share its seed; one with fewer than 3 dimensions tells
    nothing. NaN where none is left. Ranks are discrete: where all replicates agree, they are known to the
    step of the correlation.
    """
    by_replicate: dict[Any, list[float]] = {}
    number = slopes["dimension"].nunique()
    for (_, replicate), part in slopes.groupby(["target", "replicate"]):
        if part["dimension"].nunique() >= FEWEST_VALUES and part["exponent"].nunique() > 1:
            value = float(spearmanr(part["dimension"], part["exponent"]).statistic)
            by_replicate.setdefault(replicate, []).append(value)
    step = 12 / (number * (number**2 - 1)) if number > 1 else 0
    mean, low, high = student(np.array([np.mean(each) for each in by_replicate.values()]), rounding=step)
    return mean, max(low, -1.0), min(high, 1.0)


def _row(numbers: pd.DataFrame, slopes: Mapping[Any, float], dimension: int) -> dict[str, Any]:
    """A row of the exponents."""
    mean, low, high = student(np.array(list(slopes.values())), rounding=0)
    bound = bound_exponent(dimension)
    half = -(-len(numbers) // 2)
    parts = (numbers.iloc[:half], numbers.iloc[len(numbers) - half :])
    halves = (np.array(list(replicate_slopes(part).values())) for part in parts)
    return {
        "values": len(numbers), "from": numbers.index.min(), "to": numbers.index.max(),
        "replicates": len(slopes), "exponent": mean, "low": low, "high": high,
        **{name: student(each, rounding=0)[0] for name, each in zip(HALVES, halves, strict=True)},
        "bound": bound,
        "verdict": WITHIN if high < bound else BEYOND if low > bound else CANNOT_TELL,
    }  # fmt: skip


def _sentence(row: pd.Series[Any]) -> str:
    where = f"{row['target']}, d = {row['dimension']}"
    if not row["replicates"]:
        return (
            f"{where}: {row['verdict']}: {row['values']} values enter, of which no replicate has "
            f"{FEWEST_VALUES}."
        )
    text = f"{where}: {row['verdict']} {row['bound']:.2f}: N ~ x^-{row['exponent']:.2f}"
    if np.isfinite(row["low"]):
        text += f" [{row['low']:.2f}, {row['high']:.2f}]"
    moved = ", ".join(f"{name} {row[name]:.2f}" for name in HALVES if np.isfinite(row[name]))
    return f"{text} over {row['values']} values ({moved or 'its halves are too short to tell'})."


def _compared(numbers: pd.DataFrame) -> LawComparison | None:
    """The laws, compared over the numbers of replicates; None where there is too little to compare."""
    values: FloatArray = numbers.to_numpy(dtype=np.float64)
    if len(values) <= FEWEST_VALUES or np.isfinite(values).any(axis=0).sum() < FEWEST_REPLICATES:
        return None
    data = ReplicateMeans(values=values, integers=True)
    return compare_laws(numbers.index.to_numpy(dtype=np.float64), data)


def _models(comparison: LawComparison | None) -> list[dict[str, Any]]:
    models: Sequence[Mapping[str, Any]] = () if comparison is None else comparison.models
    return [
        {
            "law": model["name"], "behind": model["behind"], "error": model["behind_error"],
            "prediction": model["prediction"],
        }
        for model in models
    ]  # fmt: skip


def _polynomial(dimension: int, comparisons: Mapping[str, LawComparison | None]) -> Claim:
    """Whether a power law foretells best, beyond twice the error, on every target."""
    claim = f"the number of neurons is polynomial in decay at d = {dimension}"
    answers = {target: _leads(comparison) for target, comparison in comparisons.items()}
    said: SupportVerdict = "cannot tell"
    if all(leads is True for leads, _ in answers.values()):
        said = "supported"
    elif any(leads is False for leads, _ in answers.values()):
        said = "not supported"
    reason = "; ".join(f"{target}: {words}" for target, (_, words) in answers.items())
    return Claim(claim=claim, verdict=said, reason=reason)


def _leads(comparison: LawComparison | None) -> tuple[bool | None, str]:
    """Whether the power law leads all that is not polynomial; False where it falls clearly behind one."""
    if comparison is None:
        return None, "too few cells enter"
    tested = [str(model["name"]) for model in comparison.models if model["note"] != UNTESTED]
    others = [name for name in tested if law(name).trend and not law(name).polynomial]
    if REFERENCE.name not in tested or not others:
        return None, "too few cells enter to leave some out"
    leads = {name: comparison.lead(REFERENCE.name, name) for name in others}
    rival = min(leads, key=lambda name: leads[name].gain)
    gap = leads[rival]
    words = f"best is the {tested[0]}; power law against {rival} by {gap.gain:.2g} ± {gap.error:.2g}"
    if tested[0] == REFERENCE.name and all(each.gain > ERRORS * each.error for each in leads.values()):
        return True, words
    return (False if gap.gain < -ERRORS * gap.error else None), words


def _rising(trend: tuple[float, float, float], slopes: pd.DataFrame) -> Claim:
    claim = "the exponent rises with the dimension of a neuron"
    mean, low, high = trend
    if not np.isfinite(low):
        few = slopes["dimension"].nunique()
        return Claim(claim=claim, verdict="cannot tell", reason=f"exponents of {few} dimensions, no interval")
    said: SupportVerdict = "supported" if low > 0 else "not supported" if high < 0 else "cannot tell"
    reason = f"rank correlation {mean:.2f}, 95 % interval [{low:.2f}, {high:.2f}] over replicates"
    return Claim(claim=claim, verdict=said, reason=reason)
