"""How the points of a sweep stand: which are settled, and how long each was trained.

A point is trained on as a whole, with all its replicates, as soon as one of them is not settled. Replicates
are never chosen by how they came out: those that settle late are no fair sample of their point, and a mean
over trials of several lengths, chosen so, would be biased.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.frame import has_status, with_formulas
from phasediag.analysis.lengths import points_of
from phasediag.analysis.selection import settled
from phasediag.analysis.versions import VersionsWarning, newest
from phasediag.arrays import BoolArray, FloatArray, IntArray
from phasediag.errors import PhasediagError
from phasediag.storage.launches import LENGTHS, added_to
from phasediag.sweeps.designs import Design

DOUBLE: Final = 2.0
"""By how much a round lengthens what it trains on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """A grid that is no extension, and the present length of each of its points."""

    design: Design
    first: float
    """By how much its own trials are longer than those first launched: more than 1 of a refinement of longer
    trials."""
    point: IntArray
    """The point of each of its trials, as `Standing` numbers them; -1 where none is recorded, shape
    (trials,)."""
    factor: FloatArray
    """By how much the trials that statistics take of each point are longer than those first launched; NaN of
    the points of other grids, shape (points,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """The points of a sweep; arrays of shape (points,) unless said otherwise."""

    trials: pd.DataFrame
    """All trials, of every length."""
    taken: BoolArray
    """Which of them statistics take, shape (trials,)."""
    point: IntArray
    """The point of each trial, shape (trials,)."""
    here: BoolArray
    """Which points have trials that statistics take."""
    late: BoolArray
    """Which have a trial that is ok and not settled."""
    unknown: BoolArray
    """Which have a trial that is ok and of which it is not known."""
    failed: BoolArray
    """Which have a trial that failed when it was trained for longer: no launch but one that trains failed
    trials again completes them."""
    families: tuple[Family, ...]
    notes: tuple[str, ...]
    """What it rests on, in whole sentences."""

    @classmethod
    def of(cls, trials: pd.DataFrame, designs: Sequence[Design], order: str) -> Standing:
        """Judge the points of some grids of a sweep by an order parameter, as fits and diagrams judge them.

        Parameters
        ----------
        trials
            All trials of the sweep, at least one, as `load_trials` returns them.
        designs
            Grids of the sweep, with all extensions of them.
        order
            Of a count the flag of that count decides, of everything else that of the phase.

        Raises
        ------
        PhasediagError
            Where a grid asks for several lengths of the same point, or there is no such order parameter.
        """
        with_formulas(trials, (order,))
        point = points_of(trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionsWarning)
            held = newest(trials, (order,), pooled=True)
        chosen = held.index.to_numpy()
        done, notes = settled(held, order)
        ok = has_status(held, "ok")
        judged = ok & held["converged"].notna().to_numpy()
        steps = trials["steps"].to_numpy(dtype=np.float64, na_value=np.nan)
        count = int(point.max()) + 1
        length = np.full(count, np.inf)
        length[point[chosen]] = steps[chosen]
        taken = np.zeros(len(trials), dtype=np.bool_)
        taken[chosen] = True
        groups = _PointTally(count)
        return cls(
            trials=trials, taken=taken, point=point, here=groups.any(point[chosen]),
            late=groups.any(point[chosen][judged & ~done]), unknown=groups.any(point[chosen][ok & ~judged]),
            failed=groups.any(point[has_status(trials, "failed") & (steps > length[point])]),
            families=_families(trials, taken, point, designs), notes=notes,
        )  # fmt: skip

    @property
    def points(self) -> BoolArray:
        """The points of these grids that statistics take. Shape (points,)."""
        asked = [np.isfinite(family.factor) for family in self.families]
        mine: BoolArray = self.here & np.any([np.zeros_like(self.here), *asked], axis=0)
        return mine

    @property
    def unsettled(self) -> BoolArray:
        """The points that statistics take and that are not settled, shape (points,)."""
        return self.points & self.late

    def coming(self, most: float) -> tuple[float, BoolArray]:
        """The next round: to how many times their first steps it trains, and which points.

        Points are doubled, the shortest ones first, so that a launch that was interrupted goes on as one
        that was not.

        Returns
        -------
        The factor, NaN where there is nothing to train, and the points.
        """
        factor = self.factor
        able = self.unsettled & ~self.failed & (factor < most)
        longer = np.where(able, np.minimum(DOUBLE * factor, most), np.inf)
        least = float(longer.min(initial=math.inf))
        return (least, able & (longer == least)) if math.isfinite(least) else (math.nan, able)

    @property
    def factor(self) -> FloatArray:
        """How many times their first steps the trials that statistics take are long; NaN of other points.

        Shape (points,).
        """
        none: FloatArray = np.full(len(self.here), np.nan)
        longest: FloatArray = np.fmax.reduce([none, *(each.factor for each in self.families)])
        return longest

    def trials_of(self, points: BoolArray) -> pd.DataFrame:
        """The trials that statistics take of some points."""
        rows: pd.DataFrame = self.trials[self.taken & points[self.point]]
        return rows


@dataclass(frozen=True, slots=True)
class _PointTally:
    """So many points."""

    count: int

    def any(self, points: IntArray) -> BoolArray:
        """Which points are among these, shape (count,)."""
        return np.bincount(points, minlength=self.count) > 0


def _families(
    trials: pd.DataFrame, taken: BoolArray, point: IntArray, designs: Sequence[Design]
) -> tuple[Family, ...]:
    recorded = pd.Index(trials["trial_id"])
    lengths = {design.name: design.extends[1] for design in designs if design.extends}
    families = []
    for design in designs:
        if design.extends:
            continue
        first = lengths.get(added_to(design.grid.text), 1.0)
        factor = np.full(int(point.max()) + 1, np.nan)
        for longer in designs:
            if longer is design or (longer.extends and longer.extends[0] == design.name):
                rows = recorded.get_indexer(longer.trials.trial_id)
                rows = rows[rows >= 0]
                rows = rows[taken[rows]]
                times = first * (longer.extends[1] if longer.extends else 1.0)
                factor[point[rows]] = np.fmax(factor[point[rows]], times)
        rows = recorded.get_indexer(design.trials.trial_id)
        own = np.where(rows >= 0, point[rows], -1)
        _check_one_length(design, own)
        families.append(Family(design=design, first=first, point=own, factor=factor))
    return tuple(families)


def _check_one_length(design: Design, point: IntArray) -> None:
    if design.grid.fixed.get("ramp") is not None:
        raise PhasediagError(
            f"{design.name} has a ramp: a longer trial walks through it more slowly and goes on from none; "
            "`phasediag launch SWEEP --extend 2` trains all of it again"
        )
    keys = pd.DataFrame({"point": point, "replicate": design.trials.replicate})[point >= 0]
    if keys.duplicated().any():
        name = next((name for name in LENGTHS if name in design.grid.given), LENGTHS[0])
        raise PhasediagError(
            f"{design.name} has {name} as an axis of its own: its longer trials are in the sweep already; "
            f"compare them along {name}, or add larger values to the axis and launch it again"
        )
