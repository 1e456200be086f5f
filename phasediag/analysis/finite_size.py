"""Finite-size scaling: the curves of several widths on one curve, and the exponents that put them there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.bootstrap import Resamples, interval
from phasediag.analysis.cells import order_values
from phasediag.analysis.frame import converged, has_status, numbers, with_formulas
from phasediag.analysis.simplex import minima
from phasediag.analysis.size_curves import CollapseQuality, Form, Means, SizeCurves
from phasediag.analysis.versions import newest
from phasediag.errors import AnalysisError

FloatArray = npt.NDArray[np.float64]

_EXPONENTS: Final = np.linspace(-2, 2, 17)
_STARTS: Final = 6
GOOD: Final = 2.0
"""Up to this quality the curves collapse within their errors."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizeCollapse:
    """Scaled curves, their exponents and how well they fall together."""

    x: str
    y: str
    size: str
    form: Form
    parameters: pd.DataFrame
    """One row a parameter, by name: `value`, `low`, `high` (95 %; NaN with fewer than 3 replicates)."""
    quality: float
    """Mean squared distance of the points from the curve of the other sizes, in units of their errors:
    about 1 where the curves collapse, much larger where they do not."""
    unscaled_quality: float
    """The same with all exponents at zero."""
    points: pd.DataFrame
    """One row a size and x: both under their own names, `mean`, `error` (standard error of the mean),
    `scaled_x`, `scaled_y`, `scaled_error`."""

    @property
    def collapses(self) -> bool:
        """Whether the curves fall on one within their errors."""
        return self.quality <= GOOD

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types."""
        parameters = self.parameters.astype(object).where(self.parameters.notna(), None)
        return {
            "x": self.x, "y": self.y, "size": self.size, "form": self.form, "quality": self.quality,
            "unscaled_quality": self.unscaled_quality if np.isfinite(self.unscaled_quality) else None,
            "collapses": self.collapses, "parameters": parameters.to_dict(orient="index"),
        }  # fmt: skip

    def summary(self) -> str:
        """The result in words."""
        texts = [
            f"{name} = {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
            for name, row in self.parameters.iterrows()
        ]
        word = "collapse" if self.collapses else "do not collapse"
        return (
            f"{self.y} against {self.x} for {self.points[self.size].nunique()} values of {self.size}: "
            f"{', '.join(texts)}; the curves {word} (quality {self.quality:.2f}, unscaled "
            f"{self.unscaled_quality:.2f}; 1 is within errors)"
        )


def fit_collapse(
    trials: pd.DataFrame,
    x: str = "weight_decay",
    y: str = "neuron_count",
    size: str = "width",
    form: Form = "power",
    window: tuple[float, float] | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> SizeCollapse:
    """Find the exponents with which the curves of all sizes L become one.

    `power`: y = L^a F(x L^b), for a count against a strength: all is taken in logarithms; independence
    of the width is a = b = 0. `critical`: y = L^a F((x - x_c) L^b), for an order parameter at a continuous
    transition (b = 1/nu, a = -beta/nu). The quality is that of J. Houdayer and A. K. Hartmann, Phys. Rev.
    B 70, 014418 (2004), with a local parabola through the points of the other sizes; it is minimised by
    simplex searches from the best points of a lattice of exponents from -2 to 2. The intervals are
    percentile bootstraps over replicates, resampled jointly over all sizes and x and their errors with
    them, corrected for few replicates.

    Parameters
    ----------
    trials
        One row a trial. Only trials that are ok and converged enter; other axes are pooled.
    x, y
        Columns or expressions; with `power` only positive x and positive means enter.
    size
        The column of the sizes.
    window
        The smallest and largest x to enter.
    resamples, seed
        Of the bootstrap.

    Raises
    ------
    AnalysisError
        For unknown columns, a single size, or fewer than 4 points of a size.
    """
    if form not in ("power", "critical"):
        raise AnalysisError(f"form='{form}' is unknown; it is power or critical")
    trials = with_formulas(newest(trials, (x, y, size), pooled=True), (x, y, size))
    at = numbers(trials, x)
    inside = np.isfinite(at) & (at > 0 if form == "power" else True)
    if window is not None:
        inside &= (at >= window[0]) & (at <= window[1])
    values = order_values(trials, y)
    usable = inside & has_status(trials, "ok") & converged(trials, when_unknown=False) & np.isfinite(values)
    trials, values = trials[usable], values[usable]
    curves = SizeCurves.of(trials, values, x, y, size, form)
    means = curves.means()
    quality = CollapseQuality(curves, means)
    best = _best(curves, means, quality)
    draws = Resamples.of(curves.replicates, resamples, seed)
    drawn = CollapseQuality(curves, curves.means(draws.weights))
    found = _minima(drawn, best.repeat(len(draws.weights), axis=0), 0.05)
    low, high = interval(found[draws.draw].T, curves.replicates)
    names = ["y_exponent", "x_exponent"] + (["critical"] if form == "critical" else [])
    parameters = pd.DataFrame({"value": best[0], "low": low, "high": high}, index=names)
    neutral = np.zeros_like(best)
    neutral[:, 2:] = best[:, 2:]
    first = np.zeros(1, dtype=np.int64)
    return SizeCollapse(
        x=x, y=y, size=size, form=form, parameters=parameters, points=_points(curves, means, best),
        quality=float(quality(best, first)[0]), unscaled_quality=float(quality(neutral, first)[0]),
    )  # fmt: skip


def _points(curves: SizeCurves, means: Means, parameters: FloatArray) -> pd.DataFrame:
    """The cells with their means, as measured and scaled."""
    at, value, error = (each[0] for each in curves.scaled(parameters, means.mean, means.error))
    if curves.form == "power":
        at, value = np.exp(at), np.exp(value)
        error = value * error
    return curves.cells.assign(
        mean=means.mean[0], error=means.error[0], scaled_x=at, scaled_y=value, scaled_error=error
    )


def _best(curves: SizeCurves, means: Means, quality: CollapseQuality) -> FloatArray:
    """The parameters of the best collapse, shape (1, p), from the best points of a lattice of exponents."""
    exponents = np.stack(np.meshgrid(_EXPONENTS, _EXPONENTS), axis=-1).reshape(-1, 2)
    critical = np.tile(_steepest(curves, means), (len(exponents), 1))
    lattice = np.hstack([exponents, critical])
    one = np.zeros(len(lattice), dtype=np.int64)
    starts = lattice[np.argsort(quality(lattice, one), kind="stable")[:_STARTS]]
    many = CollapseQuality(curves, means.repeated(len(starts)))
    found = _minima(many, starts, 0.2)
    return found[[np.argmin(many(found, np.arange(len(found))))]]


def _steepest(curves: SizeCurves, means: Means) -> FloatArray:
    """Where the mean curve is steepest, a first guess at the critical x; none with the form `power`."""
    if curves.form == "power":
        return np.zeros(0)
    frame = pd.DataFrame({"x": curves.x, "mean": means.mean[0]}).groupby("x")["mean"].mean()
    steepest = int(np.argmax(np.abs(np.diff(frame.to_numpy()) / np.diff(frame.index.to_numpy()))))
    return np.array([frame.index[steepest : steepest + 2].to_numpy().mean()])


def _minima(quality: CollapseQuality, starts: FloatArray, step: float) -> FloatArray:
    """The parameters of the best collapse of each draw near its start; `step` is that of the exponents."""
    steps = np.full(starts.shape[1], step)
    steps[2:] *= 0.2 * np.ptp(quality.curves.x)
    return minima(quality, starts, steps, xatol=1e-3, fatol=1e-4, iterations=300)
