"""Numbers of neurons that longer training has shown to stay, and that the width does not limit.

No threshold enters: a trial's number is told by the largest gap in its distances (`phasediag.theory.gaps`),
it is settled where every length of training gives the same, and a width stands for infinity where layers of
half the width have as many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.comparison import student
from phasediag.analysis.frame import need_columns
from phasediag.analysis.independence import ROOMY
from phasediag.analysis.result import Result, plain
from phasediag.arrays import BoolArray
from phasediag.errors import AnalysisError
from phasediag.measuring.convergence import FEW, SMALL_SHARE

FACTORS: Final = (1.0, 2.0, 4.0)
"""Lengths of training, in units of the first, at which a number has to be the same."""
MOST_REPLICATES: Final = 0.75
"""Share of a cell's replicates that must be settled."""
FEWEST_NEURONS: Final = 3.0
"""Cells with fewer on average tell nothing of how the number scales."""
LARGEST_DIFFERENCE: Final = 0.5
"""Between a width and half of it, or 5 % of the number where that is more: what is below is none."""
ENTERS: Final = "enters"
UNSETTLED: Final = "not settled"
FEW_NEURONS: Final = f"fewer than {FEWEST_NEURONS:g} neurons"
NO_ROOM: Final = f"a width below {ROOMY:g} times the number"
LIMITED: Final = "not shown to have width enough"
ONE_WIDTH: Final = "no layers of half the width"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SettledCounts(Result):
    """Numbers of neurons of all cells, and which of them tell of an infinitely wide, fully trained layer."""

    figure: ClassVar[str] = "settled_counts"

    apart: tuple[str, ...]
    """The columns that tell different questions apart."""
    x: str
    by: str
    """The column of the widths."""
    factors: tuple[float, ...]
    replicates: pd.DataFrame
    """One row a cell and replicate: the columns of `apart`, `x`, `by`, `replicate`; at its longest `trial_id`
    (null where it was not trained, or diverged), `neurons`, `gap`, `second_gap`, `decided`; and `settled`:
    whether it is decided, and the number the same, at all lengths."""
    cells: pd.DataFrame
    """One row a cell: `apart`, `x`, `by`, `replicates`, `undecided` and `unsettled` (shares of them),
    `settled` (whether at least three quarters of them are), `mean` of those that are, with `low`, `high`."""
    limits: pd.DataFrame
    """One row an x of each `apart`, of its largest width: that (`by`), `mean`, `low`, `high`, the
    `difference` to half of that width, paired, with `difference_low`, `difference_high`, and the `state`:
    whether it enters a fit, or why not."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The cells, and the largest width at each x."""
        return {"cells": self.cells, "limits": self.limits}

    @property
    def over(self) -> Mapping[str, Sequence[str]]:
        """Cells over `apart`, x and the widths."""
        return {"cells": (*self.apart, self.x, self.by), "limits": (*self.apart, self.x)}

    @property
    def findings(self) -> tuple[str, ...]:
        """How many replicates are undecided and unsettled, and how many cells enter a fit."""
        rows, cells = self.replicates, self.cells
        times = ", ".join(f"{factor:g}" for factor in self.factors)
        states = self.limits["state"].value_counts()
        named = ", ".join(f"{state}: {number}" for state, number in states.items())
        return (
            f"{1 - rows['decided'].mean():.0%} of {len(rows):,} networks are undecided: no gap in their "
            "distances is above 10.",
            f"{1 - rows['settled'].mean():.0%} are not settled: not decided with the same number at "
            f"{times} times the steps; of {len(cells):,} cells {int(cells['settled'].sum()):,} are settled.",
            f"Of the largest width at {len(self.limits):,} values of {self.x}: {named}.",
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """That many gaps are not unique, or lie at the end of the list."""
        rows = self.replicates[self.replicates["decided"]]
        sentences = []
        double = float((rows["second_gap"] > 10).mean()) if len(rows) else 0.0
        if double > SMALL_SHARE:
            sentences.append(
                f"{double:.0%} of the decided networks have a second gap above 10: another cut was as good."
            )
        full = float((rows["neurons"] > rows[self.by] / 2).mean()) if len(rows) else 0.0
        if full > SMALL_SHARE:
            sentences.append(
                f"{full:.0%} of the decided networks are cut beyond half of their width: the gap is one "
                "among copies or dead neurons, and the number tells of the width."
            )
        return tuple(sentences)

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types."""
        return {
            "x": self.x, "by": self.by, "apart": list(self.apart), "factors": list(self.factors),
            "undecided": plain(float(1 - self.replicates["decided"].mean())),
            "unsettled": plain(float(1 - self.replicates["settled"].mean())),
            "cells": plain(self.cells), "limits": plain(self.limits),
        }  # fmt: skip

    def numbers(self, key: Sequence[Any], states: Sequence[str] = (ENTERS,)) -> pd.DataFrame:
        """The settled numbers of the largest width, one row an x that is in a state, one column a replicate.

        Parameters
        ----------
        key
            The values of `apart`.
        """
        chosen = self.limits[self.limits["state"].isin(states)]
        for name, value in zip(self.apart, key, strict=True):
            chosen = chosen[chosen[name] == value]
        rows = self.replicates[self.replicates["settled"]]
        rows = rows.merge(chosen[[*self.apart, self.x, self.by]], on=[*self.apart, self.x, self.by])
        return rows.pivot(index=self.x, columns="replicate", values="neurons").sort_index()

    def questions(self) -> list[tuple[Any, ...]]:
        """The values of `apart`, in order."""
        if not self.apart:
            return [()]
        return [tuple(row) for row in self.limits[list(self.apart)].drop_duplicates().itertuples(index=False)]


def settled_counts(
    trials: pd.DataFrame, numbers: pd.DataFrame, apart: Sequence[str] = (), x: str = "weight_decay",
    by: str = "width", factors: Sequence[float] = FACTORS,
) -> SettledCounts:  # fmt: skip
    """Count neurons by the gap in their distances, and tell which numbers stay and have room.

    A replicate is settled where it is decided at every length, and its number the same: exactly up to 20, to
    5 % beyond. A cell is settled where three quarters of its replicates are; its mean is over those. Of
    every x the largest width `enters` where it and half of it are settled, have 3 neurons and 4 times as much
    width as neurons, and the paired difference of the two lies, with its Student interval over replicates,
    within half a neuron or 5 %.

    Parameters
    ----------
    trials
        One row a trial, of all lengths, as `load_trials` gives them of a sweep that was extended.
    numbers
        Of the trials, as `phasediag.theory.gaps.gap_counts` gives them.
    apart
        Columns that tell different questions apart, such as `inputs`.
    x, by
        The columns of the strength and of the width.
    factors
        Lengths of training in units of the shortest of each network.

    Raises
    ------
    AnalysisError
        Where a column is missing, or trials of one length differ in a column that is not named.
    """
    keys = [*apart, x, by, "replicate"]
    need_columns(trials, [*keys, "steps", "status"])
    table = _by_length(trials, numbers, keys, factors)
    replicates = _replicates(table, keys, factors)
    cells = _cells(replicates, [*apart, x, by])
    limits = _limits(replicates, cells, list(apart), x, by)
    return SettledCounts(
        apart=tuple(apart), x=x, by=by, factors=tuple(factors), replicates=replicates, cells=cells,
        limits=limits,
    )  # fmt: skip


def counted_trials(trials: pd.DataFrame, counts: SettledCounts, name: str = "neurons") -> pd.DataFrame:
    """The longest trials, with their number of neurons; `converged` where it is decided and settled.

    So that another analysis can take the numbers: `fit_strength(counted_trials(trials, counts), "neurons")`.
    """
    known = counts.replicates.dropna(subset=["trial_id"])[["trial_id", "neurons", "settled"]]
    rows = trials.drop(columns=[name, "converged"], errors="ignore").merge(known, on="trial_id")
    rows = rows.rename(columns={"neurons": name, "settled": "converged"})
    rows.attrs = {}
    return rows


def _by_length(
    trials: pd.DataFrame, numbers: pd.DataFrame, keys: list[str], factors: Sequence[float]
) -> pd.DataFrame:
    """The trials with their numbers and the `factor` of their length; others are left out."""
    table = trials[[*keys, "trial_id", "steps"]].merge(numbers, on="trial_id", how="left")
    steps = table["steps"].to_numpy(dtype=np.float64)
    first = table.groupby(keys, dropna=False)["steps"].transform("min").to_numpy(dtype=np.float64)
    table["factor"] = np.nan
    for factor in factors:  # steps are whole, rounded up
        table.loc[(factor * (first - 1) < steps) & (steps < factor * first + 1), "factor"] = factor
    table = table[table["factor"].notna()]
    twice = table.duplicated([*keys, "factor"])
    if twice.any():
        which = ", ".join(f"{name}={table.loc[twice, name].iloc[0]}" for name in keys)
        raise AnalysisError(
            f"{int(twice.sum())} networks have several trials of one length, such as at {which}; name the "
            "column in which they differ in apart="
        )
    return table


def _replicates(table: pd.DataFrame, keys: list[str], factors: Sequence[float]) -> pd.DataFrame:
    """One row a network: what it is at its longest, and whether it was that at all lengths."""
    table = table.assign(decided=table["decided"].fillna(False).astype(np.float64))
    wide, sure = (
        table.pivot(index=keys, columns="factor", values=name).reindex(columns=list(factors))
        for name in ("neurons", "decided")
    )
    numbers = wide.to_numpy(dtype=np.float64)
    decided = np.nan_to_num(sure.to_numpy(dtype=np.float64)) == 1
    longest = numbers[:, -1]
    allowed = np.where(longest <= FEW, 0.0, SMALL_SHARE * longest)
    with np.errstate(invalid="ignore"):
        same = (np.abs(numbers - longest[:, None]) <= allowed[:, None]).all(axis=1)
    last = table[table["factor"] == factors[-1]].set_index(keys)
    columns = ["trial_id", "neurons", "gap", "second_gap"]
    rows = last[columns].reindex(wide.index)
    rows["decided"], rows["settled"] = decided[:, -1], same & decided.all(axis=1)
    return rows.reset_index()


def _cells(replicates: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    rows = []
    for key, part in replicates.groupby(keys):
        stay = part["settled"].to_numpy(dtype=np.bool_)
        mean, low, high = student(part["neurons"].to_numpy(dtype=np.float64)[stay])
        rows.append({
            **dict(zip(keys, key, strict=True)), "replicates": len(part),
            "undecided": 1 - part["decided"].mean(), "unsettled": 1 - stay.mean(),
            "settled": bool(stay.mean() >= MOST_REPLICATES), "mean": mean, "low": low, "high": high,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _limits(replicates: pd.DataFrame, cells: pd.DataFrame, apart: list[str], x: str, by: str) -> pd.DataFrame:
    """The largest width of each question and x, beside half of it."""
    rows = []
    for key, part in cells.groupby([*apart, x]):
        named = dict(zip([*apart, x], key, strict=True))
        wide = part.iloc[int(part[by].argmax())]
        half = part[part[by] * 2 == wide[by]]
        own = replicates[_equal(replicates, named) & replicates["settled"].to_numpy()]
        paired = own.pivot(index="replicate", columns=by, values="neurons")
        widths = [wide[by] / 2, wide[by]]
        gap = paired[widths[1]] - paired[widths[0]] if set(widths) <= set(paired.columns) else pd.Series([])
        change = student(gap.to_numpy(dtype=np.float64))
        rows.append({
            **named, by: wide[by], "mean": wide["mean"], "low": wide["low"], "high": wide["high"],
            **dict(zip(("difference", "difference_low", "difference_high"), change, strict=True)),
            "state": _state(wide, half, change, by),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _state(wide: pd.Series[Any], half: pd.DataFrame, change: tuple[float, float, float], by: str) -> str:
    """Whether the largest width enters a fit, or why not."""
    both = pd.concat([wide.to_frame().T, half])
    if not both["settled"].all():
        return UNSETTLED
    if wide["mean"] < FEWEST_NEURONS:
        return FEW_NEURONS
    if both[by].min() < ROOMY * both["mean"].max():
        return NO_ROOM
    if not len(half):
        return ONE_WIDTH
    most = max(LARGEST_DIFFERENCE, SMALL_SHARE * wide["mean"])
    return ENTERS if change[1] >= -most and change[2] <= most else LIMITED


def _equal(rows: pd.DataFrame, named: dict[str, Any]) -> BoolArray:
    """Which rows have these values, shape (rows,)."""
    same = np.full(len(rows), True)
    for name, value in named.items():
        same &= (rows[name] == value).to_numpy()
    return same
