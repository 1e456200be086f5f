"""An exponential of x."""

from __future__ import annotations

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import bounded_exp, log_linear
from phasediag.arrays import FloatArray


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    log_mean, rate = log_linear(x - x.mean(), weights * means, weights)
    return np.stack([bounded_exp(log_mean - rate * x.mean()), rate], axis=1)


LAW = Law(
    name="exponential", formula="amplitude * exp(rate * x)", parameters=("amplitude", "rate"),
    mean=lambda x, p: p[0] * np.exp(p[1] * x), fit=_fit, polynomial=False, points=3,
)  # fmt: skip
