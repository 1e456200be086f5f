"""Whether a column stops growing with the width, series by series.

The test is that of counts (`phasediag.analysis.independence`): the widest layers against those of half their
width, errors over replicates, no law of the width assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.bootstrap import replicate_codes
from phasediag.analysis.comparison import student
from phasediag.analysis.frame import has_status, need_columns, numbers, with_formulas
from phasediag.analysis.independence import NEGLIGIBLE, fit_independence
from phasediag.analysis.labels import named, prose
from phasediag.analysis.result import Result, plain
from phasediag.analysis.trends import unconverged_share
from phasediag.errors import AnalysisError

_VERDICTS: Final = ("saturates", "grows", "shrinks", "cannot tell")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class WidthSaturation(Result):
    """How a column goes with the width in the widest layers of each series."""

    figure: ClassVar[str] = "width_saturation"

    y: str
    by: str
    groups: tuple[str, ...]
    """Columns whose values tell the series apart."""
    series: pd.DataFrame
    """One row a series: its columns, `narrow` and `wide` (the widths compared), `mean_narrow`, `mean_wide`,
    `exponent` of y ~ width^exponent between them with `low`, `high` (95 %, a jackknife over replicates),
    `limit` with `limit_low`, `limit_high` (y of an infinitely wide layer, infinite where y does not bend),
    `unconverged` (share of its trials) and `verdict`: `saturates` (the interval lies within the exponents
    of at most 0.1 either way), `grows` or `shrinks` (it lies beyond), else `cannot tell`."""
    means: pd.DataFrame
    """One row a series and width: the columns of the series, the width under its own name, `mean`, `low`,
    `high`."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The tests, and the means."""
        return {"series": self.series, "means": self.means}

    @property
    def over(self) -> Mapping[str, Sequence[str]]:
        """Means over the series and the widths."""
        return {"means": (*self.groups, self.by), "series": self.groups}

    @property
    def findings(self) -> tuple[str, ...]:
        """One sentence a series."""
        return tuple(self._sentence(row) for _, row in self.series.iterrows())

    def _sentence(self, row: pd.Series[Any]) -> str:
        where = f" ({', '.join(named(name, row[name]) for name in self.groups)})" if self.groups else ""
        to = f"; to {row['limit']:.3g}" if row["verdict"] == "saturates" and np.isfinite(row["limit"]) else ""
        return (
            f"{prose(self.y)}{where} {row['verdict']}: {prose(self.by)}^{row['exponent']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}] from {row['narrow']:g} ({row['mean_narrow']:.3g}) to "
            f"{row['wide']:g} ({row['mean_wide']:.3g}){to}."
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """That trials have not converged, where it is so."""
        moving = self.series["unconverged"].to_numpy(dtype=np.float64)
        if not (moving > 0).any():
            return ()
        return (
            f"Up to {moving.max():.0%} of the trials of a series had not converged: theirs is a statement "
            "about a length of training.",
        )

    def as_dict(self) -> dict[str, Any]:
        """The tests and means in plain types."""
        return {
            "y": self.y, "by": self.by, "groups": list(self.groups), "series": plain(self.series),
            "means": plain(self.means),
        }  # fmt: skip


def width_saturation(
    trials: pd.DataFrame, y: str, groups: Sequence[str] = (), by: str = "width"
) -> WidthSaturation:
    """Test whether a column has stopped to change with the width, in each series.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns them; those that ended well count, converged or not.
    y
        Column or expression, not negative.
    groups
        Columns; each combination of their values is a series.
    by
        The column with the widths.

    Raises
    ------
    AnalysisError
        Where no series has two widths and a mean above zero.
    """
    frame = with_formulas(trials, [y])
    need_columns(frame, [y, by, *groups, "replicate"])
    frame = frame[has_status(frame, "ok") & frame[y].notna()]
    keys = list(groups)
    parts = list(frame.groupby(keys, dropna=False)) if keys else [((), frame)]
    rows, means = [], []
    for key, part in parts:
        labels = dict(zip(keys, key, strict=True))
        test = _tested(part, y, by)
        if test is None:
            continue
        rows.append(labels | test)
        for width, group in part.groupby(by):
            per = group.groupby("replicate")[y].mean().to_numpy(dtype=np.float64)
            mean, low, high = student(per, rounding=0)
            means.append(labels | {by: width, "mean": mean, "low": low, "high": high})
    if not rows:
        problem = f"no series has two values of {by} and {y} above zero"
        raise AnalysisError(f"{problem}; give the grid more of {by}")
    return WidthSaturation(
        y=y, by=by, groups=tuple(keys), series=pd.DataFrame(rows), means=pd.DataFrame(means)
    )


def _tested(part: pd.DataFrame, y: str, by: str) -> dict[str, Any] | None:
    cell = np.zeros(len(part), dtype=np.int64)
    test = fit_independence(
        by, numbers(part, by), np.zeros(len(part)), numbers(part, y), replicate_codes(part, cell)
    )
    if test is None:
        return None
    (row,) = test.cells.to_dict(orient="records")
    kept = ("narrow", "wide", "mean_narrow", "mean_wide", "exponent", "low", "high")
    low, high = row["low"], row["high"]
    verdict = _VERDICTS[3]
    if low > -NEGLIGIBLE and high < NEGLIGIBLE:
        verdict = _VERDICTS[0]
    elif low > NEGLIGIBLE:
        verdict = _VERDICTS[1]
    elif high < -NEGLIGIBLE:
        verdict = _VERDICTS[2]
    limits = {name: row[name] for name in ("limit", "limit_low", "limit_high")}
    moving = {"unconverged": unconverged_share(part)}
    return {name: row[name] for name in kept} | limits | moving | {"verdict": verdict}
