"""By how much a boundary or an exponent moves where the threshold below which neurons are equal is changed.

The threshold is a choice; distances are stored, so what half and twice of it would give is counted again.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.frames import load_recounted
from phasediag.analysis.phases import DecoupledDecayWarning, PhaseDiagram, phase_diagram
from phasediag.analysis.recount import RECOUNTED
from phasediag.analysis.result import Result, plain
from phasediag.analysis.scaling import ScalingFit, fit_scaling
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

if TYPE_CHECKING:
    import os


FACTORS: Final[Mapping[str, float]] = {"halved": 0.5, "doubled": 2.0}
"""By what the threshold is multiplied."""
MOST_TRIALS: Final = 50_000
"""Trials that are counted again without being asked: with more, it would take longer than the figure."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sensitivity(Result):
    """How a boundary or an exponent goes with the threshold below which neurons count as equal."""

    figure: ClassVar[str] = "sensitivity"

    text: str
    """In words; why it is not known, where it is not."""
    stable: bool | None
    """Whether it stays inside its interval or cell; None where that is not known."""
    rows: pd.DataFrame | None = None
    """Of a boundary: one row a facet and value of y, both under their own names, `position`, and
    `halved`, `doubled` (where it lies at half and at twice the threshold), `stable`. Of a fit: one row with
    `exponent`, `halved`, `doubled`, `stable`. None where it is not known."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Where the boundary lies, or what the exponent is, at each threshold; none where it is not known."""
        return {} if self.rows is None else {"sensitivity": self.rows}

    @property
    def findings(self) -> tuple[str, ...]:
        """Whether the result is stable, and by how much it moves."""
        return (self.text,)

    def as_dict(self) -> dict[str, Any]:
        """The sentence, whether the result is stable, and the rows, in plain types."""
        return {"summary": self.text, "stable": self.stable, "rows": plain(self.rows)}


def rests_on_threshold(*texts: str) -> bool:
    """Whether a column or an expression of columns follows the threshold."""
    return bool(set(re.findall(r"[^\W\d]\w*", " ".join(texts))) & set(RECOUNTED))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recounts:
    """Trials counted again at the thresholds of `FACTORS`."""

    frames: Mapping[str, pd.DataFrame]
    """The trials at each threshold, with the index they had; empty where that is not known."""
    reason: str = ""
    """Why it is not known; empty where nothing is to be said of it."""

    @classmethod
    def of(cls, sweep: str | os.PathLike[str], trials: pd.DataFrame, wanted: bool | None = True) -> Recounts:
        """Count trials again.

        Parameters
        ----------
        sweep
            The folder or URI of the sweep.
        trials
            Some of its trials, with `trial_id`.
        wanted
            None: only where they are at most `MOST_TRIALS`. False: not at all.
        """
        if wanted is False:
            return cls(frames={})
        if wanted is None and len(trials) > MOST_TRIALS:
            sentence = (
                f"not computed for {len(trials):,} trials; `diagram` and `scaling` do with --sensitivity"
            )
            return cls(frames={}, reason=sentence)
        try:
            return cls(frames={name: load_recounted(sweep, trials, by) for name, by in FACTORS.items()})
        except AnalysisError as error:
            return cls(frames={}, reason=f"not known, as {error}")

    def sensitivity(self, result: PhaseDiagram | ScalingFit, trials: pd.DataFrame) -> Sensitivity | None:
        """The sensitivity of what some of the trials gave; None where it rests on no threshold."""
        texts = (result.x, result.y, result.order if isinstance(result, PhaseDiagram) else "")
        if not rests_on_threshold(*texts) or (isinstance(result, PhaseDiagram) and result.without_value):
            return None
        if not self.frames and not self.reason:
            return None
        if not self.frames:
            return Sensitivity(text=_said(self.reason), stable=None)
        frames = {name: frame.loc[trials.index] for name, frame in self.frames.items()}
        return _of_diagram(result, frames) if isinstance(result, PhaseDiagram) else _of_fit(result, frames)


def threshold_sensitivity(
    sweep: str | os.PathLike[str], result: PhaseDiagram | ScalingFit, trials: pd.DataFrame
) -> Sensitivity | None:
    """Say by how much a boundary or exponent moves where the threshold is halved or doubled.

    Parameters
    ----------
    sweep
        The folder or URI of the sweep.
    result
        What `phase_diagram` or `fit_scaling` made of the trials.
    trials
        Those, with `trial_id`.

    Returns
    -------
    None where the result does not rest on the threshold.
    """
    return Recounts.of(sweep, trials).sensitivity(result, trials)


def _of_diagram(result: PhaseDiagram, frames: Mapping[str, pd.DataFrame]) -> Sensitivity:
    keys = [name for name in (*result.facets, result.y) if name]
    rows = result.boundary[[*keys, "position"]].copy()
    for name, trials in frames.items():
        rows[name] = _positions(result, trials, keys)
    low, high = _inside(result, keys)
    known = rows["position"].notna().to_numpy()
    moved = np.column_stack([rows[name].to_numpy(dtype=np.float64) for name in FACTORS])
    with np.errstate(invalid="ignore"):
        within = (moved >= low[:, None]) & (moved <= high[:, None])
    rows["stable"] = np.where(known, within.all(axis=1), np.isnan(moved).all(axis=1))
    stable = bool(rows["stable"].all())
    shown = rows[rows["position"].notna() | rows[list(FACTORS)].notna().any(axis=1)]
    if shown.empty:
        sentence = "stable: no boundary at half or twice the threshold either"
        return Sensitivity(text=_said(sentence), stable=True, rows=rows)
    parts = [_moves(result, shown, name) for name in FACTORS]
    count = int(shown["stable"].sum())
    place = "inside their interval or cell"
    verdict = f"stable: all {len(shown)} boundary points stay {place}" if stable else (
        f"NOT stable: {len(shown) - count} of {len(shown)} boundary points leave their interval or cell"
    )  # fmt: skip
    return Sensitivity(text=_said(f"{verdict}; {'; '.join(parts)}"), stable=stable, rows=rows)


def _said(text: str) -> str:
    return f"sensitivity to the threshold epsilon: {text}"


def _positions(result: PhaseDiagram, trials: pd.DataFrame, keys: Sequence[str]) -> FloatArray:
    """Where the boundary of each row lies among these trials, NaN where there is none, shape (rows,)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DecoupledDecayWarning)  # told of the diagram itself
            other = phase_diagram(
                trials, result.x, result.y or None, result.order, result.level, facet=list(result.facets),
                resamples=1, method=result.method,
            ).boundary  # fmt: skip
    except AnalysisError:  # a mixture of one component, or an expression that has one value as axis
        return np.full(len(result.boundary), np.nan)
    if not keys:
        return other["position"].to_numpy(dtype=np.float64)
    merged = result.boundary[list(keys)].merge(other[[*keys, "position"]], on=list(keys), how="left")
    return merged["position"].to_numpy(dtype=np.float64)


def _inside(result: PhaseDiagram, keys: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """The interval of each row together with the cells beside its boundary, shape (rows,) each."""
    position = result.boundary["position"].to_numpy(dtype=np.float64)
    low, high = (result.boundary[end].to_numpy(dtype=np.float64, copy=True) for end in ("low", "high"))
    names = list(keys)
    group = (
        result.cells[names].astype(str).agg("/".join, axis=1) if keys else pd.Series("", result.cells.index)
    )
    wanted = result.boundary[names].astype(str).agg("/".join, axis=1) if keys else [""]
    cells = dict(iter(result.cells[result.x].groupby(group)))
    for row, key in enumerate(wanted):
        columns = np.sort(cells[key].to_numpy(dtype=np.float64))
        right = int(np.clip(np.searchsorted(columns, position[row]), 1, len(columns) - 1))
        low[row] = np.fmin(low[row], columns[right - 1])
        high[row] = np.fmax(high[row], columns[right])
    return low, high


def _moves(result: PhaseDiagram, rows: pd.DataFrame, name: str) -> str:
    """`halved: 1.05 (0.95 to 1.1) times the weight_decay`."""
    before, after = (rows[column].to_numpy(dtype=np.float64) for column in ("position", name))
    both = np.isfinite(before) & np.isfinite(after)
    parts = []
    if both.any():
        if result.x_scale.kind == "log":
            moved, unit = after[both] / before[both], f"times its {result.x}"
        else:
            moved, unit = after[both] - before[both], f"in {result.x}"
        sign = "" if result.x_scale.kind == "log" else "+"
        ends = f" ({moved.min():{sign}.3g} to {moved.max():{sign}.3g})" if len(moved) > 1 else ""
        parts.append(f"moves to {np.median(moved):{sign}.3g}{ends} {unit}")
    lost, fresh = int((np.isfinite(before) & ~both).sum()), int((np.isfinite(after) & ~both).sum())
    parts += [f"is gone in {lost} row{'s' * (lost > 1)}"] * (lost > 0)
    parts += [f"appears in {fresh} more"] * (fresh > 0)
    return f"epsilon {name}, it {', '.join(parts)}"


def _of_fit(result: ScalingFit, frames: Mapping[str, pd.DataFrame]) -> Sensitivity:
    exponents: dict[str, float] = {}
    for name, trials in frames.items():
        try:
            other = fit_scaling(
                trials, result.x, result.y, window=result.window, resamples=1, room=result.room
            )
            exponents[name] = other.exponent
        except AnalysisError:
            exponents[name] = float("nan")
    values = np.array(list(exponents.values()))
    stable = None
    if np.isfinite(result.low):
        stable = bool(((values >= result.low) & (values <= result.high)).all())
    verdict = {
        True: "stable: the exponent stays inside its interval",
        False: "NOT stable: the exponent leaves its interval",
        None: "without an interval there is nothing to compare with",
    }[stable]
    parts = [
        f"epsilon {name}, it is {value:.3f}" if np.isfinite(value) else f"epsilon {name}, no fit is possible"
        for name, value in exponents.items()
    ]
    rows = pd.DataFrame([{"exponent": result.exponent, **exponents, "stable": stable}])
    return Sensitivity(text=_said(f"{verdict}; {'; '.join(parts)}"), stable=stable, rows=rows)
