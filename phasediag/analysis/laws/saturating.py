"""A plateau where x is small, and a fall like 1/x beyond a scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import bounded_exp, searched
from phasediag.arrays import FloatArray


def log_plateau_and_scale(u: FloatArray, means: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Of exp(log_plateau) / (1 + exp(u - scale)), the two parameters of highest quasi-likelihood.

    Parameters
    ----------
    u
        The logarithm of x, or its negative where the plateau lies at large x, shape (points,).
    means, weights
        Means and numbers of the counts, shape (points,).
    """
    start = [float(np.log(means.max())), float(u.mean())]
    log_plateau, scale = searched(lambda p: np.exp(p[0] - np.logaddexp(0, u - p[1])), start, means, weights)
    return float(log_plateau), float(scale)


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    return [bounded_exp(value) for value in log_plateau_and_scale(np.log(x), means, weights)]


LAW = Law(
    name="saturating", formula="plateau / (1 + x / scale)", parameters=("plateau", "scale"),
    mean=lambda x, p: p[0] / (1 + x / p[1]), fit=_fit, polynomial=True, price=2, points=3,
    direction="falling",
)  # fmt: skip
