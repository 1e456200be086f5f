"""Which trials tell of a law: those that ended well, in cells that have converged and are not cut off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.frame import converged, has_status
from phasediag.errors import AnalysisError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MOSTLY: Final = 0.5
"""Share of a cell's trials that must have converged: the first to converge are no fair sample of it."""
ROOM: Final = 0.5
"""Largest share of the width that a count may take up: beyond, it tells how many neurons there are."""
_LONGER: Final = (
    "train longer: raise steps, learning_time or relaxations in the grid and launch again; "
    "`phasediag status SWEEP` tells how many more steps they need"
)
_REMEDIES: Final[Mapping[str, str]] = {
    "failed": "`phasediag launch GRID --retry-failed` trains them again",
    "not converged": _LONGER,
    "in cells most of which has not converged": _LONGER,
    "limited by the width": "their mean count takes up more than half of the width (as --room 0.5 says): "
    "give the grid a larger width, or keep them with --room 1 (room=1)",
}


def select(
    trials: pd.DataFrame, at: FloatArray, counts: FloatArray, size: FloatArray | None, room: float = ROOM
) -> tuple[BoolArray, dict[str, int]]:
    """The trials that enter a fit, and how many do not, by reason.

    A cell is the trials of one x and one size. A cell enters if at least half of its trials have
    converged and, where no count exceeds its size (as of neurons among `width`), its mean is at most `room`
    times the size.

    Parameters
    ----------
    at, counts
        x and y of each trial, shape (trials,).
    size
        The width of each trial, shape (trials,); None where there is none.

    Raises
    ------
    AnalysisError
        Where a count is negative.
    """
    reasons = {
        "failed": has_status(trials, "failed"),
        "diverged": has_status(trials, "diverged"),
        "not converged": ~converged(trials, when_unknown=False),
        "without a value": ~np.isfinite(counts),
        "not at a positive x": ~(np.isfinite(at) & (at > 0)),
    }
    left_out = {}
    kept = np.full(len(trials), True)
    for reason, bad in reasons.items():
        left_out[reason] = int((kept & bad).sum())
        kept &= ~bad
    kept &= has_status(trials, "ok")
    if (counts[kept] < 0).any():
        raise AnalysisError("y is negative in some trials; a scaling is fitted to counts, at least 0")
    cell = _cells(at, size)
    late = _share(cell, has_status(trials, "ok"), converged(trials, when_unknown=False)) < MOSTLY
    left_out["in cells most of which has not converged"] = int((kept & late).sum())
    kept &= ~late
    if size is not None and np.isfinite(size[kept]).all() and (counts[kept] <= size[kept]).all():
        full = _share(cell, kept, counts) > room * size
        left_out["limited by the width"] = int((kept & full).sum())
        kept &= ~full
    return kept, left_out


def told(left_out: Mapping[str, int]) -> str:
    """`184 not converged, 3 failed`."""
    return ", ".join(f"{number} {reason}" for reason, number in left_out.items() if number) or "none"


def advice(left_out: Mapping[str, int]) -> list[str]:
    """What brings trials in that were left out, one line a reason that has a remedy."""
    reasons: dict[str, list[str]] = {}
    for reason, remedy in _REMEDIES.items():
        if left_out.get(reason):
            reasons.setdefault(remedy, []).append(reason)
    return [f"{', '.join(names)}: {remedy}" for remedy, names in reasons.items()]


def _cells(at: FloatArray, size: FloatArray | None) -> IntArray:
    """The number of each trial's cell, shape (trials,)."""
    keys = pd.DataFrame({"at": at, "size": 0.0 if size is None else size})
    cells: IntArray = (
        keys.groupby(["at", "size"], dropna=False, sort=False).ngroup().to_numpy().astype(np.int64)
    )
    return cells


def _share(cell: IntArray, among: BoolArray, values: npt.NDArray[np.generic]) -> FloatArray:
    """The mean over each trial's cell of what is `among`, NaN where there is none, shape (trials,)."""
    cells = int(cell.max()) + 1
    total = np.bincount(cell[among], values[among].astype(np.float64), minlength=cells)
    number = np.bincount(cell[among], minlength=cells)
    means: FloatArray = np.divide(total, number, out=np.full(cells, np.nan), where=number > 0)
    return means[cell]
