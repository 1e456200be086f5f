"""How many neurons a layer has, told by the largest gap in its insertion distances: no threshold enters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

GAP: Final = 10.0
"""Ratio of neighbouring distances above which they are told apart: neurons that differ, and copies."""
_ROUNDING: Final = 64
"""Times the precision of the largest distance: below, a distance is one of rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapCut:
    """Distances, descending, cut where the ratio of two neighbours is largest."""

    above: int
    """How many are above the cut."""
    least: float
    """The smallest of those."""
    merged: float
    """The largest below."""
    gap: float
    """`least` over `merged`; what lies below the rounding of the largest distance counts as that."""
    second: float
    """The next largest ratio of two neighbours: where it is large too, another cut was as good. 1 of two
    distances."""


def cut_at_gap(distances: FloatArray) -> GapCut:
    """Cut two or more distances of any order at their largest gap.

    Parameters
    ----------
    distances
        At least 0, shape (neurons,); float32 ones are taken for no more precise than that.
    """
    precise = np.finfo(distances.dtype if distances.dtype == np.float32 else np.float64).eps
    order = np.sort(distances.astype(np.float64))[::-1]
    least = max(_ROUNDING * float(precise) * float(order[0]), 1e-300)
    ratios = np.maximum(order[:-1], least) / np.maximum(order[1:], least)
    last = int(np.argmax(ratios))
    return GapCut(
        above=last + 1, least=float(order[last]), merged=float(order[last + 1]), gap=float(ratios[last]),
        second=float(np.delete(ratios, last).max(initial=1.0)),
    )  # fmt: skip


def gap_counts(trials: pd.DataFrame, measurements: pd.DataFrame) -> pd.DataFrame:
    """The number of neurons of each trial by the largest gap in its insertion distances.

    Distances, descending, are cut where the ratio of two neighbours is largest: what is above are neurons
    that differ, what is below copies of them and what is dead. A layer in which no distance reaches the
    absolute threshold of its trial is gone: it has none, whatever the ratios of what decays to zero.

    Parameters
    ----------
    trials
        As `load_trials` gives them.
    measurements
        As `load_measurements(sweep, observable="classes", last=True)` gives them, or of `directions`, with
        their distances, of one layer.

    Returns
    -------
    One row a trial that is `ok` and has two distances or more: `trial_id`, `neurons`, `gap` and `second_gap`
    (as `GapCut`; infinite and 1 of a layer that is gone), and `decided`: whether the gap is above 10.

    Raises
    ------
    AnalysisError
        Where the measurements are of several observables or layers, or lack their distances.
    """
    if measurements["observable"].nunique() > 1 or measurements["trial_id"].duplicated().any():
        raise AnalysisError(
            "numbers of neurons need one measurement a trial; give load_measurements(sweep, "
            'observable="directions", layer="hidden.1", last=True)'
        )
    rows = trials.loc[trials["status"].eq("ok")].merge(measurements[["trial_id", "distances"]], on="trial_id")
    if rows["distances"].isna().any():
        raise AnalysisError("distances were not stored; set measure: {distances: last} and --remeasure")
    gone = rows["threshold_absolute"] if "threshold_absolute" in rows else pd.Series(0.0, index=rows.index)
    cut = [
        (trial, *_count(np.asarray(distances), threshold))
        for trial, distances, threshold in zip(rows["trial_id"], rows["distances"], gone, strict=True)
        if len(distances) > 1
    ]
    table = pd.DataFrame(cut, columns=["trial_id", "neurons", "gap", "second_gap"])
    return table.assign(decided=table["gap"] > GAP)


def _count(distances: FloatArray, threshold: float) -> tuple[int, float, float]:
    if not distances.max() >= threshold:
        return 0, float("inf"), 1.0
    cut = cut_at_gap(distances)
    return cut.above, cut.gap, cut.second
