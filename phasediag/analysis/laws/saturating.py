"""A plateau where x is small, and a fall like 1/x beyond a scale."""

from __future__ import annotations

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import profiled, quasi_likelihood
from phasediag.arrays import FloatArray

BEYOND = np.log(10.0)
"""How far outside of the window the scale is searched: farther, only its product with the plateau tells."""


def plateau_and_scale(u: FloatArray, means: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Plateau and scale of highest quasi-likelihood of plateau / (1 + exp(u - scale)), shape (problems,).

    Parameters
    ----------
    u
        The logarithm of x, or its negative where the plateau lies at large x, shape (points,).
    means, weights
        Means and numbers of the counts, shape (problems, points).
    """
    total = (weights * means).sum(axis=1)

    def curves(scales: FloatArray) -> FloatArray:
        shapes = np.exp(-np.logaddexp(0, u - scales[..., None]))
        return np.asarray((total[:, None] / np.einsum("btp,bp->bt", shapes, weights))[..., None] * shapes)

    def gain(scales: FloatArray) -> FloatArray:
        return quasi_likelihood(curves(scales), means[:, None], weights[:, None])

    scale = profiled(gain, float(u.min() - BEYOND), float(u.max() + BEYOND), len(means))
    plateau = curves(scale[:, None])[:, 0, 0] * (1 + np.exp(u[0] - scale))
    return plateau, scale


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    plateau, scale = plateau_and_scale(np.log(x), means, weights)
    return np.stack([plateau, np.exp(scale)], axis=1)


LAW = Law(
    name="saturating", formula="plateau / (1 + x / scale)", parameters=("plateau", "scale"),
    mean=lambda x, p: p[0] / (1 + x / p[1]), fit=_fit, polynomial=True, points=3, direction="falling",
)  # fmt: skip
