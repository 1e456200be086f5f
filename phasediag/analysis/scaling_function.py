"""The scaling function of several sizes: a spline through all curves at once, with corrections to scaling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy.interpolate import BSpline

from phasediag.analysis.size_curves import SizeCurves
from phasediag.arrays import BoolArray, FloatArray, IntArray

DEGREE: Final = 3
"""The degree of the polynomials of which F is made."""
OVERLAP: Final = 0.5
"""Share of the points that must lie between those of another size: curves side by side prove nothing."""
_RIDGE: Final = 1e-7
"""Holds the coefficients of a piece without points at zero, so that it explains nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScalingFunction:
    """y = L^a (F(z) + g L^-omega), z the scaled x, F a cubic spline, g a number.

    With the form `power`, log y = a log L + F(z) + g L^-omega. With `critical` there are also
    the analytic corrections of t = x - x_c, which vanish there: z = (t + c t^2) L^b, and y is larger by
    1 + d t; c and d are two parameters more. For given parameters y is linear in F and g, which are fitted by
    weighted least squares; what is left are the residuals in units of the errors.
    """

    curves: SizeCurves
    inner: FloatArray
    """Where the pieces of F meet, as shares of the range of z, ascending, within 0 and 1."""
    omega: float | None
    """None: without corrections."""
    used: BoolArray
    """The cells that enter, shape (cells,)."""

    @property
    def analytic(self) -> bool:
        """Whether there are analytic corrections."""
        return self.omega is not None and self.curves.form == "critical"

    @property
    def parameters(self) -> int:
        """How many there are beside the coefficients: those that `SizeCurves.names` names, then c and d."""
        return len(self.curves.names) + 2 * self.analytic

    @property
    def coefficients(self) -> int:
        """How many F and g have together."""
        return len(self.inner) + DEGREE + 1 + (0 if self.omega is None else 1)

    def residuals(
        self, values: FloatArray, errors: FloatArray
    ) -> Callable[[FloatArray, IntArray], FloatArray]:
        """The residuals as `least_squares` takes them, for draws of the means.

        Parameters
        ----------
        values
            The mean of each cell, NaN where there is none; shape (draws, cells).
        errors
            The error of each, same shape.
        """

        def of(parameters: FloatArray, draws: IntArray) -> FloatArray:
            design, target = self._weighted(parameters, values[draws], errors[draws])
            ridge = np.tile(_RIDGE * np.eye(self.coefficients), (len(design), 1, 1))
            joined = np.nan_to_num(np.concatenate([design, ridge], axis=1), nan=0.0)
            basis = np.linalg.qr(joined)[0][:, : design.shape[1]]
            explained = np.einsum("knp,kp->kn", basis, np.einsum("knp,kn->kp", basis, target))
            return np.where(self.overlapping(parameters)[:, None], target - explained, np.nan)

        return of

    def overlapping(self, parameters: FloatArray) -> BoolArray:
        """Whether at least half of the points lie in the range of another size, shape (k,)."""
        z = self.scaled_x(parameters)
        among = np.zeros(z.shape, dtype=bool)
        groups = np.unique(self.curves.group[self.used])
        for group in groups:
            own = self.used & (self.curves.group == group)
            low, high = z[:, own].min(axis=1, keepdims=True), z[:, own].max(axis=1, keepdims=True)
            among |= (z >= low) & (z <= high) & (self.curves.group != group)
        finite = np.isfinite(z).all(axis=1) & np.isfinite(self.log_growth(parameters)).all(axis=1)
        return np.asarray(finite & (among[:, self.used].mean(axis=1) >= OVERLAP))

    def scaled_x(self, parameters: FloatArray) -> FloatArray:
        """The scaled x of each cell, shape (k, cells)."""
        z = self.curves.scaled_x(parameters)
        if not self.analytic:
            return z
        return np.asarray(z * (1 + parameters[:, 3:4] * (self.curves.x - parameters[:, 2:3])))

    def log_growth(self, parameters: FloatArray) -> FloatArray:
        """The logarithm of L^a (1 + d t) at each cell, shape (k, cells); NaN where that is not positive."""
        growth = parameters[:, 0:1] * np.log(self.curves.size)
        if self.analytic:
            with np.errstate(invalid="ignore", divide="ignore"):
                growth = growth + np.log1p(parameters[:, 4:5] * (self.curves.x - parameters[:, 2:3]))
        return np.asarray(growth)

    def shares(self, parameters: FloatArray) -> FloatArray:
        """The scaled x of each cell as a share of their range, shape (k, cells)."""
        z = self.scaled_x(parameters)
        own = z[:, self.used]
        low, high = own.min(axis=1, keepdims=True), own.max(axis=1, keepdims=True)
        return np.asarray((z - low) / np.maximum(high - low, np.finfo(np.float64).tiny))

    def corrections(self, parameters: FloatArray) -> FloatArray:
        """What g L^-omega is at each cell, with the best F and g for all replicates; shape (cells,).

        Parameters
        ----------
        parameters
            Of one scaling, shape (parameters,).
        """
        if self.omega is None:
            return np.zeros(len(self.curves.x))
        one = parameters[None]
        design, target = self._weighted(one, self.curves.mean[None], self.curves.error[None])
        solution = np.linalg.lstsq(design[0], target[0], rcond=None)[0]
        columns = self._columns(one)[0]
        first = len(self.inner) + DEGREE + 1
        return np.asarray(columns[:, first:] @ solution[first:])

    def _columns(self, parameters: FloatArray) -> FloatArray:
        """The values of the basis of F, and of L^-omega, at each cell; (k, cells, coefficients)."""
        share = self.shares(parameters)
        parts = [_basis(share, self.inner)]
        if self.omega is not None:
            parts.append(np.broadcast_to(self.curves.size**-self.omega, share.shape)[..., None])
        return np.concatenate(parts, axis=-1)

    def _weighted(
        self, parameters: FloatArray, values: FloatArray, errors: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Basis and values in units of the errors, zero for what is unknown: (k, cells, p) and (k, cells)."""
        with np.errstate(all="ignore"):
            columns, growth = self._columns(parameters), self.log_growth(parameters)
            if self.curves.form == "power":
                target, error = np.log(values) - growth, errors / self.curves.mean
            else:
                target, error = values, errors
                columns = columns * np.exp(growth)[..., None]
            known = np.isfinite(target) & np.isfinite(growth) & self.used
            weight = np.where(known, 1 / error, 0)
            return columns * weight[..., None], np.where(known, target * weight, 0)

    @cached_property
    def points(self) -> int:
        """How many enter."""
        return int(self.used.sum())


def _basis(shares: FloatArray, inner: FloatArray) -> FloatArray:
    """Cubic B-splines over 0 to 1 with these inner knots, continued beyond; shape (…, splines)."""
    knots = np.concatenate([np.zeros(DEGREE + 1), inner, np.ones(DEGREE + 1)])
    flat = np.nan_to_num(shares.ravel(), nan=0.0, posinf=0.0, neginf=0.0)
    dense = BSpline.design_matrix(np.clip(flat, -1, 2), knots, DEGREE, extrapolate=True).toarray()
    return np.asarray(dense.reshape(*shares.shape, -1))
