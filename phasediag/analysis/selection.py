"""Which trials tell of a law: those that ended well, in cells that have converged and are not cut off.

Every fit of counts takes its trials from here: the power law and its alternatives, the collapse of several
sizes, the combined strength.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.bootstrap import replicate_codes
from phasediag.analysis.declared_columns import declared_names
from phasediag.analysis.frame import categorical, coded, converged, has_status, numbers, with_formulas
from phasediag.analysis.labels import shown
from phasediag.analysis.measured import valueless
from phasediag.analysis.recount import COUNT_COLUMNS
from phasediag.analysis.versions import newest
from phasediag.arrays import BoolArray, FloatArray, IntArray
from phasediag.errors import AnalysisError

MOSTLY: Final = 0.5
"""Share of a cell's trials that must have converged: the first to converge are no fair sample of it."""
ROOM: Final = 0.5
"""Largest share of the width that a count may take up: beyond, it tells how many neurons there are."""
OUTSIDE: Final = "outside the window"
"""The reason of trials that a window leaves out."""
COUNTED: Final = frozenset((*COUNT_COLUMNS, "degree_of_breaking"))
"""The columns that are counts."""
_LONGER: Final = (
    "train longer: `phasediag launch SWEEP --until-converged` (--order for a count), or raise steps, "
    "learning_time or relaxations in the grid; `phasediag status SWEEP` tells how many more steps they need"
)
_REMEDIES: Final[Mapping[str, str]] = {
    "failed": "`phasediag launch GRID --retry-failed` trains them again",
    "not converged": _LONGER,
    "in cells most of which has not converged": _LONGER,
    "limited by the width": "their mean count takes up more than half of the width (as --room 0.5 says): "
    "give the grid a larger width, or keep them with --room 1 (room=1)",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """The trials that enter a fit of counts; arrays have shape (trials,)."""

    trials: pd.DataFrame
    at: FloatArray
    """x of each."""
    counts: FloatArray
    """y of each."""
    size: FloatArray | None
    """The width of each; None where the trials have none."""
    left_out: Mapping[str, int]
    """Trials that did not enter, by reason."""
    notes: tuple[str, ...] = ()
    """What must be known of how they were chosen, in whole sentences."""

    @classmethod
    def of(
        cls, trials: pd.DataFrame, x: str, y: str, *, named: Sequence[str] = (), by: str = "width",
        room: float = ROOM, window: tuple[float, float] | None = None, strength: bool = True,
    ) -> Sample:  # fmt: skip
        """Select the trials of the newest version that have ended well and converged, as `settled` tells.

        A cell is the trials of one x and one width. A cell enters if at least half of its trials have
        converged and, where no count exceeds its width, its mean is at most `room` times the width.

        Parameters
        ----------
        trials
            One row a trial, as `load_trials` returns it.
        x, y
            Columns or expressions.
        named
            Other columns or expressions that the fit needs.
        by
            The column of the widths; ignored where the trials lack it, and where it is x.
        room
            Largest share of the width that the mean count of a cell may take up; 1 keeps all.
        window
            The smallest and largest x to enter; None: all.
        strength
            Whether x is a strength, of which only positive values enter, and y a count, at least 0.

        Raises
        ------
        AnalysisError
            For unknown or unusable columns, a y without any value, or a negative count.
        """
        needed = (x, y, *named)
        trials = with_formulas(newest(trials, needed, pooled=True), needed)
        if categorical(trials, x):
            first = shown(coded(trials[x])[1][0])
            raise AnalysisError(
                f"the values of '{x}' have no order, so no law is fitted over them; fit the trials of each "
                f"by itself (--where {x}={first}), or draw them side by side: phasediag diagram SWEEP --x {x}"
            )
        at, counts = numbers(trials, x), numbers(trials, y)
        without = valueless(trials, y, counts)
        if without:
            raise AnalysisError(f"{without}; there is nothing to fit")
        size = numbers(trials, by) if by in trials and by != x else None
        done, notes = settled(trials, y)
        kept, left_out = select(trials, at, counts, size, room, strength=strength, done=done)
        sample = cls(trials=trials, at=at, counts=counts, size=size, left_out=left_out, notes=notes)
        sample = sample._only(kept)
        return sample if window is None else sample.within(window)

    def within(self, window: tuple[float, float]) -> Sample:
        """The trials between two values of x."""
        inside = (self.at >= window[0]) & (self.at <= window[1])
        return replace(self._only(inside), left_out={**self.left_out, OUTSIDE: int((~inside).sum())})

    def without(self, bad: BoolArray, reason: str) -> Sample:
        """All but some trials, which are left out for this reason."""
        return replace(self._only(~bad), left_out={**self.left_out, reason: int(bad.sum())})

    @property
    def reasons(self) -> dict[str, int]:
        """How many trials were left out, by the reasons for which some were."""
        return {reason: number for reason, number in self.left_out.items() if number}

    def replicates(self, cell: IntArray) -> IntArray:
        """The replicate of each trial, counted from 0 without gaps, alike in all cells.

        Parameters
        ----------
        cell
            The cell of each trial.
        """
        return np.unique(replicate_codes(self.trials, cell), return_inverse=True)[1].astype(np.int64)

    def _only(self, kept: BoolArray) -> Sample:
        return replace(
            self, trials=self.trials[kept], at=self.at[kept], counts=self.counts[kept],
            size=None if self.size is None else self.size[kept],
        )  # fmt: skip


def settled(trials: pd.DataFrame, y: str) -> tuple[BoolArray, tuple[str, ...]]:
    """Which trials have trained for long enough to tell of y, shape (trials,), and what that rests on.

    Of a count those in which it stays (`count_converged`, or else `unsettled` does not name it), where that
    was recorded; of everything else those whose phase stands (`converged`).

    Returns
    -------
    Which trials, and in whole sentences where another flag had to serve.
    """
    words = set(re.findall(r"[^\W\d]\w*", y))
    phase = converged(trials, when_unknown=False)
    unjudged = sorted(words & declared_names(trials))
    if unjudged:
        names = ", ".join(unjudged)
        return phase, (f"Whether {names} had settled is not known: `converged` looks at distances alone.",)
    if "converged" not in trials or words.isdisjoint(COUNTED):
        return phase, ()
    stays = _stays(trials, words)
    unknown = stays.isna().to_numpy() & trials["converged"].notna().to_numpy()
    done = np.where(unknown, phase, stays.to_numpy(dtype=bool, na_value=False))
    if not unknown.any():
        return done, ()
    return done, (
        f"{int(unknown.sum()):,} trials were recorded before counts had a flag of their own "
        "(count_converged); taken are those whose phase has converged, in which up to 5 % of all neurons may "
        "still merge.",
    )


def _stays(trials: pd.DataFrame, words: set[str]) -> pd.Series[Any]:
    """Whether the counts among some words stay in each trial, null where that was not recorded."""
    settled = trials.get("count_converged", pd.Series(pd.NA, index=trials.index)).astype("boolean")
    if "unsettled" not in trials:
        return settled
    named = {"degree_of_symmetry" if word == "degree_of_breaking" else word for word in words & COUNTED}
    moving = {text: not named.isdisjoint(text.split()) for text in trials["unsettled"].dropna().unique()}
    return settled | ~trials["unsettled"].map(moving).astype("boolean")


def select(
    trials: pd.DataFrame, at: FloatArray, counts: FloatArray, size: FloatArray | None, room: float = ROOM,
    *, strength: bool = True, done: BoolArray | None = None,
) -> tuple[BoolArray, dict[str, int]]:  # fmt: skip
    """The trials that enter a fit, and how many do not, by reason; the rules are those of `Sample.of`.

    Parameters
    ----------
    at, counts
        x and y of each trial, shape (trials,).
    size
        The width of each trial, shape (trials,); None where there is none.
    room, strength
        As `Sample.of` takes them.
    done
        Which trials have trained for long enough, shape (trials,); None: those that have converged.

    Raises
    ------
    AnalysisError
        Where a count is negative.
    """
    done = converged(trials, when_unknown=False) if done is None else done
    reasons = {
        "failed": has_status(trials, "failed"),
        "diverged": has_status(trials, "diverged"),
        "not converged": ~done,
        "without a value": ~np.isfinite(counts),
        "not at a positive x": ~(np.isfinite(at) & ((at > 0) | (not strength))),
    }
    left_out = {}
    kept = np.full(len(trials), True)
    for reason, bad in reasons.items():
        left_out[reason] = int((kept & bad).sum())
        kept &= ~bad
    kept &= has_status(trials, "ok")
    if strength and (counts[kept] < 0).any():
        raise AnalysisError("y is negative in some trials; a scaling is fitted to counts, at least 0")
    cell = _cells(at, size)
    late = _share(cell, has_status(trials, "ok"), done) < MOSTLY
    left_out["in cells most of which has not converged"] = int((kept & late).sum())
    kept &= ~late
    if strength and size is not None and np.isfinite(size[kept]).all() and (counts[kept] <= size[kept]).all():
        full = _share(cell, kept, counts) > room * size
        left_out["limited by the width"] = int((kept & full).sum())
        kept &= ~full
    return kept, left_out


def reasons_in_words(left_out: Mapping[str, int]) -> str:
    """`184 not converged, 3 failed`."""
    return ", ".join(f"{number} {reason}" for reason, number in left_out.items() if number) or "none"


def remedies(left_out: Mapping[str, int]) -> list[str]:
    """What brings trials in that were left out, one line a reason that has a remedy."""
    reasons: dict[str, list[str]] = {}
    for reason, remedy in _REMEDIES.items():
        if left_out.get(reason):
            reasons.setdefault(remedy, []).append(reason)
    return [f"{', '.join(names)}: {remedy}" for remedy, names in reasons.items()]


def entered(n: int, replicates: int, left_out: Mapping[str, int]) -> list[str]:
    """Which trials a fit took and which it left out, and what brings these in, line by line."""
    lines = [f"{n} trials, {replicates} replicates"]
    if left_out:
        lines.append(f"left out: {reasons_in_words(left_out)}")
        lines += [f"  {line}" for line in remedies(left_out)]
    return lines


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
