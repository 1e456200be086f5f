"""Whether a count depends on the width at the same regularization strength."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import statsmodels.api as sm

from phasediag.analysis.bootstrap import FEWEST_REPLICATES
from phasediag.arrays import FloatArray, IntArray

NEGLIGIBLE: Final = 0.1
"""An exponent of the width below this (7 % of the count a doubling) is called independence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Independence:
    """How the count goes with the width where x is the same."""

    by: str
    values: tuple[float, ...]
    exponent: float
    """Of y ~ by^exponent at the same x."""
    low: float
    high: float
    """Its 95 % interval; NaN with fewer than 3 replicates."""
    p: float
    """Of the hypothesis that it is zero."""
    bend: float
    """How the exponent of x changes with log(by)."""
    bend_p: float
    """Of the hypothesis that it does not."""


def fit_independence(
    by: str, size: FloatArray, at: FloatArray, counts: FloatArray, replicate: IntArray
) -> Independence | None:
    """Regress a count on the width, with a mean of its own for each x.

    A generalized linear model of counts (log link, quasi-Poisson), so that no law of x is assumed. Errors
    are clustered by replicate, whose seeds all cells share. Values of x where every count is zero say
    nothing and are left out.

    Parameters
    ----------
    by
        The name of the column with the widths.
    size, at, counts, replicate
        The width, x, count and replicate of each trial, shape (trials,).

    Returns
    -------
    None with one width, or where fewer than 2 values of x have several widths.
    """
    index = np.unique(at, return_inverse=True)[1]
    alive = np.bincount(index, counts) > 0
    several = np.array([len(np.unique(size[index == k])) > 1 for k in range(int(index.max()) + 1)])
    rows = (alive & several)[index] & (size > 0)
    kept = np.unique(index[rows], return_inverse=True)[1]
    if not rows.any() or len(np.unique(size[rows])) < 2 or kept.max() < 1:
        return None
    u, v = (np.log(values[rows]) for values in (at, size))
    u, v = u - u.mean(), v - v.mean()
    own = np.eye(int(kept.max()) + 1)[kept]
    level = _fitted(np.column_stack([v, own]), counts[rows], replicate[rows])
    bend = _fitted(np.column_stack([v, u * v, own]), counts[rows], replicate[rows])
    low, high = level.conf_int()[0]
    known = len(np.unique(replicate[rows])) >= FEWEST_REPLICATES
    return Independence(
        by=by, values=tuple(float(value) for value in np.unique(size[rows])),
        exponent=float(level.params[0]), low=float(low) if known else float("nan"),
        high=float(high) if known else float("nan"), p=float(level.pvalues[0]) if known else float("nan"),
        bend=float(bend.params[1]), bend_p=float(bend.pvalues[1]) if known else float("nan"),
    )  # fmt: skip


def _fitted(design: FloatArray, counts: FloatArray, replicate: IntArray) -> sm.GLM:
    model = sm.GLM(counts, design, family=sm.families.Poisson())
    groups = np.unique(replicate, return_inverse=True)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if groups.max() + 1 < FEWEST_REPLICATES:
            return model.fit(scale="X2", use_t=True)
        return model.fit(cov_type="cluster", cov_kwds={"groups": groups, "df_correction": True}, use_t=True)
