"""Two powers of x that meet at a break."""

from __future__ import annotations

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import log_linear_designs, profiled, quasi_likelihood
from phasediag.arrays import FloatArray


def _design(u: FloatArray, breaks: FloatArray) -> FloatArray:
    """How far each point lies below and beyond each break, shape (breaks, points, 2)."""
    away = u - breaks[:, None]
    return np.stack([np.minimum(away, 0), np.maximum(away, 0)], axis=-1)


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """The break is searched between the second and the last but one x."""
    u = np.log(x)

    def coefficients(breaks: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Best coefficients (problems, tries, 3), and the means that they give, (problems, tries, points)."""
        tries = breaks.shape[1]
        design = _design(u, breaks.ravel())
        repeated = (np.repeat(each, tries, axis=0) for each in (means, weights))
        fitted = log_linear_designs(design, *repeated)
        logs = fitted[:, :1] + np.einsum("bpk,bk->bp", design, fitted[:, 1:])
        with np.errstate(over="ignore"):
            return fitted.reshape(*breaks.shape, 3), np.exp(logs).reshape(*breaks.shape, len(u))

    def gain(breaks: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            return quasi_likelihood(coefficients(breaks)[1], means[:, None], weights[:, None])

    at = profiled(gain, float(u[1]), float(u[-2]), len(means), tries=9, rounds=3)
    constant, below, above = coefficients(at[:, None])[0][:, 0].T
    with np.errstate(over="ignore"):
        return np.stack([np.exp(constant), np.exp(at), below, above], axis=1)


def _mean(x: FloatArray, p: FloatArray) -> FloatArray:
    amplitude, at, below, above = p
    u = np.log(x / at)
    return np.asarray(amplitude * np.exp(below * np.minimum(u, 0) + above * np.maximum(u, 0)))


LAW = Law(
    name="broken power law", formula="amplitude * (x / at)^below, ^above beyond at",
    parameters=("amplitude", "at", "below", "above"), mean=_mean, fit=_fit, polynomial=True, points=6,
)  # fmt: skip
