"""A column along one parameter: means over replicates with their intervals."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from phasediag.analysis.bootstrap import CONFIDENCE, FEWEST_REPLICATES
from phasediag.analysis.declared import about
from phasediag.analysis.frame import converged, has_status, need_columns, numbers
from phasediag.errors import AnalysisError

MOST_SLICES: Final = 6
"""More curves than this are not told apart."""


def slices(
    trials: pd.DataFrame, x: str, order: str = "degree_normalized", by: str | None = None
) -> pd.DataFrame:
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

    Returns
    -------
    One row a value of `by` and x: both under their own names, `mean`, `low`, `high` (Student's 95 %
    interval of the mean, cut where no mean can be; NaN with fewer than 3 values), `trials` (with a
    value), `unconverged_share`.

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
    frame["unconverged"] = ~converged(trials, when_unknown=True)
    kept = frame[has_status(trials, "ok") & np.isfinite(frame["value"])]
    if kept.empty:
        raise AnalysisError(f"no trial that is ok has a finite {order}; choose another column")
    found: pd.DataFrame = kept.groupby(keys, dropna=False).agg(
        mean=("value", "mean"), std=("value", "std"), trials=("value", "size"),
        unconverged_share=("unconverged", "mean"),
    )  # fmt: skip
    count = found["trials"].to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * found["std"].to_numpy() / np.sqrt(count)
    half = np.where(count >= FEWEST_REPLICATES, half, np.nan)
    low, high = (np.clip(found["mean"] + side * half, *about(trials, order).bounds) for side in (-1, 1))
    found = found.assign(low=low, high=high).reset_index()
    return found.reindex(columns=[*keys, "mean", "low", "high", "trials", "unconverged_share"])
