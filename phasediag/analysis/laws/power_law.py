"""A power of x: the law of the conjecture, against which the others are measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import bounded_exp, log_linear
from phasediag.arrays import FloatArray


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    centre = np.log(x).mean()
    log_mean, exponent = log_linear(np.log(x) - centre, (weights * means)[None], weights[None])[:, 0]
    return [bounded_exp(log_mean - exponent * centre), exponent]


LAW = Law(
    name="power law", formula="amplitude * x^exponent", parameters=("amplitude", "exponent"),
    mean=lambda x, p: p[0] * x ** p[1], fit=_fit, polynomial=True, price=2, points=3, reference=True,
)  # fmt: skip
