"""By which power of itself noise adds to decay: gamma + (T Var)^p, of which the counts are a smooth function.

An order of cells alone hardly tells T from its square: few decays lie between the strengths of few noises. A
smooth curve through all cells does, where the counts follow one; its form is not stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.interpolate import BSpline

from phasediag.analysis.comparison import SURE, ReplicateMeans, jackknifed, reach
from phasediag.analysis.least_squares import Residuals, least_squares, squares
from phasediag.analysis.single_index import Cells
from phasediag.arrays import FloatArray, IntArray

FEWEST_LEVELS: Final = 3
"""Levels of noise that it takes: between two any power is as good as any."""
WITHIN: Final = (0.5, 2.0)
"""The nearest powers that are to be told from 1."""
NEARLY: Final = (0.9, 1.1)
"""What a smooth curve may make of 1."""
BESIDE: Final = (2**-0.5, 2**0.5)
"""Nearer to another power than to 1 is what lies beyond."""
_PIECES: Final = (1, 2, 3, 5, 8, 12, 18, 27)
"""How many pieces the spline may have, as many as may be chosen."""
_DEGREE: Final = 3
_STARTS: Final = (0.5, 1.0, 2.0)
_LIMITS: Final = (0.05, 8.0)
_FACTORS: Final = (0.37, 1.0, 2.7)
"""Times the fitted coefficients, from which the search starts too."""
_PLAUSIBLE: Final = 10.0
"""Akaike's criterion above the best: what other numbers of pieces say is not excluded."""
_DIFFERENCE: Final = 1e-4
_SPARE: Final = 6
"""Cells more than there are parameters."""
_RIDGE: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisePower:
    """The power, with an interval of 98 % by Student's t over replicates left out."""

    value: float
    low: float
    high: float

    @property
    def is_one(self) -> bool:
        """Whether it is 1 as far as can be told, and neither 1/2 nor 2."""
        return self.low > WITHIN[0] and self.high < WITHIN[1] and self.overlaps(*NEARLY)

    @property
    def is_another(self) -> bool:
        """Whether it lies nearer to 1/2 or to 2."""
        return not self.overlaps(*BESIDE)

    def overlaps(self, low: float, high: float) -> bool:
        """Whether the interval meets another one."""
        return self.low <= high and self.high >= low

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def noise_power(cells: Cells, data: ReplicateMeans, coefficients: FloatArray) -> NoisePower | None:
    """Fit gamma + sum c n^p and a cubic spline of its logarithm to the roots of the counts' means.

    Roots of counts scatter alike, and have a value where there are none. The number of pieces is that of the
    least corrected criterion of Akaike; what other numbers that are not excluded say widens the interval.

    Parameters
    ----------
    coefficients
        Of the index with p = 1, near which the search starts; shape (coefficients,).

    Returns
    -------
    None where it cannot be told: fewer than 3 values of each noise, too few cells or replicates, or no end.
    """
    levels = max(len(np.unique(noise)) for noise in cells.noises)
    means, numbers = data.without_folds
    if levels < FEWEST_LEVELS or len(means) < FEWEST_LEVELS:
        return None
    largest = cells.noises.max(axis=1)
    usable = np.isfinite(coefficients) & (coefficients > 0)
    scale = np.where(usable, coefficients * largest, max(float(np.ptp(cells.gamma)), 1e-300))
    everyone, all_numbers = data.without(np.zeros((1, data.values.shape[1]), dtype=np.bool_))
    starts = np.array([[*np.log(scale * factor), power] for power in _STARTS for factor in _FACTORS])
    fits = _fits(cells, everyone[0], all_numbers[0], starts)
    if not fits:
        return None
    criterion, pieces, at = min(fits, key=lambda fit: fit[0])
    residuals = _residuals(cells, means, numbers, pieces)
    ends = least_squares(residuals, np.tile(at, (len(means), 1)), _steps(at))[:, -1]
    others = [fit[2][-1] for fit in fits if fit[0] <= criterion + _PLAUSIBLE]
    away = float(np.max(np.abs(np.array(others) - at[-1])))
    half = reach(len(ends), SURE) * float(np.sqrt(jackknifed(ends))) + away
    value = float(at[-1])
    if not np.isfinite(half) or not _LIMITS[0] < value < _LIMITS[1]:
        return None
    return NoisePower(value=value, low=value - half, high=value + half)


def _fits(
    cells: Cells, means: FloatArray, numbers: FloatArray, starts: FloatArray
) -> Sequence[tuple[float, int, FloatArray]]:
    """Akaike's criterion, the number of pieces and the parameters of each fit that the cells allow."""
    fits = []
    count = len(cells.gamma)
    for pieces in _PIECES:
        free = pieces + _DEGREE + starts.shape[1]
        if count < free + _SPARE:
            break
        shape = (len(starts), count)
        many, weights = np.broadcast_to(means, shape), np.broadcast_to(numbers, shape)
        residuals = _residuals(cells, many, weights, pieces)
        at = least_squares(residuals, starts, _steps(starts[0]))
        left = squares(residuals(at, np.arange(len(at))))
        best = int(np.argmin(left))
        deviance = count * np.log(max(float(left[best]), 1e-300) / count)
        fits.append((deviance + 2 * free + 2 * free * (free + 1) / (count - free - 1), pieces, at[best]))
    return fits


def _steps(parameters: FloatArray) -> FloatArray:
    return np.full(len(parameters), _DIFFERENCE)


def _residuals(cells: Cells, means: FloatArray, numbers: FloatArray, pieces: int) -> Residuals:
    """The residuals at the logarithms of the coefficients and the power; a row of means a fit."""
    unit = cells.noises / cells.noises.max(axis=1, keepdims=True)

    def of(parameters: FloatArray, fits: IntArray) -> FloatArray:
        scale = np.exp(np.clip(parameters[:, :-1], -40, 40))
        power = np.clip(parameters[:, -1], *_LIMITS)[:, None, None]
        index = cells.gamma + np.einsum("kc,kcn->kn", scale, unit**power)
        logs = np.log(np.maximum(index, np.finfo(np.float64).tiny))
        low = logs.min(axis=1, keepdims=True)
        shares = (logs - low) / np.maximum(np.ptp(logs, axis=1)[:, None], 1e-12)
        weight = np.sqrt(numbers[fits])
        basis = _basis(shares, pieces) * weight[..., None]
        target = np.sqrt(means[fits]) * weight
        ridge = np.tile(_RIDGE * np.eye(basis.shape[2]), (len(basis), 1, 1))
        columns = np.linalg.qr(np.concatenate([basis, ridge], axis=1))[0][:, : target.shape[1]]
        explained = np.einsum("knp,kp->kn", columns, np.einsum("knp,kn->kp", columns, target))
        return np.asarray(target - explained)

    return of


def _basis(shares: FloatArray, pieces: int) -> FloatArray:
    """Cubic B-splines over 0 to 1 in pieces of the same length; shape (fits, cells, splines)."""
    inner = np.linspace(0, 1, pieces + 1)[1:-1]
    knots = np.concatenate([np.zeros(_DEGREE + 1), inner, np.ones(_DEGREE + 1)])
    dense = BSpline.design_matrix(np.clip(shares.ravel(), 0, 1), knots, _DEGREE).toarray()
    return np.asarray(dense.reshape(*shares.shape, -1))
