"""A growth like x up to a scale, and a plateau beyond."""

from __future__ import annotations

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.laws.saturating import plateau_and_scale
from phasediag.arrays import FloatArray


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    plateau, scale = plateau_and_scale(-np.log(x), means, weights)
    return np.stack([plateau, np.exp(-scale)], axis=1)


LAW = Law(
    name="saturating growth", formula="plateau / (1 + scale / x)", parameters=("plateau", "scale"),
    mean=lambda x, p: p[0] / (1 + p[1] / x), fit=_fit, polynomial=True, points=3, direction="growing",
)  # fmt: skip
