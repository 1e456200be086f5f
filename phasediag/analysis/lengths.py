"""Trials of the same point that were trained for several lengths: which is the longer of which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.declared_columns import results_of
from phasediag.analysis.frame import Groups, coded, has_status
from phasediag.arrays import BoolArray, FloatArray, IntArray
from phasediag.storage.launches import LENGTHS
from phasediag.trial import KINDS

ORIGINAL: Final = 1.0
"""The factor of trials that no extension asked for."""


def points_of(trials: pd.DataFrame) -> IntArray:
    """The point of each trial whatever its length, shape (trials,); replicates share it.

    Trials of other files of the user's are of another point: what differs between them is no matter of time.
    """
    aside = {*results_of(trials), *LENGTHS} - {f"{kind}_source" for kind in KINDS}
    parameters = tuple(str(name) for name in trials.columns if name not in aside)
    return Groups.of(trials, tuple(n for n in parameters if len(coded(trials[n])[1]) > 1)).cell


def lengthened(short: FloatArray, long: FloatArray, factors: Sequence[float]) -> BoolArray:
    """Whether a number of steps is another one times a factor of extensions, or times the ratio of two.

    Parameters
    ----------
    short, long
        Whole steps, of any one shape; both may be rounded up.
    factors
        Those of `Launches`.
    """
    every = [ORIGINAL, *factors]
    ratios = sorted({b / a for a in every for b in every if b > a})
    multiple = np.zeros(np.broadcast(short, long).shape, dtype=np.bool_)
    for ratio in ratios:
        multiple |= (ratio * (short - 1) < long) & (long < ratio * short + 1)
    return multiple & (long > short)


def superseded(trials: pd.DataFrame, factors: Sequence[float]) -> tuple[BoolArray, BoolArray]:
    """Which trials are not the ones to take where extensions trained some of them for longer.

    Of each point the trials of the longest length are taken for which as many are recorded as for a shorter
    one: a point whose extension is not complete keeps its length.

    Returns
    -------
    Shorter trials that longer ones replace, and longer ones that are not complete, shape (trials,) each.
    """
    steps = trials["steps"].to_numpy(dtype=np.float64, na_value=np.nan)
    table = pd.DataFrame({"point": points_of(trials), "steps": steps, "ended": ~has_status(trials, "failed")})
    lengths = table.groupby(["point", "steps"])["ended"].sum().rename("number").reset_index()
    pairs = lengths.merge(lengths, on="point", suffixes=("", "_long"))
    longer = lengthened(pairs["steps"].to_numpy(), pairs["steps_long"].to_numpy(), factors)
    pairs = pairs[longer]
    complete = pairs["number_long"] >= pairs["number"]
    replaced = pairs.loc[complete, ["point", "steps"]]
    partial = pairs.loc[~complete, ["point", "steps_long"]].set_axis(["point", "steps"], axis=1)
    keys = pd.MultiIndex.from_frame(table[["point", "steps"]])
    dropped = [keys.isin(pd.MultiIndex.from_frame(rows)) for rows in (replaced, partial)]
    return dropped[0], dropped[1] & ~dropped[0]
