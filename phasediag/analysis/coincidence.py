"""Whether symmetries break while the loss drops: a permutation test over the courses of several trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.frame import need_columns
from phasediag.errors import AnalysisError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coincidence:
    """How much faster the loss drops while symmetries break than it does on average."""

    broken: int
    """Generators that were lost, over all trials."""
    ratio: float
    """Mean of -d log(loss) a recorded interval where generators are lost, over its mean in all; NaN where
    none is lost, or the losses as a whole do not drop."""
    p_value: float
    """Share of the shifted courses with at least this mean; NaN where no generator is lost."""
    trials: int


def coincidence(
    courses: Sequence[tuple[pd.DataFrame, pd.DataFrame]],
    layer: str = "hidden.1",
    observable: str = "permutation",
    *,
    shifts: int = 9999,
    seed: int = 0,
) -> Coincidence:
    """Test whether the losses of generators fall together with drops of the loss.

    The statistic is the mean drop of log(train_loss) over the recorded intervals, each weighted by the
    generators lost in it (a degree that grows counts for nothing). Under the null hypothesis the two
    courses of a trial are independent: one is shifted against the other by a random number of intervals,
    cyclically, so that each keeps its own autocorrelation.

    Parameters
    ----------
    courses
        Of each trial, `history.parquet` and `losses.parquet` of a rerun, recorded at the same steps.
    shifts
        Random shifts drawn; the p-value is at least 1 / (shifts + 1).

    Raises
    ------
    AnalysisError
        Where a trial's two tables were recorded at different steps, or there are none.
    """
    if not courses:
        raise AnalysisError("coincidence needs the course of at least one trial; see `phasediag rerun`")
    pairs = [_intervals(history, losses, layer, observable) for history, losses in courses]
    broken = sum(float(lost.sum()) for lost, _ in pairs)
    if broken == 0:
        return Coincidence(broken=0, ratio=np.nan, p_value=np.nan, trials=len(pairs))
    observed = sum(float(lost @ drop) for lost, drop in pairs) / broken
    generator = np.random.default_rng(seed)
    shifted = np.zeros(shifts)
    for lost, drop in pairs:
        every = np.array([lost @ np.roll(drop, by) for by in range(len(drop))])
        shifted += every[generator.integers(0, len(drop), shifts)] / broken
    average = float(np.mean(np.concatenate([drop for _, drop in pairs])))
    return Coincidence(
        broken=int(broken), ratio=observed / average if average > 0 else np.nan,
        p_value=float((1 + (shifted >= observed).sum()) / (1 + shifts)), trials=len(pairs),
    )  # fmt: skip


def _intervals(
    history: pd.DataFrame, losses: pd.DataFrame, layer: str, observable: str
) -> tuple[FloatArray, FloatArray]:
    """Generators lost and drop of log(train_loss) in each recorded interval, shapes (intervals,)."""
    need_columns(history, ("step", "layer", "observable", "degree"))
    need_columns(losses, ("step", "train_loss"))
    rows = history[(history["layer"] == layer) & (history["observable"] == observable)].sort_values("step")
    losses = losses.sort_values("step")
    if len(rows) < 3 or rows["step"].tolist() != losses["step"].tolist():
        raise AnalysisError(
            f"{observable} on {layer} was recorded at {len(rows)} steps, the loss at {len(losses)}; both "
            "must be of one rerun, and at least three"
        )
    lost = -np.diff(rows["degree"].to_numpy(dtype=np.float64))
    drop = -np.diff(np.log(losses["train_loss"].to_numpy(dtype=np.float64)))
    return np.maximum(lost, 0.0), drop
