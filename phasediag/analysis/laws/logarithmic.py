"""A straight line in log(x), cut at zero."""

from __future__ import annotations

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import searched
from phasediag.arrays import FloatArray


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    u = np.log(x) - np.log(x).mean()
    scale = float((weights * means).sum() / weights.sum())
    middle, slope = searched(lambda p: scale * (p[0] + p[1] * u), [[1, 0]], means, weights).T * scale
    return np.stack([middle - slope * np.log(x).mean(), slope], axis=1)


LAW = Law(
    name="logarithmic", formula="offset + slope * log(x), at least 0", parameters=("offset", "slope"),
    mean=lambda x, p: p[0] + p[1] * np.log(x), fit=_fit, polynomial=False, points=3,
)  # fmt: skip
