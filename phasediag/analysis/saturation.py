"""Whether the number of neurons saturates, at weak decay, at that of the network that made the data."""

from __future__ import annotations

import numpy as np
import pandas as pd

from phasediag.analysis.comparison import student
from phasediag.analysis.settled_counts import LARGEST_DIFFERENCE, SettledCounts
from phasediag.measuring.convergence import SMALL_SHARE


def saturation(counts: SettledCounts) -> pd.DataFrame:
    """The number of neurons at the smallest settled x of each teacher, beside the teacher's.

    Parameters
    ----------
    counts
        Told apart by one column: the width of the teacher.

    Returns
    -------
    One row a teacher: the column of `apart`, the smallest x at which the largest width is settled, its
    `mean`, the `difference` to the teacher's width with its 95 % interval `low`, `high`, and a `verdict`:
    `saturates` where that lies within half a neuron or 5 %, `above`, `below`, or `cannot tell`.
    """
    (teacher,) = counts.apart
    settled = counts.cells[counts.cells["settled"]]
    widest = counts.cells.groupby(teacher)[counts.by].max()
    rows = []
    for width in widest.index:
        own = settled[(settled[teacher] == width) & (settled[counts.by] == widest[width])]
        if not len(own):
            rows.append({teacher: width, "verdict": "cannot tell"})
            continue
        least = own.loc[own[counts.x].idxmin()]
        chosen = counts.replicates[
            (counts.replicates[teacher] == width) & (counts.replicates[counts.x] == least[counts.x])
            & (counts.replicates[counts.by] == widest[width]) & counts.replicates["settled"]
        ]  # fmt: skip
        difference, low, high = student(chosen["neurons"].to_numpy(dtype=np.float64) - width)
        most = max(LARGEST_DIFFERENCE, SMALL_SHARE * width)
        verdict = "cannot tell"
        if low >= -most and high <= most:
            verdict = "saturates"
        elif low > most or high < -most:
            verdict = "above" if low > most else "below"
        rows.append({
            teacher: width, counts.x: least[counts.x], "mean": least["mean"], "difference": difference,
            "low": low, "high": high, "verdict": verdict,
        })  # fmt: skip
    return pd.DataFrame(rows)
