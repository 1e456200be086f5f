"""By how much a boundary or an exponent moves where the threshold below which neurons are equal is changed.

The threshold is a choice; distances are stored, so what half and twice of it would give is counted again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.frames import load_recounted
from phasediag.analysis.moves import Moves, crossed, positions
from phasediag.analysis.phases import PhaseDiagram
from phasediag.analysis.recount import RECOUNTED
from phasediag.analysis.result import Result, plain
from phasediag.analysis.scaling import ScalingFit, fit_scaling
from phasediag.errors import AnalysisError

if TYPE_CHECKING:
    import os


FACTORS: Final[Mapping[str, float]] = {"halved": 0.5, "doubled": 2.0}
"""By what the threshold is multiplied."""
MOST_TRIALS: Final = 50_000
"""Trials that are counted again without being asked: with more, it would take longer than the figure."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Sensitivity(Result):
    """How a boundary or an exponent goes with the threshold below which neurons count as equal."""

    figure: ClassVar[str] = "sensitivity"

    text: str
    """In words; why it is not known, where it is not."""
    stable: bool | None
    """Whether it stays inside its interval or cell; None where that is not known."""
    rows: pd.DataFrame | None = None
    """For a boundary one row a facet, value of y and crossing, `branch`, `position`, and
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
        if isinstance(result, PhaseDiagram):
            return _of_diagram(crossed(result, trials), frames)
        return _of_fit(result, frames)


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
    others = {name: positions(result, trials) for name, trials in frames.items()}
    moves = Moves.of(result, others, {name: f"epsilon {name}" for name in frames})
    sentence = moves.text or "stable: no boundary at half or twice the threshold either"
    return Sensitivity(text=_said(sentence), stable=moves.stable, rows=moves.rows)


def _said(text: str) -> str:
    return f"sensitivity to the threshold epsilon: {text}"


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
