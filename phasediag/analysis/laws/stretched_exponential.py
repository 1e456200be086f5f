"""An exponential of a power of x; the power 2 is a Gaussian cut-off."""

from __future__ import annotations

from typing import Final

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import bounded_exp, log_linear, profiled, quasi_likelihood
from phasediag.arrays import FloatArray

LIMITS: Final = float(np.log(1 / 3)), float(np.log(4.0))
"""Between these the logarithm of the power is searched: towards 0 this is a power law under another name."""


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """For a given power the logarithm is linear in it; x is in units of its largest."""
    largest = float(x.max())

    def fitted(logs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients, shape (2, problems, tries), and regressors, shape (problems, tries, points)."""
        tries = logs.shape[1]
        u = (x / largest) ** np.exp(logs)[..., None]
        repeated = (np.repeat(each, tries, axis=0) for each in (weights * means, weights))
        return log_linear(u.reshape(-1, len(x)), *repeated).reshape(2, *logs.shape), u

    def gain(logs: FloatArray) -> FloatArray:
        (constant, rate), u = fitted(logs)
        curves = np.exp(constant[..., None] + rate[..., None] * u)
        return quasi_likelihood(curves, means[:, None], weights[:, None])

    log_shape = profiled(gain, *LIMITS, len(means), tries=9, rounds=5)
    (constant, rate), _ = fitted(log_shape[:, None])
    shape = np.exp(log_shape)
    return np.stack([bounded_exp(constant[:, 0]), rate[:, 0] / largest**shape, shape], axis=1)


LAW = Law(
    name="stretched exponential", formula="amplitude * exp(rate * x^shape)",
    parameters=("amplitude", "rate", "shape"), mean=lambda x, p: p[0] * np.exp(p[1] * x ** p[2]), fit=_fit,
    polynomial=False, points=4,
)  # fmt: skip
