"""A column along one parameter: means over replicates with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from scipy import stats

from phasediag.analysis.bootstrap import CONFIDENCE, FEWEST_REPLICATES, conditional, replicate_codes
from phasediag.analysis.cells import ROUNDING
from phasediag.analysis.declared_columns import about
from phasediag.analysis.frame import Groups, converged, has_status, need_columns, numbers
from phasediag.analysis.labels import prose
from phasediag.analysis.result import Result, plain
from phasediag.arrays import FloatArray
from phasediag.columns import Column
from phasediag.errors import AnalysisError

MOST_SLICES: Final = 6
"""More curves than this cannot be distinguished in one figure."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Slices(Result):
    """Means of a column along one parameter, one curve a value of another."""

    figure: ClassVar[str] = "slices"

    x: str
    order: str
    """The column that was averaged."""
    by: str | None
    """The column with a curve for each of its values; None: one curve."""
    level: float | None
    """The value that parts the phases, drawn as a line; None: none is drawn."""
    declared: Column
    """What is known of the column that was averaged."""
    means: pd.DataFrame
    """One row a value of `by` and x: both under their own names, `mean`, `low`, `high` (Student's 95 %
    interval of the mean over replicates, cut where no mean can be; NaN with fewer than 3 of them, and where
    they agree exactly), `trials` (with a value), `unconverged_share`."""
    condition: str = ""
    """What the intervals are conditional on, in a sentence; empty where on nothing."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The means."""
        return {"slices": self.means}

    @property
    def over(self) -> Mapping[str, Sequence[str]]:
        """The means over `by` and x."""
        return {"slices": (*([self.by] if self.by else []), self.x)}

    def quantities(self, table: str) -> Mapping[str, Column]:
        """Means are of the column that was averaged."""
        return dict.fromkeys(("mean", "low", "high"), self.declared)

    @property
    def findings(self) -> tuple[str, ...]:
        """Over which values of x the curves go, and between which means."""
        low, high = self.means["mean"].min(), self.means["mean"].max()
        at, curves, column = self.means[self.x], "", prose(self.order, self.declared)
        if self.by is not None:
            curves = f"; one curve for each of {self.means[self.by].nunique()} values of {prose(self.by)}"
        return (
            f"Means of {column} against {prose(self.x)} ({at.min():.3g} to {at.max():.3g}) run "
            f"from {low:.3g} to {high:.3g}{curves}.",
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """How many means are of trials most of which have not converged, and what intervals speak of."""
        late = int((self.means["unconverged_share"] > 0.5).sum())
        texts = [f"{late} of {len(self.means)} means are of trials that have not converged."] * (late > 0)
        return (*texts, *([self.condition] if self.condition and self.means["low"].notna().any() else []))

    def as_dict(self) -> dict[str, Any]:
        """The means in plain types."""
        return {
            "x": self.x,
            "order": self.order,
            "by": self.by,
            "level": self.level,
            "means": plain(self.means),
        }


def slices(
    trials: pd.DataFrame, x: str, order: str = "degree_normalized", by: str | None = None,
    level: float | None = None,
) -> Slices:  # fmt: skip
    """Average a column over the ok trials at each value of x, for each value of another column.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it.
    x
        A numeric parameter.
    order
        The numeric column that is averaged; infinite values are left out.
    by
        A column that splits the trials; None: all together.
    level
        The value that parts the phases, to be drawn as a line.

    Raises
    ------
    AnalysisError
        For unknown or unusable columns, or more than 6 values of `by`.
    """
    need_columns(trials, (x, order, *([by] if by else [])))
    frame = pd.DataFrame({x: numbers(trials, x), "value": numbers(trials, order)})
    keys = [x]
    if by is not None:
        frame[by] = trials[by].to_numpy()
        keys = [by, x]
        if frame[by].nunique(dropna=False) > MOST_SLICES:
            raise AnalysisError(
                f"'{by}' has {frame[by].nunique(dropna=False)} values, a figure shows at most {MOST_SLICES} "
                f"slices; keep the trials of some of them"
            )
    frame["_replicate"] = replicate_codes(trials, Groups.of(trials, tuple(keys)).cell)
    frame["unconverged"] = ~converged(trials, when_unknown=True)
    kept = frame[has_status(trials, "ok") & np.isfinite(frame["value"])]
    if kept.empty:
        raise AnalysisError(f"no trial that is ok has a finite {order}; choose another column")
    table: pd.DataFrame = kept.groupby(keys, dropna=False).agg(
        mean=("value", "mean"), trials=("value", "size"), unconverged_share=("unconverged", "mean"),
    )  # fmt: skip
    half = _reach(kept, keys)
    declared = about(trials, order)
    low, high = (np.clip(table["mean"] + side * half, *declared.bounds) for side in (-1, 1))
    table = table.assign(low=low, high=high).reset_index()
    columns = [*keys, "mean", "low", "high", "trials", "unconverged_share"]
    means = table.reindex(columns=columns)
    return Slices(
        x=x, order=order, by=by, level=level, declared=declared, means=means, condition=conditional(trials)
    )


def _reach(kept: pd.DataFrame, keys: list[str]) -> FloatArray:
    """How far Student's interval of the mean of each cell reaches to either side, in the order of the cells.

    Replicates are the unit: all trials of one share its seeds, whatever else they differ in.
    """
    cells = kept.groupby(keys, dropna=False)
    of_replicate = kept.groupby([cells.ngroup(), kept["_replicate"]])["value"].mean()
    units = of_replicate.groupby(level=0).agg(["mean", "std", "size"])
    mean, std, count = (units[name].to_numpy(dtype=np.float64) for name in ("mean", "std", "size"))
    with np.errstate(invalid="ignore", divide="ignore"):
        half = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * std / np.sqrt(count)
    known = (count >= FEWEST_REPLICATES) & (std > ROUNDING * np.abs(mean))
    return np.asarray(np.where(known, half, np.nan), dtype=np.float64)
