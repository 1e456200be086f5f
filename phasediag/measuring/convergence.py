"""Whether a run was long enough: what its distances would do if it went on for as long again."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SMALL_DRIFT: Final = 0.05
"""Change of a normalized degree below which it counts as settled."""
RELAXATIONS: Final = 10.0
"""Learning time times weight decay that a run needs, for what decays to have decayed."""
ROUNDING: Final = 1e-6
"""Relative error of relaxations that is rounding: rates are single precision inside a program."""
SMALLEST_SHARE: Final = 1e-26
"""Share of the threshold below which a distance is as good as zero."""


def relaxed(relaxations: FloatArray) -> BoolArray:
    """Whether so many relaxations are enough; a relative 1e-6 less is rounding."""
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


def steps_to_crossing(half: FloatArray, late: FloatArray, last: FloatArray, steps: FloatArray) -> FloatArray:
    """In how many more steps each distance crosses its threshold, if it goes on as it did.

    Distances relax exponentially, so that their logarithm is extrapolated linearly: at the rate of the
    last half or of the last tenth of the run, whichever is slower, and not at all where their signs
    differ. So neither noise, which changes sign, nor what ended early in the last half counts as motion.
    Where relaxation is algebraic (at a transition) this overestimates the motion by at most 2.

    Parameters
    ----------
    half, late, last
        `log_margin` at half, at 0.9 and at the end of the run, shape (trials, length).
    steps
        Length of the run, shape (trials,).

    Returns
    -------
    Float64, shape (trials, length); infinite where it never crosses.
    """
    whole = np.floor(steps)[:, None]
    tenth, halves = whole - np.round(0.9 * whole), whole - whole // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        slow, recent = (last - half) / halves, (last - late) / tenth
        rate = np.where(slow * recent > 0, np.sign(slow) * np.minimum(np.abs(slow), np.abs(recent)), 0.0)
        crossing = -last / rate
    wait: FloatArray = np.where(rate * last < 0, crossing, np.inf)
    return wait


def more_steps(
    waits: list[FloatArray], drift: FloatArray, steps: FloatArray, relaxing: FloatArray
) -> FloatArray:
    """How many more steps a trial needs until its verdict stands; 0: none, it has converged.

    A trial has converged if |drift| is small, the distances that would cross their threshold in a run of
    twice the length are few (`SMALL_DRIFT` of each observable's), and it relaxed for long enough.

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
