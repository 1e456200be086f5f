"""Whether symmetries break while the loss drops: a permutation test over the courses of several trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from phasediag.analysis.frame import need_columns
from phasediag.analysis.result import Result, plain
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Coincidence(Result):
    """How much faster the loss drops while symmetries break than it does on average."""

    figure: ClassVar[str] = "coincidence"

    broken: int
    """Generators that were lost, over all trials."""
    ratio: float
    """Mean of -d log(loss) a recorded interval where generators are lost, over its mean in all; NaN where
    none is lost, or the losses as a whole do not drop."""
    p_value: float
    """Share of the shifted courses with at least this mean; NaN where no generator is lost."""
    trials: int
    shifted: FloatArray
    """The ratio in each course that was shifted, shape (shifts,); empty where no generator is lost, or the
    losses as a whole do not drop."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The statistic and its p-value."""
        return {"coincidence": pd.DataFrame([self.as_dict()])}

    @property
    def findings(self) -> tuple[str, ...]:
        """Whether losses of generators coincide with drops of the loss."""
        of = f"{self.trials} trial{'s' if self.trials > 1 else ''}"
        if not self.broken:
            return (f"No generator is lost in {of}.",)
        if not len(self.shifted):
            return (f"{self.broken} generators are lost in {of}, but the losses as a whole do not drop.",)
        verdict = "coincide" if self.p_value < 0.05 else "are not shown to coincide"
        return (
            f"Losses of {self.broken} generators in {of} {verdict} with drops of the loss: it drops "
            f"{self.ratio:.2g} times as fast there as on average (p = {self.p_value:.4f}).",
        )

    def as_dict(self) -> dict[str, Any]:
        """The statistic and its p-value in plain types."""
        return {name: plain(getattr(self, name)) for name in ("broken", "ratio", "p_value", "trials")}


def coincidence(
    history: pd.DataFrame,
    layer: str = "hidden.1",
    observable: str = "permutation",
    *,
    descent: float = 1.0,
    shifts: int = 9999,
    seed: int = 0,
) -> Coincidence:
    """Test whether the losses of generators fall together with drops of the loss.

    The statistic is the mean drop of log(train_loss) over the recorded intervals, each weighted by the
    generators lost in it for the first time: by how much the degree fell below all it was before, so that
    a distance that flickers about its threshold counts once. Under the null hypothesis the two
    courses of a trial are independent: one is shifted against the other by a random number of intervals,
    cyclically, so that each keeps its own autocorrelation.

    Parameters
    ----------
    history
        Rows of `load_measurements` of a sweep with `measure: {every: ..., losses: true}`.
    descent
        Share of the fall of log(train_loss), from its start to its least, with which each course ends;
        1 keeps all. In a long quiet end nothing happens to either course, so that any two early ones
        coincide: a p-value that holds with 0.9 too does not rest on it.
    shifts
        Random shifts drawn; the p-value is at least 1 / (shifts + 1).

    Raises
    ------
    AnalysisError
        Where no losses were recorded, fewer than three steps of a trial, or `descent` is not in (0, 1].
    """
    if not 0 < descent <= 1:
        raise AnalysisError(f"descent={descent:g} is not allowed; it is a share, above 0 and at most 1")
    need_columns(history, ("trial_id", "step", "layer", "observable", "degree", "train_loss"))
    rows = history[(history["layer"] == layer) & (history["observable"] == observable)]
    if rows.empty or rows["train_loss"].isna().any():
        remedy = "launch with measure: {every: 100, losses: true}"
        raise AnalysisError(f"no losses were recorded beside {observable} on {layer}; {remedy}")
    pairs = [_intervals(trial, descent) for _, trial in rows.groupby("trial_id")]
    broken = sum(float(lost.sum()) for lost, _ in pairs)
    if broken == 0:
        return Coincidence(broken=0, ratio=np.nan, p_value=np.nan, trials=len(pairs), shifted=np.zeros(0))
    observed = sum(float(lost @ drop) for lost, drop in pairs) / broken
    generator = np.random.default_rng(seed)
    shifted = np.zeros(shifts)
    for lost, drop in pairs:
        every = np.array([lost @ np.roll(drop, by) for by in range(len(drop))])
        shifted += every[generator.integers(0, len(drop), shifts)] / broken
    average = float(np.mean(np.concatenate([drop for _, drop in pairs])))
    drops = average > 0
    return Coincidence(
        broken=int(broken), ratio=observed / average if drops else np.nan,
        p_value=float((1 + (shifted >= observed).sum()) / (1 + shifts)), trials=len(pairs),
        shifted=shifted / average if drops else np.zeros(0),
    )  # fmt: skip


def _intervals(trial: pd.DataFrame, descent: float) -> tuple[FloatArray, FloatArray]:
    """Generators lost and drop of log(train_loss) in each recorded interval, shapes (intervals,)."""
    trial = trial.sort_values("step")
    if len(trial) < 3:
        raise AnalysisError(f"a trial was recorded at {len(trial)} steps only; lower measure.every")
    loss = np.log(trial["train_loss"].to_numpy(dtype=np.float64))
    end = len(loss)
    if descent < 1:
        fallen = loss[0] - loss >= descent * (loss[0] - loss.min())
        end = max(int(np.argmax(fallen)) + 1, 3)
    lost = -np.diff(np.minimum.accumulate(trial["degree"].to_numpy(dtype=np.float64)))
    return lost[: end - 1], -np.diff(loss[:end])
