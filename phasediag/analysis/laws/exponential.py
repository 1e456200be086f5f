"""An exponential of x."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import bounded_exp, log_linear
from phasediag.arrays import FloatArray


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    log_mean, rate = log_linear(x - x.mean(), (weights * means)[None], weights[None])[:, 0]
    return [bounded_exp(log_mean - rate * x.mean()), rate]


LAW = Law(
    name="exponential", formula="amplitude * exp(rate * x)", parameters=("amplitude", "rate"),
    mean=lambda x, p: p[0] * np.exp(p[1] * x), fit=_fit, polynomial=False, price=2, points=3,
)  # fmt: skip
