"""Finite-size scaling: the curves of several widths on one curve, and the exponents that put them there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize

from phasediag.analysis.bootstrap import Resamples, interval, replicate_codes
from phasediag.analysis.cells import order_values
from phasediag.analysis.frame import Groups, converged, has_status, numbers, with_formulas
from phasediag.errors import AnalysisError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Form = Literal["power", "critical"]
GOOD: Final = 2.0
"""Up to this quality the curves collapse within their errors."""
_LEAST_ERROR: Final = 1e-3
"""Of a mean, as a share of the range: replicates that agree exactly are no proof of an exact mean."""


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
    B 70, 014418 (2004), with a local line through the points of the other sizes; it is minimised by
    simplex search. The intervals are percentile bootstraps over replicates, resampled jointly over all
    sizes and x, corrected for few replicates.

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
    trials = with_formulas(trials, (x, y, size))
    at = numbers(trials, x)
    inside = np.isfinite(at) & (at > 0 if form == "power" else True)
    if window is not None:
        inside &= (at >= window[0]) & (at <= window[1])
    values = order_values(trials, y)
    usable = inside & has_status(trials, "ok") & converged(trials, when_unknown=False) & np.isfinite(values)
    trials, values = trials[usable], values[usable]
    curves = _Curves.of(trials, values, x, y, size, form)
    start = _first_guess(curves)
    best = _minimum(curves, curves.means(None), start)
    draws = Resamples.of(curves.sums.shape[1], resamples, seed)
    found = np.array([_minimum(curves, curves.means(w), best, quick=True) for w in draws.weights])
    low, high = interval(found[draws.draw].T, curves.sums.shape[1])
    names = ["y_exponent", "x_exponent"] + (["critical"] if form == "critical" else [])
    parameters = pd.DataFrame({"value": best, "low": low, "high": high}, index=names)
    mean, error = curves.means(None)
    scaled = curves.scaled(best, mean, error)
    shown = np.exp(scaled[:2]) if form == "power" else np.stack(scaled[:2])
    width = shown[1] * scaled[2] if form == "power" else scaled[2]
    points = curves.cells.assign(
        mean=mean, error=error, scaled_x=shown[0], scaled_y=shown[1], scaled_error=width
    )  # fmt: skip
    neutral = np.zeros_like(best)
    neutral[2:] = best[2:]
    return SizeCollapse(
        x=x, y=y, size=size, form=form, parameters=parameters, points=points,
        quality=_quality(*scaled, curves.group), unscaled_quality=_quality(
            *curves.scaled(neutral, mean, error), curves.group
        ),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Curves:
    """Sums of the values of each cell and replicate, ready to be resampled."""

    form: Form
    cells: pd.DataFrame
    x: FloatArray
    size: FloatArray
    """In units of the geometric mean of the sizes."""
    group: IntArray
    sums: FloatArray
    """Shape (cells, replicates)."""
    numbers: FloatArray
    squares: FloatArray

    @classmethod
    def of(cls, trials: pd.DataFrame, values: FloatArray, x: str, y: str, size: str, form: Form) -> _Curves:
        groups = Groups.of(trials, (size, x))
        cells = groups.decoded(groups.code, 2)
        if len(trials) == 0 or cells[size].nunique() < 2:
            raise AnalysisError(
                f"finite-size scaling needs at least 2 values of '{size}' among the trials that are ok and "
                "converged; add some, train longer, or widen window="
            )
        replicate = replicate_codes(trials, groups.cell)
        shape = (len(cells), int(replicate.max()) + 1)
        index = np.ravel_multi_index((groups.cell, replicate), shape)
        sums, counts, squares = (
            np.bincount(index, weights, minlength=shape[0] * shape[1]).reshape(shape)
            for weights in (values, np.ones_like(values), values**2)
        )
        kept = sums.sum(axis=1) > 0 if form == "power" else np.full(len(cells), True)
        cells = cells[kept].reset_index(drop=True)
        fewest = cells[size].value_counts()
        if len(fewest) < 2 or fewest.min() < 4:
            raise AnalysisError(
                f"{size}={fewest.idxmin()} has {fewest.min()} usable values of {x}, a collapse needs 4 of "
                f"each; leave that {size} out, train longer, or widen window="
            )
        log_size = np.log(cells[size].to_numpy(dtype=np.float64))
        return cls(
            form=form, cells=cells, x=cells[x].to_numpy(dtype=np.float64),
            size=np.exp(log_size - np.unique(log_size).mean()),
            group=np.unique(log_size, return_inverse=True)[1], sums=sums[kept], numbers=counts[kept],
            squares=squares[kept],
        )  # fmt: skip

    def means(self, weights: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """The mean of each cell in a draw of replicates, and the error of the mean of all; shape (cells,)."""
        number = self.numbers.sum(axis=1)
        total = self.sums.sum(axis=1) / number
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = (self.squares.sum(axis=1) / number - total**2) * number / np.maximum(number - 1, 1)
            least = _LEAST_ERROR * np.ptp(total)
            error = np.sqrt(np.maximum(variance, 0) / number + least**2)
            drawn = total if weights is None else (self.sums @ weights) / (self.numbers @ weights)
        if self.form == "power":
            drawn = np.where(drawn > 0, drawn, np.nan)
        return drawn, error

    def scaled(
        self, parameters: FloatArray, mean: FloatArray, error: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The scaled x, y and error of y; logarithms with the form `power`."""
        a, b = parameters[:2]
        if self.form == "power":
            u = np.log(self.size)
            return np.log(self.x) + b * u, np.log(mean) - a * u, error / np.abs(mean)
        shrink = self.size**-a
        return (self.x - parameters[2]) * self.size**b, mean * shrink, error * shrink


def _first_guess(curves: _Curves) -> FloatArray:
    """Zero exponents; the critical x where the mean curve is steepest."""
    if curves.form == "power":
        return np.zeros(2)
    frame = pd.DataFrame({"x": curves.x, "mean": curves.means(None)[0]}).groupby("x")["mean"].mean()
    steepest = int(np.argmax(np.abs(np.diff(frame.to_numpy()) / np.diff(frame.index.to_numpy()))))
    return np.array([0.0, 0.5, float(frame.index[steepest : steepest + 2].to_numpy().mean())])


def _minimum(
    curves: _Curves, means: tuple[FloatArray, FloatArray], start: FloatArray, quick: bool = False
) -> FloatArray:
    steps = np.full(len(start), 0.05 if quick else 0.3)
    steps[2:] = np.ptp(curves.x) * (0.01 if quick else 0.05)
    simplex = np.vstack([start, start + np.diag(steps)])

    def loss(parameters: FloatArray) -> float:
        with np.errstate(all="ignore"):
            return _quality(*curves.scaled(parameters, *means), curves.group)

    options = {"xatol": 1e-3, "fatol": 1e-4, "maxiter": 120 if quick else 600, "initial_simplex": simplex}
    return np.asarray(minimize(loss, start, method="Nelder-Mead", options=options).x)


def _quality(x: FloatArray, y: FloatArray, error: FloatArray, group: IntArray) -> float:
    """Houdayer and Hartmann's S; infinite where fewer than half of the points overlap with other sizes.

    For each point, a weighted line is fitted through the two points of each other size that enclose it.
    """
    known = np.isfinite(x) & np.isfinite(y) & (error > 0)
    sums = np.zeros((5, len(x)))
    for other in np.unique(group[known]):
        chosen = np.flatnonzero(known & (group == other))
        chosen = chosen[np.argsort(x[chosen])]
        if len(chosen) < 2:
            continue
        after = np.searchsorted(x[chosen], x)
        inside = known & (group != other) & (after > 0) & (after < len(chosen))
        for side in (after - 1, after):
            near = chosen[np.clip(side, 0, len(chosen) - 1)]
            weight = np.where(inside, 1 / error[near] ** 2, 0)
            sums += weight * np.stack([np.ones_like(x), x[near], y[near], x[near] ** 2, x[near] * y[near]])
    k, kx, ky, kxx, kxy = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        determinant = k * kxx - kx**2
        curve = (kxx * ky - kx * kxy + x * (k * kxy - kx * ky)) / determinant
        variance = (kxx - 2 * x * kx + x**2 * k) / determinant
        distance = (y - curve) ** 2 / (error**2 + variance)
    usable = np.isfinite(distance) & (determinant > 0)
    if 2 * usable.sum() < known.sum():
        return float("inf")
    return float(distance[usable].mean())
