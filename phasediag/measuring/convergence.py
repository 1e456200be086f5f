"""Whether a run was long enough: what its distances would do if it went on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from phasediag.arrays import BoolArray, FloatArray

SMALL_DRIFT: Final = 0.05
"""Change of a normalized degree below which it counts as settled."""
RELAXATIONS: Final = 10.0
"""Learning time times weight decay that a run needs, for what decays to have decayed."""
ROUNDING: Final = 1e-6
"""Relative error of relaxations that is rounding: rates are single precision inside a program."""
SMALLEST_SHARE: Final = 1e-26
"""Share of the threshold below which a distance is as good as zero."""
FEW: Final = 20
"""Counts up to this one must stay as they are to be settled."""
SMALL_SHARE: Final = 0.05
"""Share of what a count has beyond that may change."""
LONGER: Final = 3.0
"""For so many times its length a run is continued in thought to see whether its counts stay."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarginCourse:
    """`log_margin` of some distances at half, at 0.9 and at the end of a run, shape (trials, length) each."""

    half: FloatArray
    late: FloatArray
    last: FloatArray


def relaxed(relaxations: FloatArray) -> BoolArray:
    """Whether so many relaxations are enough; a relative 1e-6 less is rounding. Any shape, kept."""
    return np.asarray(relaxations >= RELAXATIONS * (1 - ROUNDING))


def log_margin(distances: FloatArray, epsilon: FloatArray) -> FloatArray:
    """log(distance / threshold): negative where a distance counts as zero.

    Parameters
    ----------
    distances
        Shape (trials, length).
    epsilon
        Shape (trials,).

    Returns
    -------
    Float64, sorted along the length, so that neurons which change places do not look like motion.
    """
    share = np.divide(distances, epsilon[:, None], out=np.ones(distances.shape), where=epsilon[:, None] > 0)
    return np.sort(np.log(np.maximum(share, SMALLEST_SHARE)), axis=1)


def _rates(course: MarginCourse, steps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Change of each margin a step over the last half and over the last tenth; NaN or inf without steps."""
    full = np.floor(steps)[:, None]
    tenth, halves = full - np.round(0.9 * full), full - full // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return (course.last - course.half) / halves, (course.last - course.late) / tenth


def steps_to_crossing(course: MarginCourse, steps: FloatArray) -> FloatArray:
    """In how many more steps each distance crosses its threshold, if it goes on as it did.

    Distances relax exponentially, so that their logarithm is extrapolated linearly: at the rate of the
    last half or of the last tenth of the run, whichever is slower, and not at all where their signs
    differ. So neither noise, which changes sign, nor what ended early in the last half counts as motion.
    Where relaxation is algebraic (at a transition) this overestimates the motion by at most 2.

    Parameters
    ----------
    steps
        Length of the run, shape (trials,).

    Returns
    -------
    Float64, shape (trials, length); infinite where it never crosses.
    """
    slow, recent = _rates(course, steps)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(slow * recent > 0, np.sign(slow) * np.minimum(np.abs(slow), np.abs(recent)), 0.0)
        crossing = -course.last / rate
    wait: FloatArray = np.where(rate * course.last < 0, crossing, np.inf)
    return wait


def more_steps(
    waits: list[FloatArray], drift: FloatArray, steps: FloatArray, relaxing: FloatArray
) -> FloatArray:
    """How many more steps a trial needs until its phase stands; 0: none, it has converged.

    A trial has converged if |drift| is small, the distances that would cross their threshold in a run of
    twice the length are few (`SMALL_DRIFT` of each observable's), and it relaxed for long enough. So much
    decides on which side of its level a normalized degree is; of counts see `count_more_steps`.

    Parameters
    ----------
    waits
        `steps_to_crossing` of each observable, shapes (trials, length).
    drift
        Change of the normalized degree in the last tenth of the run, NaN without one, shape (trials,).
    steps
        Length of the run, shape (trials,).
    relaxing
        Steps after which decay has acted for `RELAXATIONS`, 0 without decay, shape (trials,).
    """
    needed = np.maximum(0.0, np.ceil((1 - ROUNDING) * relaxing - steps))
    needed = np.where(np.abs(drift) > SMALL_DRIFT, np.maximum(needed, steps), needed)
    for wait in waits:
        soon = wait <= steps[:, None]
        moving = soon.mean(axis=1) > SMALL_DRIFT
        longest = np.where(soon, wait, 0.0).max(axis=1, initial=0.0)
        needed = np.where(moving, np.maximum(needed, np.ceil(longest)), needed)
    return needed


def steps_to_change(course: MarginCourse, steps: FloatArray) -> FloatArray:
    """In how many more steps each distance may cross its threshold, taken strictly.

    It may if the trend of the last half or that of the last tenth brings it there within `LONGER` times the
    length of the run, or if it is closer than it moved in the last tenth, either way, as what only
    fluctuates is. Neurons merge slowly, one after the other and ever later: most of those that do between one
    and four lengths of a run pass what `steps_to_crossing` asks (`docs/measures.md` has figures).

    Parameters
    ----------
    steps
        Length of the run, shape (trials,).

    Returns
    -------
    Float64, shape (trials, length); of what fluctuates another length of the run; infinite where it stays.
    """
    length = steps[:, None]
    hovering = np.abs(course.last) < np.abs(course.last - course.late)
    soonest: FloatArray = np.where(hovering, length, np.inf)
    for rate in _rates(course, steps):
        with np.errstate(divide="ignore", invalid="ignore"):
            wait = np.where(rate * course.last < 0, -course.last / rate, np.inf)
        soonest = np.minimum(soonest, np.where(wait <= LONGER * length, wait, np.inf))
    return soonest


def tolerated(counts: FloatArray) -> FloatArray:
    """How many distances may cross while a count still stays: `SMALL_SHARE` of what it has beyond `FEW`.

    Any shape, kept.
    """
    return np.floor(SMALL_SHARE * np.maximum(counts - FEW, 0.0))


def count_more_steps(waits: FloatArray, counts: FloatArray) -> FloatArray:
    """How many more steps a count needs until it stays; 0: it has settled. Shape (trials,).

    A count has settled if no more distances than are `tolerated` may cross their threshold: as many as the
    count, not as the width, allows.

    Parameters
    ----------
    waits
        `steps_to_change`, shape (trials, length).
    counts
        What is counted at the end, shape (trials,).
    """
    soon = np.isfinite(waits)
    moving = soon.sum(axis=1) > tolerated(counts)
    longest = np.where(soon, waits, 0.0).max(axis=1, initial=0.0)
    return np.where(moving, np.maximum(1.0, np.ceil(longest)), 0.0)
