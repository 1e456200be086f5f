"""Axes that are results: a number that differs between the replicates of a point has no grid of its own.

`learning_rate * sharpness_at_start / 2`, the learning rate in units of 2 / sharpness, takes another value in
every trial. Trials are put into bins of it, as wide as the steps in which the grid walks along it, so that
each replicate has about one trial a bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.axes import axes_of, parameters_of
from phasediag.analysis.frame import categorical, coded, names_in, numbers
from phasediag.analysis.scale import Scale
from phasediag.arrays import FloatArray, IntArray
from phasediag.errors import AnalysisError

MOST_BINS: Final = 1000
"""More than a figure can show."""


def with_bins(trials: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The trials, with the middle of its bin in place of each value of an axis that is a result.

    An axis is one where it differs between trials of one point (`point_id`); other axes stay as they are.
    Bins are equally wide on the scale on which the axis is closest to evenly spaced, and begin half a bin
    before the smallest value. They are as wide as the median distance between neighbouring values of one
    replicate, where the parameters that the axis is computed from are all that varies; of an axis computed
    from results alone, as wide as numpy's rule `auto` makes them.

    Parameters
    ----------
    trials
        One row a trial, as `with_formulas` returns it. Where `point_id` or `replicate` is not known, nothing
        is put into bins.
    names
        The axes, all of them columns.

    Returns
    -------
    The trials, and the parameters that the axes in bins are computed from, such as `learning_rate`: along
    these axes they vary, and are no axes besides.

    Raises
    ------
    AnalysisError
        Where the values lie so unevenly that more than 1,000 bins would be needed.
    """
    if not {"point_id", "replicate"} <= set(trials.columns) or trials["point_id"].isna().any():
        return trials, ()
    point = coded(trials["point_id"])[0]
    measured = [n for n in names if not categorical(trials, n) and _differs(numbers(trials, n), point)]
    read = {name: names_in(trials, name) & set(parameters_of(trials)) for name in measured}
    behind = {
        name: tuple(sorted(each for each in read[name] if not _differs(numbers(trials, each), point)))
        for name in measured
    }
    middles = {name: _middles(trials, name, behind[name]) for name in measured}
    return trials.assign(**middles), tuple(sorted({each for names in behind.values() for each in names}))


def _differs(values: FloatArray, point: IntArray) -> bool:
    """Whether trials of one point have several values; nulls are no value."""
    known = np.isfinite(values)
    one = np.full(point.max() + 1, np.nan)
    one[point[known]] = values[known]
    return bool((values[known] != one[point[known]]).any())


def _middles(trials: pd.DataFrame, name: str, behind: Sequence[str]) -> FloatArray:
    """The middle of each trial's bin, NaN where it has no value, shape (trials,)."""
    values = numbers(trials, name)
    known = np.isfinite(values)
    scale = Scale.of(np.unique(values[known]))
    coordinate = scale.forward(values[known])
    width = _step(trials[known].assign(_at=coordinate), tuple(axes_of(trials, behind)))
    place = np.rint((coordinate - coordinate.min()) / width)
    if place.max() >= MOST_BINS:
        raise AnalysisError(
            f"'{name}' differs between the replicates of a point, and its values lie too unevenly for bins "
            f"({place.max() + 1:.0f} needed, {MOST_BINS} are allowed); choose a parameter as the axis"
        )
    middles = np.full(len(values), np.nan)
    middles[known] = scale.inverse(coordinate.min() + place * width)
    return middles


def _step(trials: pd.DataFrame, others: tuple[str, ...]) -> float:
    """How far apart the values `_at` of one replicate lie where its other axes are the same."""
    lines = trials[["replicate", *others, "_at"]].drop_duplicates().sort_values("_at")
    steps = lines.groupby(["replicate", *others], dropna=False)["_at"].diff().dropna().to_numpy(np.float64)
    if len(steps):
        return float(np.median(steps))
    edges = np.histogram_bin_edges(trials["_at"].to_numpy(np.float64), "auto")
    return float(edges[1] - edges[0])
