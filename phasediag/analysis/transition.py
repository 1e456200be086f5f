"""Of which order a transition is: two peaks within cells, jumps, and hysteresis between starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pandas as pd

from phasediag.analysis.bootstrap import interval
from phasediag.analysis.boundary import Boundary
from phasediag.analysis.frame import coded, with_formulas
from phasediag.analysis.mixture import Mixture
from phasediag.analysis.phases import Located, PhaseDiagram, locate
from phasediag.analysis.result import Result, plain
from phasediag.analysis.versions import newest
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

Order = Literal["first order", "continuous", "cannot tell"]
STRONG: Final = 10.0
"""Gain of the information criterion above which two components are very strongly preferred."""
APART: Final = 3.0
"""Components whose means differ by less than this many of their standard deviations are one broad peak."""
FEWEST_VALUES: Final = 8
"""With fewer different values in a cell its peaks are not counted."""
JUMP: Final = 0.5
"""A share of the row's range; passed inside one cell it is a jump."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transition(Result):
    """What speaks for a jump and what for a continuous change, row by row."""

    figure: ClassVar[str] = "transition"

    diagram: PhaseDiagram
    """Whose boundary it is; with `starts`, each of the two is a facet."""
    rows: pd.DataFrame
    """One row a facet and value of y: both under their own names, `position`, `jump` (the largest change
    between neighbouring cells, as a share of the row's range), `bimodality` (the gain of the Bayesian
    information criterion by a second component among the values of a cell, the larger of the two cells
    beside the boundary, with `starts` of the four beside both; NaN below 8 different values), `separation`
    (of the two components, in standard deviations), `hysteresis` with `hysteresis_low`, `hysteresis_high`
    (by how much the boundary moves from the smallest to the largest start, as log ratio on a log axis, in
    units of x elsewhere; NaN without `starts`), `verdict` and `reason`."""
    starts: str | None
    """The column of the starts that are compared; None: none are."""

    @property
    def verdict(self) -> Order:
        """That of all rows together, where they agree."""
        known = set(self.rows["verdict"]) - {"cannot tell"}
        return known.pop() if len(known) == 1 else "cannot tell"

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The evidence and the verdict of each row."""
        return {"transition": self.rows}

    @property
    def findings(self) -> tuple[str, ...]:
        """The order of the transition, and in how many rows which verdict was reached for which reason."""
        answers = Counter(zip(self.rows["verdict"], self.rows["reason"], strict=True))
        parts = [f"{verdict} in {count} ({reason})" for (verdict, reason), count in answers.items()]
        return (f"The transition of {len(self.rows)} rows: {self.verdict}; {'; '.join(parts)}.",)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known before its diagram is trusted."""
        return self.diagram.warnings

    def as_dict(self) -> dict[str, Any]:
        """The verdict, and the evidence of each row, in plain types."""
        return {"verdict": self.verdict, "starts": self.starts, "rows": plain(self.rows)}


def transition_order(
    trials: pd.DataFrame,
    x: str,
    y: str | None = None,
    order: str = "degree_normalized",
    level: float = 0.5,
    starts: str | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> Transition:
    """Say of each row whether its transition jumps.

    First order: the boundary depends on the start (hysteresis whose interval excludes zero), or the values
    beside the boundary fall into two well separated peaks. Continuous: no hysteresis where starts are
    compared, one peak, and no jump between neighbouring cells. Else it cannot be told: a jump inside one
    cell without two peaks may be a steep change that the grid does not resolve. Replicates differ in
    their teacher and data too: where these move a steep but continuous transition by more than its
    width, its values also show two peaks; pin them by `data_seed` to tell.

    Parameters
    ----------
    trials, x, y, order, level, resamples, seed
        As in `phase_diagram`, by whose method `level` the boundary is found.
    starts
        The column of the starts, such as `init_scale`, of which at least two values are compared.

    Raises
    ------
    AnalysisError
        As `phase_diagram`; and where `starts` has one value or is an axis.
    """
    trials = newest(trials, (x, y, order, starts))
    trials = with_formulas(trials, [name for name in (x, y, order, starts) if name is not None])
    if starts is None:
        located = locate(trials, x, y, order, level, facet=None, resamples=resamples, seed=seed)
        boundary = located.diagram.boundary
        rows = boundary.assign(converged=boundary["converged"].fillna(True), _row=np.arange(len(boundary)))
        moved = pd.DataFrame(np.nan, index=rows.index, columns=list(_HYSTERESIS))
    else:
        located, rows, moved = _hysteresis(trials, x, y, order, level, starts, resamples, seed)
    numbers = [name for name in ("_row", "_row_last") if name in rows]
    evidence = [_larger([_evidence(located, int(row)) for row in pair]) for pair in rows[numbers].to_numpy()]
    table = rows.join(pd.DataFrame(evidence, index=rows.index)).join(moved)
    answers = [_verdict(row, starts is not None) for _, row in table.iterrows()]
    table[["verdict", "reason"]] = pd.DataFrame(answers, index=table.index, columns=["verdict", "reason"])
    return Transition(
        diagram=located.diagram, rows=table.drop(columns=_UNSAID, errors="ignore"), starts=starts
    )


_UNSAID: Final = ["low", "high", "crossings", "converged", "position_last", "_row", "_row_last"]
"""Columns of the boundary, and of the rows of both starts, that the table leaves out."""
_HYSTERESIS: Final = ("hysteresis", "hysteresis_low", "hysteresis_high")


def _hysteresis(
    trials: pd.DataFrame, x: str, y: str | None, order: str, level: float, starts: str,
    resamples: int, seed: int,
) -> tuple[Located, pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """The diagram by starts, the rows of the smallest start, and by how much they move to the largest.

    Both starts are resampled by the same draws of replicates, by the rules of the boundary itself.
    """
    values = coded(trials[starts])[1]
    if len(values) < 2 or starts in (x, y):
        raise AnalysisError(
            f"starts='{starts}' needs at least two values and to be neither x nor y; it has {len(values)}"
        )
    ends = trials[trials[starts].isin([values[0], values[-1]])]
    located = locate(ends, x, y, order, level, facet=starts, resamples=resamples, seed=seed, keep=True)
    diagram = located.diagram
    keys = [name for name in (*diagram.facets, diagram.y) if name and name != starts]
    boundary = diagram.boundary.assign(_row=np.arange(len(diagram.boundary)))
    first, last = (boundary[boundary[starts] == value] for value in (values[0], values[-1]))
    other = ["_row", "position", "converged"]
    rows: pd.DataFrame = (
        first.merge(last[[*keys, *other]], on=keys, how="left", suffixes=("", "_last"))
        if keys else first.merge(last[other], how="cross", suffixes=("", "_last"))
    )  # fmt: skip
    moved = pd.DataFrame(np.nan, index=rows.index, columns=list(_HYSTERESIS))
    for number, row in rows.iterrows():
        if np.isfinite([row["position"], row["position_last"]]).all():
            pair = [int(row["_row"]), int(row["_row_last"])]
            moved.loc[number] = _shift(located.boundary, pair)
    rows["converged"] = rows["converged"].fillna(True) & rows["converged_last"].fillna(True)
    return located, rows.drop(columns="converged_last"), moved


def _shift(boundary: Boundary, pair: list[int]) -> tuple[float, float, float]:
    """By how much the second row of the pair lies beyond the first, with its interval, in coordinates."""
    assert boundary.drawn is not None
    assert boundary.draws is not None
    before, after = boundary.position[pair]
    shifts = boundary.drawn[pair[1]] - boundary.drawn[pair[0]]
    low, high = interval(
        shifts[None], boundary.draws, after - before, replicates=int(boundary.replicates[pair].min())
    )
    return float(after - before), float(low[0]), float(high[0])


def _larger(evidence: list[dict[str, float]]) -> dict[str, float]:
    """What speaks for a jump in any of the rows; not known where it is not known of one."""
    peaks = [each for each in evidence if _two_peaks(each["bimodality"], each["separation"])]
    unknown = [each for each in evidence if np.isnan(each["bimodality"])]
    widest = max(peaks or unknown or evidence, key=lambda each: np.nan_to_num(each["bimodality"]))
    return {**widest, "jump": float(np.max([each["jump"] for each in evidence]))}


def _two_peaks(bimodality: float, separation: float) -> bool:
    return bimodality > STRONG and separation > APART


def _evidence(located: Located, row: int) -> dict[str, float]:
    """Jump and bimodality of one row, from the cells between which its boundary lies."""
    rows, samples = located.rows, located.samples
    means = rows.value[(rows.row == row) & ~np.isnan(rows.value)]
    left = int(located.boundary.cell[row])
    if left < 0 or len(means) < 2 or np.ptp(means) == 0:
        return {"jump": np.nan, "bimodality": np.nan, "separation": np.nan}
    beside = (samples.value[samples.cell == cell] for cell in (left, left + 1))
    peaks = [_peaks(values[np.isfinite(values)]) for values in beside]
    gain, separation = max(peaks, key=lambda pair: np.nan_to_num(pair[0], nan=-np.inf))
    jump = float(np.abs(np.diff(means)).max() / np.ptp(means))
    return {"jump": jump, "bimodality": gain, "separation": separation}


def _peaks(values: FloatArray) -> tuple[float, float]:
    """The gain of a second component and its distance from the first in standard deviations."""
    mixture = Mixture.of(values) if len(np.unique(values)) >= FEWEST_VALUES else None
    if mixture is None:
        return float("nan"), float("nan")
    spread = np.sqrt((mixture.std[0] ** 2 + mixture.std[1] ** 2) / 2)
    return mixture.bic_gain, float((mixture.mean[1] - mixture.mean[0]) / spread)


def _verdict(row: pd.Series[Any], compared: bool) -> tuple[Order, str]:
    """The order of a transition and why; never from a number that is not known."""
    if np.isnan(row["position"]) or (compared and np.isnan(row["position_last"])):
        ends = [name for name, at in _ENDS.items() if at in row and np.isnan(row[at])]
        where = f" at the {' and '.join(ends)} start" if compared and len(ends) == 1 else ""
        return "cannot tell", f"no boundary{where}"
    if not row["converged"]:
        return "cannot tell", "perhaps a front of training time: cells beside the boundary have not converged"
    low, high = row["hysteresis_low"], row["hysteresis_high"]
    if np.isfinite(row["hysteresis"]) and (low > 0 or high < 0):
        shift = f"by {row['hysteresis']:.3g} [{low:.3g}, {high:.3g}]"
        return "first order", f"the boundary moves with the start: {shift}"
    if _two_peaks(row["bimodality"], row["separation"]):
        return "first order", (
            f"two peaks beside the boundary: BIC better by {row['bimodality']:.0f}, "
            f"{row['separation']:.1f} standard deviations apart"
        )
    if np.isnan(row["jump"]):
        return "cannot tell", "fewer than two cells of the row have a value"
    if row["jump"] >= JUMP:
        return "cannot tell", f"{row['jump']:.0%} of the range lie inside one cell: refine there"
    if np.isnan(row["bimodality"]):
        return "cannot tell", "fewer than 8 different values a cell beside the boundary show no peaks"
    if compared and np.isnan(low):
        return "cannot tell", "the hysteresis has no interval"
    return "continuous", "one peak beside the boundary, no jump" + (", no hysteresis" if compared else "")


_ENDS: Final = {"smallest": "position", "largest": "position_last"}
