"""The order of a transition: two peaks within cells, jumps, and hysteresis between starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.bootstrap import FEWEST_REPLICATES
from phasediag.analysis.boundary import ROUNDING
from phasediag.analysis.frame import coded, with_formulas
from phasediag.analysis.level import crosses
from phasediag.analysis.mixture import Mixture
from phasediag.analysis.phases import Located, PhaseDiagram, locate
from phasediag.analysis.plane import Plane
from phasediag.analysis.result import Result, plain
from phasediag.analysis.starts import NOT_COMPARED, Shift, shift_between
from phasediag.analysis.versions import newest
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

TransitionOrder = Literal["first order", "continuous", "cannot tell"]
STRONG: Final = 10.0
"""Gain of the information criterion above which two components are very strongly preferred."""
APART: Final = 3.0
"""Components whose means differ by less than this many of their standard deviations are one broad peak."""
FEWEST_VALUES: Final = 8
"""With fewer different values in a cell its peaks are not counted."""
JUMP: Final = 0.5
"""A share of the row's range; passed inside one cell it is a jump."""
FRONT_OF_TIME: Final = "perhaps a front of training time: cells beside the boundary have not converged"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Transition(Result):
    """What speaks for a jump and what for a continuous change, row by row."""

    figure: ClassVar[str] = "transition"

    diagram: PhaseDiagram
    """Whose boundary it is; with `starts`, each of them is a facet."""
    rows: pd.DataFrame
    """One row a facet, value of y and, without `starts`, branch: facet and y under their own names,
    `position` (with `starts` that of the smallest start that has one), `branch`, `direction`, `replicates`,
    `jump` (the largest change between neighbouring cells, as a share of the row's range), `own_jump` (the
    same inside the cell of each replicate's own boundary: the median over replicates), `bimodality` (the gain
    of the Bayesian information criterion by a second component among the values of a cell, the larger of
    the two cells beside the boundary, with `starts` of those of all starts; NaN below 8 different values),
    `separation` (of the two components, in standard deviations), `own_peaks` (whether these are the
    replicates' own boundaries, of which each has one), `hysteresis` with `hysteresis_low`, `hysteresis_high`
    (by how much the boundary moves between the two starts where it moves most, as log ratio on a log axis, in
    units of x elsewhere; NaN with an open interval where one of them leaves the row without a boundary),
    `verdict` and `reason`."""
    starts: str | None
    """The column of the starts that are compared; None: none are."""

    @property
    def verdict(self) -> TransitionOrder:
        """The verdict of all rows together, where they agree."""
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
    level: float | None = None,
    starts: str | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> Transition:
    """Say of each row whether its transition jumps.

    First order: the boundary depends on the start (hysteresis whose interval excludes zero; a start whose
    row stays on one side all along tells as much as one whose boundary moves), or the values beside the
    boundary fall into two well separated peaks that are not those of replicates with boundaries of their
    own. Continuous: no hysteresis where starts are compared, one peak, and no jump between neighbouring
    cells. Else it stays open: a jump inside one cell without two peaks may be a steep change that the
    grid does not resolve.

    Only trials that have converged enter. Where most of a cell has not, between two boundaries that
    differ or beside one, nothing is said: a shift that training time makes looks like hysteresis. Where the
    trials hold several numbers of steps, a shift must be there at the largest.

    Replicates differ in their teacher and data too, and so do their boundaries: a steep but continuous change
    then shows two peaks in a cell. Each replicate's own row tells: where it passes the level once, the
    peaks say where its boundary lies and nothing of a jump, unless `data_seed` pins teacher and data.

    Parameters
    ----------
    trials, x, y, order, level, resamples, seed
        As in `phase_diagram`, by whose method `level` the boundary is drawn.
    starts
        The column of the starts, such as `init_scale`, of which at least two values are compared. Of several
        crossings of a row that of branch 1 is.

    Raises
    ------
    AnalysisError
        As `phase_diagram`; and where `starts` has one value or is an axis.
    """
    trials = newest(trials, (x, y, order, starts))
    trials = with_formulas(trials, [name for name in (x, y, order, starts) if name is not None])
    if starts is not None:
        values = coded(trials[starts])[1]
        if len(values) < 2 or starts in (x, y):
            raise AnalysisError(
                f"starts='{starts}' needs at least two values and to be neither x nor y; it has {len(values)}"
            )
    located = locate(
        Plane.of(trials, x, y, order, starts), order, level, resamples=resamples, seed=seed,
        keep=starts is not None, settled_only=True,
    )  # fmt: skip
    pinned = "data_seed" in trials and bool(trials["data_seed"].notna().all())
    diagram = located.diagram
    rows = [_row(located, entries, starts, pinned) for entries in _compared(diagram, starts)]
    table = pd.DataFrame(rows, columns=[*(name for name in diagram.keys if name != starts), *_COLUMNS])
    return Transition(diagram=diagram, rows=_after_more_steps(table), starts=starts)


_COLUMNS: Final = (
    "position", "branch", "direction", "replicates", "jump", "own_jump", "bimodality", "separation",
    "own_peaks", "hysteresis", "hysteresis_low", "hysteresis_high", "verdict", "reason",
)  # fmt: skip


def _compared(diagram: PhaseDiagram, starts: str | None) -> list[list[int]]:
    """The entries of the boundary that make up each row of the table: without starts each by itself."""
    boundary = diagram.boundary
    if starts is None:
        return [[entry] for entry in range(len(boundary))]
    main = boundary["branch"].eq(1).fillna(boundary["branch"].isna()).astype(bool)
    first = boundary[main].sort_values(starts, kind="stable")
    keys = [name for name in diagram.keys if name != starts]
    if not keys:
        return [first.index.to_list()]
    return [part.index.to_list() for _, part in first.groupby(keys, dropna=False)]


def _row(located: Located, entries: Sequence[int], starts: str | None, pinned: bool) -> dict[str, Any]:
    """The evidence and the verdict of one row of the table."""
    boundary = located.diagram.boundary
    there = [entry for entry in entries if located.boundary.cell[entry] >= 0]
    first = boundary.iloc[(there or list(entries))[0]]
    shift = NOT_COMPARED
    if starts is not None:
        values = boundary[starts].iloc[list(entries)]
        names = [f"{starts} = {value:g}" if isinstance(value, float | int) else f"{starts} = {value}"
                 for value in values]  # fmt: skip
        shift = shift_between(located, entries, names)
    evidence = _larger([_evidence(located, entry) for entry in there] or [_NO_EVIDENCE])
    evidence["own_peaks"] = evidence["own_peaks"] and not pinned
    converged = all(boundary["converged"].iloc[entry] for entry in there)
    verdict, reason = _verdict(evidence, shift, bool(there), converged)
    keys = {name: first[name] for name in located.diagram.keys if name != starts}
    return {
        **keys, "position": first["position"], "branch": first["branch"], "direction": first["direction"],
        "replicates": int(boundary["replicates"].iloc[list(entries)].min()), **evidence,
        "hysteresis": shift.by, "hysteresis_low": shift.low, "hysteresis_high": shift.high,
        "verdict": verdict, "reason": reason,
    }  # fmt: skip


_NO_EVIDENCE: Final[dict[str, Any]] = {
    "jump": np.nan, "own_jump": np.nan, "bimodality": np.nan, "separation": np.nan, "own_peaks": False,
    "alike": False,
}  # fmt: skip


def _larger(evidence: list[dict[str, Any]]) -> dict[str, Any]:
    """What speaks for a jump in any of the entries; not known where it is not known of one."""
    peaks = [each for each in evidence if _two_peaks(each)]
    unknown = [each for each in evidence if np.isnan(each["bimodality"])]
    widest = max(peaks or unknown or evidence, key=lambda each: np.nan_to_num(each["bimodality"]))
    jumps = {name: float(np.max([each[name] for each in evidence])) for name in ("jump", "own_jump")}
    alike = all(each["alike"] for each in evidence)
    return {
        **widest,
        **jumps,
        "alike": alike,
        "own_peaks": bool(peaks) and all(each["own_peaks"] for each in peaks),
    }


def _two_peaks(evidence: Mapping[str, Any]) -> bool:
    return bool(evidence["bimodality"] > STRONG and evidence["separation"] > APART)


def _evidence(located: Located, entry: int) -> dict[str, Any]:
    """Jump and peaks of one entry, from the cells between which its boundary lies."""
    rows, samples, boundary = located.rows, located.samples, located.boundary
    own = rows.row == boundary.row[entry]
    means = rows.value[own & ~np.isnan(rows.value)]
    left = int(boundary.cell[entry])
    if len(means) < 2 or np.ptp(means) == 0:
        return dict(_NO_EVIDENCE)
    beside = [samples.value[(samples.cell == cell) & np.isfinite(samples.value)] for cell in (left, left + 1)]
    peaks = [_peaks(values) for values in beside]
    gain, separation = max(peaks, key=lambda pair: np.nan_to_num(pair[0], nan=-np.inf))
    jump = float(np.abs(np.diff(means)).max() / np.ptp(means))
    own_jump, once = _own_rows(located, own)
    return {
        "jump": jump, "own_jump": own_jump, "bimodality": gain, "separation": separation, "own_peaks": once,
        "alike": all(_alike(values, float(np.ptp(means))) for values in beside),
    }  # fmt: skip


def _own_rows(located: Located, own: npt.NDArray[np.bool_]) -> tuple[float, bool]:
    """What each replicate's own row says: the jump at its own boundary, and whether it passes the level once.

    The median of the jump over replicates, as a share of each one's range; whether most pass it once.
    """
    rows, samples = located.rows, located.samples
    cells = np.flatnonzero(own & ~np.isnan(rows.value))
    place = np.full(len(own), -1)
    place[cells] = np.arange(len(cells))
    chosen = np.flatnonzero((place[samples.cell] >= 0) & ~np.isnan(samples.value))
    values = np.full((int(samples.replicate.max()) + 1, len(cells)), np.nan)
    values[samples.replicate[chosen], place[samples.cell[chosen]]] = samples.value[chosen]
    jumps, crossings = [], []
    for curve in values:
        known = curve[~np.isnan(curve)]
        passed, _ = crosses(known[:-1], known[1:], located.level)
        crossings.append(int(passed.sum()))
        if passed.any():
            jumps.append(float(np.abs(np.diff(known))[passed].max() / np.ptp(known)))
    once = sum(count == 1 for count in crossings) > len(crossings) / 2
    return (float(np.median(jumps)) if jumps else float("nan")), once


def _alike(values: FloatArray, span: float) -> bool:
    """Whether enough replicates agree exactly: one value is one peak."""
    return len(values) >= FEWEST_REPLICATES and float(np.ptp(values)) <= ROUNDING * span


def _peaks(values: FloatArray) -> tuple[float, float]:
    """The gain of a second component and its distance from the first in standard deviations."""
    mixture = Mixture.of(values) if len(np.unique(values)) >= FEWEST_VALUES else None
    if mixture is None:
        return float("nan"), float("nan")
    spread = np.sqrt((mixture.std[0] ** 2 + mixture.std[1] ** 2) / 2)
    return mixture.bic_gain, float((mixture.mean[1] - mixture.mean[0]) / spread)


def _verdict(
    evidence: Mapping[str, Any], shift: Shift, there: bool, converged: bool
) -> tuple[TransitionOrder, str]:
    """The order of a transition and why; never from a number that is not known."""
    if shift.unknown:
        return "cannot tell", shift.unknown
    if not there and not shift.moves:
        return "cannot tell", "no boundary"
    if not converged:
        return "cannot tell", FRONT_OF_TIME
    if shift.moves:
        return "first order", f"the boundary moves with the start: {shift.text}"
    if _two_peaks(evidence) and not evidence["own_peaks"]:
        return "first order", (
            f"two peaks beside the boundary: BIC better by {evidence['bimodality']:.0f}, "
            f"{evidence['separation']:.1f} standard deviations apart"
        )
    if np.isnan(evidence["jump"]):
        return "cannot tell", "fewer than two cells of the row have a value"
    if _two_peaks(evidence) and evidence["own_jump"] >= JUMP:
        return "cannot tell", (
            f"each replicate passes {evidence['own_jump']:.0%} of its range inside one cell, at a boundary "
            "of its own: refine there, compare starts, or pin teacher and data by data_seed"
        )
    if evidence["jump"] >= JUMP:
        return "cannot tell", f"{evidence['jump']:.0%} of the range lie inside one cell: refine there"
    if np.isnan(evidence["bimodality"]) and not evidence["alike"]:
        return "cannot tell", "fewer than 8 different values a cell beside the boundary show no peaks"
    if shift is not NOT_COMPARED and np.isnan(shift.low):
        return "cannot tell", "the hysteresis has no interval"
    peak = "the replicates agree" if evidence["alike"] else "one peak beside the boundary"
    if _two_peaks(evidence):
        peak = "peaks only by the boundaries of the replicates, each of them smooth"
    return "continuous", f"{peak}, no jump" + (", no hysteresis" if shift is not NOT_COMPARED else "")


def _after_more_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """Take back a hysteresis that is not there any more after more steps."""
    time = next((name for name in ("steps", "learning_time") if name in rows), None)
    if time is None:
        return rows
    rows = rows.copy()
    by_shift = rows["reason"].str.startswith("the boundary moves")
    others = [name for name in rows.columns[: rows.columns.get_loc("position")] if name != time]
    same = rows.groupby(others, dropna=False).ngroup() if others else pd.Series(0, rows.index)
    for index in rows.index[by_shift]:
        later = (same == same[index]) & (rows[time] > rows.loc[index, time])
        if later.any():
            last = rows.loc[rows.index[later], time].idxmax()
            if not by_shift[last]:
                rows.loc[index, "verdict"] = "cannot tell"
                rows.loc[index, "reason"] = (
                    f"the shift with the start is gone at {time} = {rows.loc[last, time]:g}"
                )
    return rows
