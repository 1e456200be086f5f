"""Whether a measured column rises or falls with others: rank correlations inside replicates.

A replicate shares its seeds (teacher, data, start) in all cells, so it is the unit: a rank correlation is
taken inside each, over its cells, and the interval is that of the mean over replicates. No law and no
normal errors are assumed of the column, and no threshold decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pandas as pd
from scipy import stats

from phasediag.analysis.comparison import student
from phasediag.analysis.frame import has_status, need_columns, with_formulas
from phasediag.analysis.labels import prose
from phasediag.analysis.result import Result, plain
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

ClaimedTrend = Literal["rises", "falls"]
FEWEST_VALUES: Final = 3
"""Values of x that a rank correlation needs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Trends(Result):
    """How a column goes with others, each varied alone, and whether that is as it was claimed."""

    figure: ClassVar[str] = "trends"

    y: str
    """The column."""
    series: pd.DataFrame
    """One row an x: `x`, `claim` (`rises` or `falls`), `values` (of x), `replicates`, `constant` (those in
    which x or y does not vary: they count as 0), `correlation` (mean over replicates of Spearman's), `low`,
    `high` (Student's 95 % interval of that mean, within -1 to 1; NaN with fewer than 3 replicates, or where
    all are constant), `unconverged` (share of the trials) and `verdict` (`as claimed`, `against the claim` or
    `not shown`)."""
    means: pd.DataFrame
    """One row an x and value: `x`, `value`, `mean` over `replicates`, `low`, `high` (Student's 95 %)."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The correlations, and the means behind them."""
        return {"correlations": self.series, "means": self.means}

    @property
    def over(self) -> Mapping[str, Sequence[str]]:
        """Means over the columns and their values."""
        return {"correlations": ("x",), "means": ("x", "value")}

    @property
    def findings(self) -> tuple[str, ...]:
        """One sentence an x: the claim, the correlation and the verdict."""
        return tuple(
            f"{prose(self.y)} {row.claim} with {prose(str(row.x))}: {row.verdict} ({_in_words(row)}, "
            f"{row.values} values, {row.replicates} replicates)."
            for row in self.series.itertuples()
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which trends rest on replicates without variation, and which on trials that have not converged."""
        still = self.series[self.series["constant"].between(1, self.series["replicates"] - 1)]
        warnings = [
            f"Along {prose(str(row.x))} {row.constant} of {row.replicates} replicates do not vary: their "
            "correlation counts as 0."
            for row in still.itertuples()
        ]
        moving = self.series[self.series["unconverged"] > 0]
        shares = ", ".join(f"{row.unconverged:.0%} along {prose(str(row.x))}" for row in moving.itertuples())
        if shares:
            warnings.append(
                f"Of the trials {shares} had not converged: they tell of this length of training."
            )
        return tuple(warnings)

    def as_dict(self) -> dict[str, Any]:
        """Correlations and means in plain types."""
        return {"y": self.y, "series": plain(self.series), "means": plain(self.means)}


def rank_trends(
    trials: pd.DataFrame, y: str, claims: Mapping[str, ClaimedTrend],
    baseline: Mapping[str, Any] | None = None, within: Sequence[str] = (),
) -> Trends:  # fmt: skip
    """Correlate the ranks of a column with those of others, each varied alone.

    Parameters
    ----------
    trials
        One row a trial (or a trial and layer), with the column `replicate`. Rows of one replicate, x and
        `within` are averaged.
    y
        Column or expression.
    claims
        By each x, a column or an expression, whether y is said to rise or to fall with it.
    baseline
        Values of columns: along an x count the rows in which all of these but x itself have this value. None:
        all rows count.
    within
        Columns that tell rows of a replicate apart besides x, such as `layer` where x was measured too.

    Raises
    ------
    AnalysisError
        Where an x has fewer than 3 values at the baseline.
    """
    frame = with_formulas(trials, [y, *claims])
    held = dict(baseline or {})
    need_columns(frame, [y, *claims, *held, "replicate"])
    if "status" in frame:
        frame = frame[has_status(frame, "ok")]
    frame = frame[frame[y].notna()]
    rows, means = [], []
    for x, claim in claims.items():
        own = frame
        for name, value in held.items():
            own = own if name == x else own[own[name] == value]
        mean = own.groupby(["replicate", x, *within])[y].mean().astype(np.float64).reset_index()
        most = mean.groupby("replicate").size().max()
        if mean.empty or most < FEWEST_VALUES:
            there = 0 if mean.empty else most
            raise AnalysisError(
                f"{x} has {there} values where the others are as the baseline says; a trend needs "
                f"{FEWEST_VALUES}"
            )
        rows.append({"x": x, "claim": claim, **_judged(mean, x, y, claim)})
        rows[-1]["unconverged"] = unconverged_share(own)
        means.append(_means(mean, x, y))
    series = pd.DataFrame(rows)
    return Trends(y=y, series=series, means=pd.concat(means, ignore_index=True))


def rank_correlation(x: FloatArray, y: FloatArray) -> float:
    """Spearman's rank correlation, 0 where either is constant: then neither tells of the other."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(stats.spearmanr(x, y).statistic)


def _judged(frame: pd.DataFrame, x: str, y: str, claim: ClaimedTrend) -> dict[str, Any]:
    """The correlations inside replicates, and what they say of the claim."""
    parts = [
        (part[x].to_numpy(np.float64), part[y].to_numpy(np.float64)) for _, part in frame.groupby("replicate")
    ]
    each = np.array([rank_correlation(*part) for part in parts])
    constant = sum(bool(np.ptp(own) == 0 or np.ptp(other) == 0) for own, other in parts)
    mean, low, high = student(each, _step(min(len(own) for own, _ in parts)))
    if constant == len(parts):
        low = high = float("nan")
    sign = 1 if claim == "rises" else -1
    verdict = "not shown"
    if low > 0 or high < 0:
        verdict = "as claimed" if sign * mean > 0 else "against the claim"
    ends = {"low": max(low, -1.0), "high": min(high, 1.0)} if low == low else {"low": low, "high": high}
    return {"values": frame[x].nunique(), "replicates": len(each), "constant": constant,
            "correlation": mean, **ends, "verdict": verdict}  # fmt: skip


def _step(cells: int) -> float:
    """The smallest difference of two rank correlations over so many cells without ties."""
    return 12 / (cells**3 - cells) if cells > 1 else 2.0


def _in_words(row: Any) -> str:
    """A correlation with its interval, or why there is none."""
    if row.constant == row.replicates:
        return "no rank correlation: x or y does not vary in any replicate"
    return f"rank correlation {row.correlation:.2f} [{row.low:.2f}, {row.high:.2f}]"


def _means(frame: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    rows = []
    for value, part in frame.groupby(x):
        numbers = part.groupby("replicate")[y].mean().to_numpy(np.float64)
        mean, low, high = student(numbers, rounding=0)
        rows.append({"x": x, "value": value, "mean": mean, "low": low, "high": high,
                     "replicates": len(numbers)})  # fmt: skip
    return pd.DataFrame(rows)


def unconverged_share(trials: pd.DataFrame) -> float:
    """Share of the trials that have not converged; 0 where nobody looked."""
    if "converged" not in trials:
        return 0.0
    return float(1 - trials["converged"].fillna(False).astype(float).mean())
