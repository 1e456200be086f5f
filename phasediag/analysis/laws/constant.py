"""One mean at every x."""

from __future__ import annotations

import numpy as np

from phasediag.analysis.law import Law
from phasediag.arrays import FloatArray


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray((weights * means).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True))


LAW = Law(
    name="constant", formula="mean", parameters=("mean",), mean=lambda x, p: np.full(len(x), p[0]), fit=_fit,
    polynomial=False, points=3, trend=False,
)  # fmt: skip
