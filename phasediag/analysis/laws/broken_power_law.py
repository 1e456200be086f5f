"""Two powers of x that meet at a break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import log_linear_designs
from phasediag.arrays import FloatArray

_BREAKS: Final = 15
"""Places of the break that are tried at once."""


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    """The break is searched between the second and the last but one x, on a grid that is refined twice."""
    u = np.log(x)
    low, high = u[1], u[-2]
    for _ in range(3):
        breaks = np.linspace(low, high, _BREAKS)
        away = u - breaks[:, None]
        design = np.stack([np.minimum(away, 0), np.maximum(away, 0)], axis=-1)
        coefficients = log_linear_designs(design, means, weights)
        curve = coefficients[:, :1] + np.einsum("bpk,bk->bp", design, coefficients[:, 1:])
        with np.errstate(over="ignore", invalid="ignore"):
            gain = (weights * (means * curve - np.exp(curve))).sum(axis=1)
        best = int(np.argmax(np.where(np.isfinite(gain), gain, -np.inf)))
        low, high = breaks[max(best - 1, 0)], breaks[min(best + 1, _BREAKS - 1)]
    return [*np.exp([coefficients[best, 0], breaks[best]]), *coefficients[best, 1:]]


def _mean(x: FloatArray, p: FloatArray) -> FloatArray:
    amplitude, at, below, above = p
    u = np.log(x / at)
    return np.asarray(amplitude * np.exp(below * np.minimum(u, 0) + above * np.maximum(u, 0)))


LAW = Law(
    name="broken power law", formula="amplitude * (x / at)^below, ^above beyond at",
    parameters=("amplitude", "at", "below", "above"), mean=_mean, fit=_fit,
    polynomial=True, price=6, points=6,
)  # fmt: skip
