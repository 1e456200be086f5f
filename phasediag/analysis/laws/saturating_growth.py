"""A growth like x up to a scale, and a plateau beyond."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.laws.saturating import log_plateau_and_scale
from phasediag.analysis.likelihood import bounded_exp
from phasediag.arrays import FloatArray


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    log_plateau, scale = log_plateau_and_scale(-np.log(x), means, weights)
    return [bounded_exp(log_plateau), bounded_exp(-scale)]


LAW = Law(
    name="saturating growth", formula="plateau / (1 + scale / x)", parameters=("plateau", "scale"),
    mean=lambda x, p: p[0] / (1 + p[1] / x), fit=_fit, polynomial=True, price=2, points=3,
    direction="growing",
)  # fmt: skip
