"""Variances from few replicates, each drawn towards what all of them have in common."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import special

from phasediag.arrays import BoolArray, FloatArray

_ALIKE: Final = 1e-8
"""A spread of log variances beyond chance up to this says that all are the same."""
_SMALLEST: Final = 1e-5
"""As a share of the median variance; smaller variances count as this large in the fit of what they have in
common."""
_RIDGE: Final = 1e-13
"""A share of the trace: keeps what is not determined at zero."""


def moderated(variances: FloatArray, freedom: FloatArray, trend: FloatArray | None = None) -> FloatArray:
    """The posterior variances where the true ones scatter around a common one, or around a trend.

    The weight of the common variance comes from the data: how far the logarithms of the variances scatter
    beyond what chance does with so few values (G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3, 2004, eqs. 3
    to 8). Means weighted by raw variances of few replicates trust most the cells whose values agree by
    chance, and their intervals are too short: with n - 1 degrees of freedom a weighted mean scatters by
    sqrt((n - 3) / (n - 5)) of what it would with the true weights, and says sqrt((n - 3) / (n - 1)) of it.

    Parameters
    ----------
    variances
        Unbiased sample variances, shape (draws, cells); each draw has its own common variance.
    freedom
        The degrees of freedom of each (values - 1), same shape; 0: the cell takes the common variance.
    trend
        What the logarithm of the common variance is linear in, a constant among it, shape (cells, k); None:
        a constant alone.

    Returns
    -------
    Same shape. As they were where fewer than two cells more than the trend has columns have a variance, or
    most are zero.
    """
    known = (freedom > 0) & np.isfinite(variances)
    half = np.where(known, freedom, 2.0) / 2
    with np.errstate(all="ignore"):
        floor = _SMALLEST * np.nanmedian(np.where(known, variances, np.nan), axis=1, keepdims=True)
        raised = np.where(known, np.maximum(variances, floor), 1.0)
        number = known.sum(axis=1, keepdims=True)
        logs = np.where(known, np.log(raised) - special.digamma(half) + np.log(half), 0)
        columns = np.ones((variances.shape[1], 1)) if trend is None else trend
        centre = _along(columns, logs, known)
        left = number - columns.shape[1]
        spread = (np.where(known, logs - centre, 0) ** 2).sum(axis=1, keepdims=True) / left
        chance = np.where(known, special.polygamma(1, half), 0).sum(axis=1, keepdims=True) / number
        prior = _inverse_trigamma(np.maximum(spread - chance, _ALIKE))
        common = np.exp(centre + special.digamma(prior) - np.log(prior))
        own = np.where(known, freedom * raised, 0)
        posterior = (2 * prior * common + own) / (2 * prior + np.where(known, freedom, 0))
        return np.where((left >= 2) & (floor > 0), posterior, variances)


def _along(columns: FloatArray, values: FloatArray, known: BoolArray) -> FloatArray:
    """The values on the best line in the columns, by least squares over what is known; (draws, cells)."""
    square = np.einsum("dc,ck,cl->dkl", known.astype(np.float64), columns, columns)
    sums = np.where(known, values, 0) @ columns
    square += _RIDGE * np.trace(square, axis1=1, axis2=2)[:, None, None] * np.eye(columns.shape[1])
    return np.asarray(np.linalg.solve(square, sums[..., None])[..., 0] @ columns.T)


def _inverse_trigamma(values: FloatArray) -> FloatArray:
    """Where the trigamma function has these positive values: Newton's method, Smyth's appendix."""
    root = np.where(values < 1, 0.5 + 1 / values, 1 / np.sqrt(values))
    for _ in range(8):
        trigamma = special.polygamma(1, root)
        root = root + trigamma * (1 - trigamma / values) / special.polygamma(2, root)
    return np.asarray(root, dtype=np.float64)
