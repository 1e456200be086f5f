"""Whether the heads of two checkpoints are alike: differences of means, as shares of a head's width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from scipy import stats

from phasediag.analysis.bootstrap import CONFIDENCE
from phasediag.analysis.frame import need_columns
from phasediag.analysis.result import Result, plain
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

ALIKE: Final = 0.1
"""Means that differ by less than this share of a head's width are called alike."""
QUANTITIES: Final = ("degree of symmetry", "rank", "stable rank", "effective rank")
"""What is compared, each over the width of its head."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Likeness(Result):
    """Pairs of checkpoints, and by how much their heads differ."""

    figure: ClassVar[str] = "likeness"

    part: str
    """attention or value."""
    pairs: pd.DataFrame
    """One row a pair and quantity: `first`, `second`, `quantity`, `mean_first`, `mean_second` (over heads,
    as shares of a head's width), `difference` of second less first with Welch's 95 % interval `low`, `high`,
    and `verdict`: `alike` (the interval lies within 0.1 of 0), `different` (beyond) or `cannot tell`."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The pairs."""
        return {"pairs": self.pairs}

    @property
    def findings(self) -> tuple[str, ...]:
        """One sentence a pair and quantity."""
        return tuple(
            f"{row.first} and {row.second}, {row.quantity} / width: {row.verdict} ({row.mean_first:.3f} and "
            f"{row.mean_second:.3f}, difference {row.difference:.3f} [{row.low:.3f}, {row.high:.3f}])."
            for row in self.pairs.itertuples()
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the intervals are of."""
        return (
            "Intervals are over the heads of one network each, and tell nothing of other trainings of it.",
        )

    def as_dict(self) -> dict[str, Any]:
        """The pairs in plain types."""
        return {"part": self.part, "pairs": plain(self.pairs)}


def compare_checkpoints(
    trials: pd.DataFrame, pairs: Sequence[tuple[str, str]], part: str = "attention"
) -> Likeness:
    """Compare the heads of checkpoints, two at a time.

    Parameters
    ----------
    trials
        As `load_trials` gives them of a folder that `phasediag measure` wrote.
    pairs
        Names of checkpoints, as they stand in the column `checkpoint`.
    part
        attention (queries and keys) or value (values and outputs).

    Raises
    ------
    AnalysisError
        Where a checkpoint of a pair is not there, or has fewer than 3 heads.
    """
    need_columns(trials, ("checkpoint", "part", "width", "rank", "stable_rank", "effective_rank"))
    own = trials[trials["part"] == part]
    names = {name for pair in pairs for name in pair}
    heads = {name: _shares(own[own["checkpoint"] == name]) for name in names}
    for name, shares in heads.items():
        if len(shares[QUANTITIES[0]]) < 3:
            there = ", ".join(sorted(own["checkpoint"].unique()))
            raise AnalysisError(f"'{name}' has fewer than 3 heads of part {part}; there are {there}")
    rows = [
        {
            "first": first,
            "second": second,
            "quantity": what,
            **_compared(heads[first][what], heads[second][what]),
        }
        for first, second in pairs
        for what in QUANTITIES
    ]
    return Likeness(part=part, pairs=pd.DataFrame(rows))


def _shares(heads: pd.DataFrame) -> dict[str, FloatArray]:
    """Each quantity of each head over its width, shape (heads,)."""
    width = heads["width"].to_numpy(dtype=np.float64)
    columns = ("rank", "stable_rank", "effective_rank")
    shares = [heads[name].to_numpy(dtype=np.float64, na_value=np.nan) / width for name in columns]
    degree = heads["degree_normalized"].to_numpy(dtype=np.float64, na_value=np.nan)
    return dict(zip(QUANTITIES, [degree, *shares], strict=True))


def _compared(first: FloatArray, second: FloatArray) -> dict[str, Any]:
    one, other = float(first.mean()), float(second.mean())
    difference = other - one
    errors = [part.var(ddof=1) / len(part) for part in (first, second)]
    around = 0.0
    if sum(errors) > 0:
        parts = zip(errors, (first, second), strict=True)
        freedom = sum(errors) ** 2 / sum(error**2 / (len(part) - 1) for error, part in parts)
        around = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(sum(errors)))
    low, high = difference - around, difference + around
    verdict = "cannot tell"
    if low > -ALIKE and high < ALIKE:
        verdict = "alike"
    elif low > ALIKE or high < -ALIKE:
        verdict = "different"
    return {"mean_first": one, "mean_second": other, "difference": difference, "low": low, "high": high,
            "verdict": verdict}  # fmt: skip
