"""Histograms of many cells with common bins, the error of each density, and the free energy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from phasediag.analysis.bootstrap import CONFIDENCE
from phasediag.arrays import FloatArray, IntArray


def histograms(
    cells: pd.DataFrame, cell: IntArray, replicate: IntArray, values: FloatArray, bins: int
) -> pd.DataFrame:
    """The density of values in bins, cell by cell, and its negative logarithm.

    The interval is that of Jeffreys for a share among independent values; where the values of a replicate
    hang together (several of it in a cell), there are fewer independent ones, by the ratio of the variance of
    the shares of replicates to what chance alone makes.

    Parameters
    ----------
    cells
        One row a cell.
    cell, replicate
        Of each value, counted from 0.
    values
        Finite, shape (values,).

    Returns
    -------
    The cells, each repeated for every bin, with `from`, `to`, `trials`, `density`, `free_energy` and `_low`,
    `_high` of both. The free energy of an empty bin is NaN, and its upper end infinite.
    """
    edges = np.linspace(values.min(), values.max(), bins + 1)
    if edges[0] == edges[-1]:
        edges = edges[0] + np.linspace(-0.5, 0.5, bins + 1)
    which = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    number = np.bincount(cell, minlength=len(cells))
    count = np.bincount(cell * bins + which, minlength=len(cells) * bins).reshape(len(cells), bins)
    total = number[:, None].astype(np.float64)
    share = count / total
    independent = total / _clustering(cell, replicate, which, count, number)
    tail = (1 - CONFIDENCE) / 2
    hits, misses = share * independent + 0.5, (1 - share) * independent + 0.5
    low = np.where(count > 0, special.betaincinv(hits, misses, tail), 0.0)
    high = np.where(count < total, special.betaincinv(hits, misses, 1 - tail), 1.0)
    width = np.diff(edges)
    made = cells.loc[cells.index.repeat(bins)].reset_index(drop=True)
    made = made.assign(**{
        "from": np.tile(edges[:-1], len(cells)), "to": np.tile(edges[1:], len(cells)),
        "trials": count.ravel(), "density": (share / width).ravel(), "density_low": (low / width).ravel(),
        "density_high": (high / width).ravel(),
    })  # fmt: skip
    with np.errstate(divide="ignore"):
        energy = [-np.log(made[name].to_numpy()) for name in ("density", "density_high", "density_low")]
    return made.assign(
        free_energy=np.where(np.isinf(energy[0]), np.nan, energy[0]), free_energy_low=energy[1],
        free_energy_high=energy[2],
    )  # fmt: skip


def _clustering(
    cell: IntArray, replicate: IntArray, which: IntArray, count: IntArray, number: IntArray
) -> FloatArray:
    """By how much the variance of each bin's share exceeds that of independent values, at least 1."""
    cells, bins = count.shape
    replicates = int(replicate.max()) + 1
    own = np.bincount((cell * replicates + replicate) * bins + which, minlength=cells * replicates * bins)
    own = own.reshape(cells, replicates, bins).astype(np.float64)
    of_replicate = own.sum(axis=2, keepdims=True)
    share = (count / number[:, None])[:, None]
    measured = ((own - of_replicate * share) ** 2).sum(axis=1)
    known = np.maximum((of_replicate > 0).sum(axis=1), 2)
    chance = number[:, None] * (share * (1 - share))[:, 0]
    ratio = np.divide(measured * known / (known - 1), chance, out=np.ones_like(measured), where=chance > 0)
    alone = (of_replicate.max(axis=1) <= 1) | (known < 3)
    return np.where(alone, 1.0, np.clip(ratio, 1.0, number[:, None]))
