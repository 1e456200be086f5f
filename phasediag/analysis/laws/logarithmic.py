"""A straight line in log(x), cut at zero."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasediag.analysis.law import Law
from phasediag.analysis.likelihood import searched
from phasediag.arrays import FloatArray


def _fit(x: FloatArray, means: FloatArray, weights: FloatArray) -> Sequence[float]:
    u = np.log(x) - np.log(x).mean()
    scale = float(weights @ means / weights.sum())
    middle, slope = searched(lambda p: scale * (p[0] + p[1] * u), [1, 0], means, weights) * scale
    return [middle - slope * np.log(x).mean(), slope]


LAW = Law(
    name="logarithmic", formula="offset + slope * log(x), at least 0", parameters=("offset", "slope"),
    mean=lambda x, p: np.maximum(p[0] + p[1] * np.log(x), 0), fit=_fit, polynomial=False, price=2, points=3,
)  # fmt: skip
