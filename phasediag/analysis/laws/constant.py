"""One mean at every x."""

from __future__ import annotations

import numpy as np

from phasediag.analysis.law import Law

LAW = Law(
    name="constant", formula="mean", parameters=("mean",), mean=lambda x, p: np.full(len(x), p[0]),
    fit=lambda x, means, weights: [float(weights @ means / weights.sum())],
    polynomial=False, price=1, points=3, trend=False,
)  # fmt: skip
