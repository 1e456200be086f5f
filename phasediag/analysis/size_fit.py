"""The exponents that put the curves of several sizes on one, by least squares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from phasediag.analysis.least_squares import jacobian, least_squares, one_step, squares
from phasediag.analysis.scaling_function import ScalingFunction
from phasediag.analysis.size_curves import Drawn, SizeCurves
from phasediag.arrays import BoolArray, FloatArray

_EXPONENTS: Final = np.linspace(-2, 2, 17)
_SHIFTS: Final = np.linspace(-1, 1, 41)
"""In ranges of x for each factor e of the size."""
_PLACES: Final = 9
"""Values of x, within all that were measured, that are tried as the critical one."""
_STARTS: Final = 6
_PIECES: Final = (1, 2, 3, 4, 6, 8, 11, 15)
"""How many pieces the spline may have."""
_DIFFERENCE: Final = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizeFit:
    """The best collapse of some cells."""

    function: ScalingFunction
    parameters: FloatArray
    """As `SizeCurves.names` says, then those of analytic corrections; shape (parameters,)."""
    chi2: float
    """Infinite where nothing overlaps."""

    @property
    def pieces(self) -> int:
        """How many pieces the spline has."""
        return len(self.function.inner) + 1

    @property
    def freedom(self) -> int:
        """The degrees of freedom, at least 1."""
        return max(1, self.function.points - self.function.coefficients - len(self.parameters))

    @property
    def quality(self) -> float:
        """Chi squared per degree of freedom."""
        return self.chi2 / self.freedom

    @property
    def named(self) -> FloatArray:
        """The parameters that `SizeCurves.names` names. Shape (names,)."""
        return self.parameters[: len(self.function.curves.names)]

    @property
    def differences(self) -> FloatArray:
        """By which the parameters are varied for derivatives, shape (p,)."""
        return _steps(self.function)

    def drawn(self, draws: Drawn) -> FloatArray:
        """The best named parameters for draws of the means, shape (draws, p)."""
        starts = np.tile(self.parameters, (len(draws.values), 1))
        residuals = self.function.residuals(draws.values, draws.errors)
        return least_squares(residuals, starts, self.differences, tolerance=1e-4)[:, : len(self.named)]

    def nearly_drawn(self, draws: Drawn) -> FloatArray:
        """As `drawn`, to first order in the deviation of the means, which is far cheaper."""
        starts = np.tile(self.parameters, (len(draws.values), 1))
        curves = self.function.curves
        own = self.function.residuals(curves.mean[None], curves.error[None])
        first = np.zeros(1, dtype=np.int64)
        slopes = jacobian(own, self.parameters[None], first, self.differences)[0]
        residuals = self.function.residuals(draws.values, draws.errors)
        return one_step(residuals, starts, slopes)[:, : len(self.named)]


def fit_curves(
    curves: SizeCurves, used: BoolArray, omega: float | None, start: FloatArray | None = None,
    pieces: int | None = None,
) -> SizeFit:  # fmt: skip
    """Find the parameters of the best collapse.

    Parameters
    ----------
    used
        The cells that enter, shape (cells,).
    omega
        The exponent of the corrections; None: without.
    start
        Parameters near those looked for, shape (p,); None: the best points of a lattice are. Corrections are
        brought in at the best parameters without them, near which they stay: far from there they change
        places with what they correct.
    pieces
        Of the spline; None: one step more than the corrected information criterion of Akaike asks for. It
        balances bias against chance; an interval that knows only of chance needs a bias that is far smaller.
    """
    sizes = len(np.unique(curves.group[used]))
    first = min(_PIECES[-1], max(1, int(used.sum()) // sizes // 2))
    uniform = np.linspace(0, 1, first + 1)[1:-1]
    bare = ScalingFunction(curves=curves, inner=uniform, omega=None, used=used)
    starts = _lattice(bare) if start is None else start[None, : bare.parameters]
    best = _fit(bare, starts).parameters
    function = replace(bare, omega=omega)
    numbers = _PIECES if pieces is None else (pieces,)
    tried = [_fit(_in_pieces(function, best, number), best[None]) for number in numbers]
    fits = [fit for fit in tried if fit.function.points > _all_parameters(fit) + 1]
    best_at = int(np.argmin([_information(fit) for fit in fits or tried[:1]]))
    return (fits or tried[:1])[min(best_at + 1, max(0, len(fits) - 1))]


def _fit(function: ScalingFunction, starts: FloatArray) -> SizeFit:
    """The best parameters near some starts, shape (starts, p).

    Those of analytic corrections may be missing there: they start at zero.
    """
    residuals = function.residuals(*_all_replicates(function, len(starts)))
    missing = np.zeros((len(starts), function.parameters - starts.shape[1]))
    at = least_squares(residuals, np.hstack([starts, missing]), _steps(function))
    chi2 = squares(residuals(at, np.arange(len(at))))
    best = int(np.argmin(chi2))
    return SizeFit(function=function, parameters=at[best], chi2=float(chi2[best]))


def _all_replicates(function: ScalingFunction, times: int) -> tuple[FloatArray, FloatArray]:
    """Means and errors of all replicates, as if they had been drawn so many times."""
    shape = (times, len(function.used))
    return np.broadcast_to(function.curves.mean, shape), np.broadcast_to(function.curves.error, shape)


def _all_parameters(fit: SizeFit) -> int:
    return fit.function.coefficients + len(fit.parameters)


def _information(fit: SizeFit) -> float:
    """Akaike's criterion, corrected for few points."""
    number, points = _all_parameters(fit), fit.function.points
    return fit.chi2 + 2 * number + 2 * number * (number + 1) / max(1, points - number - 1)


def _in_pieces(function: ScalingFunction, parameters: FloatArray, pieces: int) -> ScalingFunction:
    """A scaling function with F in so many pieces, each with as many points at these parameters."""
    padded = np.concatenate([parameters, np.zeros(function.parameters - len(parameters))])
    shares = function.shares(padded[None])[0, function.used]
    inner = np.unique(np.quantile(shares, np.linspace(0, 1, pieces + 1)[1:-1]))
    return replace(function, inner=inner[(inner > 0) & (inner < 1)])


def _steps(function: ScalingFunction) -> FloatArray:
    """The differences by which the parameters are varied."""
    reach = float(np.ptp(function.curves.positions))
    by_form = {"power": (1.0, 1.0), "shift": (1.0, reach), "critical": (1.0, 1.0, reach)}
    analytic = (1 / reach, 1 / reach) if function.analytic else ()
    return _DIFFERENCE * np.array([*by_form[function.curves.form], *analytic])


def _lattice(function: ScalingFunction) -> FloatArray:
    """The points of a lattice of parameters where the curves lie closest, shape (starts, p)."""
    curves = function.curves
    along = _SHIFTS * np.ptp(curves.positions) if curves.form == "shift" else _EXPONENTS
    axes = [_EXPONENTS, along]
    if curves.form == "critical":
        axes.append(np.quantile(curves.x[function.used], np.linspace(0, 1, _PLACES + 2)[1:-1]))
    lattice = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, len(axes))
    residuals = function.residuals(*_all_replicates(function, len(lattice)))
    cost = squares(residuals(lattice, np.arange(len(lattice))))
    return lattice[np.argsort(cost, kind="stable")[:_STARTS]]


def neutral(fit: SizeFit) -> float:
    """The quality with all exponents at zero, else as in a fit; infinite where nothing overlaps."""
    at = np.zeros((1, len(fit.parameters)))
    at[:, 2:] = fit.parameters[2:]
    function = _in_pieces(fit.function, at[0], fit.pieces)
    residuals = function.residuals(*_all_replicates(function, 1))
    chi2 = squares(residuals(at, np.zeros(1, dtype=np.int64)))[0]
    return float(chi2) / fit.freedom
