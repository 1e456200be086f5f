"""A power of x: the law of the conjecture, against which the others are measured."""

from __future__ import annotations

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import bounded_exp, log_linear
from phasediag.arrays import FloatArray


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    centre = np.log(x).mean()
    log_mean, exponent = log_linear(np.log(x) - centre, weights * means, weights)
    return np.stack([bounded_exp(log_mean - exponent * centre), exponent], axis=1)


LAW = Law(
    name="power law", formula="amplitude * x^exponent", parameters=("amplitude", "exponent"),
    mean=lambda x, p: p[0] * x ** p[1], fit=_fit, polynomial=True, points=3, reference=True,
)  # fmt: skip
