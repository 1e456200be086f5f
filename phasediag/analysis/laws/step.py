"""A step between two plateaus: a sigmoid of log(x) with a floor."""

from __future__ import annotations

from typing import Final

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import quasi_likelihood
from phasediag.arrays import FloatArray

STEEPNESS: Final = (2.0, 20.0)
"""Between these it is searched. A slower fall than the first would be a power law under another name."""
_PLACES: Final = 7
"""Points a side of the lattice of tries; it is refined to one and a half of its steps around the best, as the
two are correlated."""
_STEEPS: Final = 7
_ROUNDS: Final = 7
_HALVINGS: Final = 16


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """Place and steepness on a lattice that is refined; the two heights follow by bisection.

    The step lies between the second and the last but one x.
    """
    u = np.log(x)
    total = (weights * means).sum(axis=1)[:, None]
    falling = 1.0 if np.polyfit(u, (weights * means).sum(axis=0) / weights.sum(axis=0), 1)[0] < 0 else -1.0
    low = np.tile([u[1], np.log(STEEPNESS[0])], (len(means), 1))
    high = np.tile([u[-2], np.log(STEEPNESS[1])], (len(means), 1))
    rows = np.arange(len(means))
    for _ in range(_ROUNDS):
        ends = zip(low.T, high.T, (_PLACES, _STEEPS), strict=True)
        places, steeps = (np.linspace(*three, axis=1) for three in ends)
        grid = np.repeat(places, _STEEPS, axis=1), np.tile(steeps, (1, _PLACES))
        sigmoid = np.exp(-np.logaddexp(0, falling * np.exp(grid[1])[..., None] * (u - grid[0][..., None])))
        step = sigmoid / np.maximum(np.einsum("btp,bp->bt", sigmoid, weights), 1e-300)[..., None]
        flat = np.broadcast_to(1 / weights.sum(axis=1)[:, None, None], step.shape)
        share = _share_of_floor(step, flat, means[:, None], weights[:, None])
        curves = total[..., None] * (share[..., None] * flat + (1 - share[..., None]) * step)
        best = np.argmax(quasi_likelihood(curves, means[:, None], weights[:, None]), axis=1)
        at = np.stack([each[rows, best] for each in grid], axis=1)
        size = 1.5 * (high - low) / (np.array([_PLACES, _STEEPS]) - 1)
        bottom, top = low, high
        low, high = np.maximum(at - size, bottom), np.minimum(at + size, top)
    part = share[rows, best]
    height = total[:, 0] * (1 - part) * (step / np.maximum(sigmoid, 1e-300))[rows, best].max(axis=1)
    floor = total[:, 0] * part * flat[rows, best, 0]
    return np.stack([height, np.exp(at[:, 0]), falling * np.exp(at[:, 1]), floor], axis=1)


def _share_of_floor(step: FloatArray, flat: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """The share of all counts that the floor takes, of highest quasi-likelihood, shape (problems, tries).

    The quasi-likelihood is concave in it: bisection leads to where its slope changes sign.
    """
    low, high = np.zeros(step.shape[:2]), np.ones(step.shape[:2])
    difference = flat - step
    counts = weights * means
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slope = (counts * difference / (step + share[..., None] * difference)).sum(axis=-1)
        rises = slope > 0
        low, high = np.where(rises, share, low), np.where(rises, high, share)
    return np.where(high < 2e-5, 0.0, (low + high) / 2)


LAW = Law(
    name="step", formula="height / (1 + (x / at)^steepness) + floor",
    parameters=("height", "at", "steepness", "floor"),
    mean=lambda x, p: p[0] / (1 + (x / p[1]) ** p[2]) + p[3], fit=_fit, polynomial=False, points=6,
)  # fmt: skip
