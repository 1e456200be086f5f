"""Whether a count depends on the width at the same regularization strength, on all cells.

No cell is left out for what was counted in it: a full layer says that the count is that of its neurons.
At each x the widest layers are compared with those of half their width, so that no law of x is assumed, and
the curve N(width) is continued to infinite width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.bootstrap import CONFIDENCE, FEWEST_REPLICATES, Sums
from phasediag.analysis.comparison import ROUNDED, ReplicateMeans, jackknifed, reach
from phasediag.analysis.likelihood import log_linear, profiled, quasi_likelihood
from phasediag.arrays import BoolArray, FloatArray, IntArray

NEGLIGIBLE: Final = 0.1
"""An exponent of the width below this (7 % of the count a doubling) is called independence."""
ROOMY: Final = 4.0
"""A layer of so many times the count, or more, has room for it."""
FEWEST_WIDTHS: Final = 3
"""Widths that the continuation to infinite width needs."""
_BEYOND: Final = 3.0
"""Logarithm of how far beyond the widths the scale of saturation is searched."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Independence:
    """How the count goes with the width where x is the same."""

    by: str
    values: tuple[float, ...]
    """The widths."""
    exponent: float
    """The exponent of y ~ by^exponent over the widths that are compared at each x, over all x."""
    low: float
    high: float
    """The 95 % interval of `exponent`; NaN with fewer than 3 replicates."""
    cells: pd.DataFrame
    """One row an x: `x`, the smallest and largest width compared, `narrow` and `wide`, the counts
    `mean_narrow` and `mean_wide`, the `exponent` of the width with its interval `low`, `high` (95 % for all x
    together),
    `room` (whether the wide layer holds 4 times the count), `limit` with `limit_low`, `limit_high`: the
    count of an infinitely wide layer from N = limit (1 - exp(-width / scale)), infinite where the counts do
    not bend, and `saturates` (whether that describes them better than a power of the width)."""

    @property
    def changes(self) -> BoolArray:
        """At which x the count changes with the width beyond doubt, and by more than is negligible.

        Shape (x values,), in the order of `cells`.
        """
        low, high = (self.cells[end].to_numpy(dtype=np.float64) for end in ("low", "high"))
        return np.asarray((low > NEGLIGIBLE) | (high < -NEGLIGIBLE))

    @property
    def roomy(self) -> BoolArray:
        """At which x the widest layer has room for the count. Shape (x values,)."""
        return self.cells["room"].to_numpy(dtype=np.bool_)


def fit_independence(
    by: str, size: FloatArray, at: FloatArray, counts: FloatArray, replicate: IntArray
) -> Independence | None:
    """Compare the counts of the widest layers with those of half their width, at each x.

    A replicate is the unit: errors are those of a jackknife over replicates, whose seeds all cells share.

    Parameters
    ----------
    by
        The name of the column with the widths.
    size, at, counts, replicate
        The width, x, count and replicate of each trial, shape (trials,).

    Returns
    -------
    None where no x has several widths and a count above zero.
    """
    keys, cell = np.unique(np.stack([at, size]), axis=1, return_inverse=True)
    data = ReplicateMeans.of(Sums.of(cell.reshape(-1), replicate, counts), counts)
    rows = []
    for x in np.unique(keys[0]):
        inside = np.flatnonzero((keys[0] == x) & (keys[1] > 0))
        if len(inside) > 1 and data.means[inside].any():
            rows.append(inside)
    if not rows:
        return None
    widths = keys[1]
    slopes = np.stack([_slope(widths, data.means, inside) for inside in rows])
    exponents, folds = (_exponents(slopes, means, data) for means in (data.means, data.without_folds[0]))
    hidden = _rounding(slopes, data)
    number = len(folds)
    sure = number >= FEWEST_REPLICATES
    confidence = 1 - (1 - CONFIDENCE) / len(rows)
    errors = np.sqrt([jackknifed(one) for one in folds.T] + hidden)
    each = reach(number, confidence) * errors if sure else np.full(len(rows), np.nan)
    weight = 1 / (slopes**2 / np.maximum(data.means, data.least)).sum(axis=1)
    weight /= weight.sum()
    error = np.sqrt(jackknifed(folds @ weight) + weight**2 @ hidden)
    around = float(reach(number, CONFIDENCE) * error) if sure else float("nan")
    limited = bool((counts <= size).all())
    narrow = np.argmin(np.where(slopes != 0, widths, np.inf), axis=1)
    wide = np.argmax(np.where(slopes != 0, widths, -np.inf), axis=1)
    cells = pd.DataFrame({
        "x": keys[0][wide], "narrow": widths[narrow], "wide": widths[wide],
        "mean_narrow": data.means[narrow], "mean_wide": data.means[wide], "exponent": exponents,
        "low": exponents - each, "high": exponents + each,
        "room": (widths[wide] >= ROOMY * data.means[wide]) | (not limited),
    })  # fmt: skip
    limits = [_limit(widths[inside], _some(data, inside)) for inside in rows]
    cells = cells.join(pd.DataFrame(limits, columns=["limit", "limit_low", "limit_high", "saturates"]))
    pooled = float(exponents @ weight)
    return Independence(
        by=by, values=tuple(float(value) for value in np.unique(widths[np.concatenate(rows)])),
        exponent=pooled, low=pooled - around, high=pooled + around, cells=cells,
    )  # fmt: skip


def _slope(widths: FloatArray, means: FloatArray, inside: IntArray) -> FloatArray:
    """What each log mean adds to the exponent of the width, 0 of layers that are not compared; (cells,).

    Compared are the widest layer, that of half its width (or the next below), and all with room.
    """
    order = inside[np.argsort(widths[inside])]
    half = order[widths[order] <= widths[order[-1]] / 2 * (1 + 1e-9)]
    narrowest = widths[half[-1] if len(half) else order[-2]]
    taken = order[(widths[order] >= narrowest) | (widths[order] >= ROOMY * means[order[-1]])]
    away = np.log(widths[taken]) - np.log(widths[taken]).mean()
    slope = np.zeros(len(widths))
    slope[taken] = away / (away**2).sum()
    return slope


def _some(data: ReplicateMeans, cells: IntArray) -> ReplicateMeans:
    return ReplicateMeans(values=data.values[cells], integers=data.integers)


def _exponents(slopes: FloatArray, means: FloatArray, data: ReplicateMeans) -> FloatArray:
    """The exponents of the width, shape (..., x), from means of shape (..., cells)."""
    return np.asarray(np.log(np.maximum(means, data.least)) @ slopes.T)


def _rounding(slopes: FloatArray, data: ReplicateMeans) -> FloatArray:
    """The squared error of each exponent where whole counts agree in all replicates, shape (x,)."""
    if not data.integers:
        return np.zeros(len(slopes))
    hidden = np.maximum(ROUNDED - data.variance, 0) / np.maximum(data.means, data.least) ** 2
    return np.asarray(slopes**2 @ hidden)


def _limit(widths: FloatArray, data: ReplicateMeans) -> tuple[float, float, float, bool]:
    """The count at infinite width with its interval, and whether the counts rather saturate than grow."""
    if len(widths) < FEWEST_WIDTHS:
        return float("nan"), float("nan"), float("nan"), False
    everyone = data.without(np.zeros((1, data.values.shape[1]), dtype=np.bool_))
    means, numbers = (np.concatenate(both) for both in zip(everyone, data.without_folds, strict=True))
    if not (numbers * means).sum(axis=1).all():
        return float("nan"), float("nan"), float("nan"), False
    total = (numbers * means).sum(axis=1)[:, None]

    def curves(logs: FloatArray) -> tuple[FloatArray, FloatArray]:
        shapes = -np.expm1(-widths / np.exp(logs)[..., None])
        limits = total / np.einsum("btp,bp->bt", shapes, numbers)
        return limits, limits[..., None] * shapes

    def gain(logs: FloatArray) -> FloatArray:
        return quasi_likelihood(curves(logs)[1], means[:, None], numbers[:, None])

    top = float(np.log(widths.max()) + _BEYOND)
    scale = profiled(gain, float(np.log(widths.min()) - _BEYOND), top, len(means))
    limits = np.where(scale > top - 1e-3, np.inf, curves(scale[:, None])[0][:, 0])
    u = np.log(widths) - np.log(widths).mean()
    constant, slope = log_linear(u, (numbers * means)[:1], numbers[:1])
    power = float(quasi_likelihood(np.exp(constant + slope * u), means[0], numbers[0]))
    saturates = bool(np.isfinite(limits[0]) and gain(scale[:, None])[0, 0] > power)
    folds = len(limits) - 1
    if folds < FEWEST_REPLICATES or not np.isfinite(limits[0]):
        return float(limits[0]), float("nan"), float("nan"), saturates
    kept = limits[1:][np.isfinite(limits[1:])]
    around = reach(folds, CONFIDENCE) * np.sqrt(jackknifed(np.log(kept))) if len(kept) > 1 else np.inf
    high = np.inf if len(kept) < folds else float(limits[0] * np.exp(around))
    if around == 0:
        return float(limits[0]), float("nan"), float("nan"), saturates
    return float(limits[0]), float(limits[0] * np.exp(-around)), high, saturates
