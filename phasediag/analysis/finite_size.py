"""Finite-size scaling: the curves of several widths on one curve, and the exponents that put them there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.bootstrap import Resamples, interval
from phasediag.analysis.frame import Groups
from phasediag.analysis.result import Result, plain
from phasediag.analysis.selection import ROOM, Sample, entered
from phasediag.analysis.simplex import minima
from phasediag.analysis.size_curves import CollapseQuality, Form, Means, SizeCurves
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

_EXPONENTS: Final = np.linspace(-2, 2, 17)
_STARTS: Final = 6
GOOD: Final = 2.0
"""Up to this quality the curves collapse within their errors."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizeCollapse(Result):
    """Scaled curves, their exponents and how well they fall together."""

    figure: ClassVar[str] = "size_collapse"

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
    """The same with all exponents at zero; infinite where fewer than half of the points then overlap."""
    points: pd.DataFrame
    """One row a size and x: both under their own names, `mean`, `error` (standard error of the mean),
    `scaled_x`, `scaled_y`, `scaled_error`."""
    n: int
    """Trials that entered."""
    replicates: int
    left_out: Mapping[str, int]
    """Trials that did not enter, by reason."""
    notes: tuple[str, ...] = ()
    """What must be known of how the trials were chosen."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known of how the trials were chosen."""
        return self.notes

    @property
    def collapses(self) -> bool:
        """Whether the curves fall on one within their errors."""
        return self.quality <= GOOD

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The exponents, and the curves as measured and scaled."""
        return {"parameters": self.parameters.rename_axis("parameter").reset_index(), "points": self.points}

    @property
    def findings(self) -> tuple[str, ...]:
        """The exponents, and whether they put the curves on one."""
        texts = [
            f"{name} = {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
            for name, row in self.parameters.iterrows()
        ]
        word = "collapse" if self.collapses else "do not collapse"
        return (
            f"{self.y} against {self.x} for {self.points[self.size].nunique()} values of {self.size}: "
            f"{', '.join(texts)}; the curves {word} (quality {self.quality:.2f}, unscaled "
            f"{self.unscaled_quality:.2f}; 1 is within errors)",
        )

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types."""
        return {
            "x": self.x, "y": self.y, "size": self.size, "form": self.form, "quality": self.quality,
            "unscaled_quality": plain(self.unscaled_quality), "collapses": self.collapses,
            "parameters": plain(self.parameters.to_dict(orient="index")), "n": self.n,
            "replicates": self.replicates, "left_out": plain(self.left_out),
        }  # fmt: skip

    def summary(self) -> str:
        """The result in words, with the trials that it rests on."""
        first, *more = entered(self.n, self.replicates, self.left_out)
        notes = [f"warning: {note}" for note in self.notes]
        return "\n".join([*self.findings, f"collapse of {first}", *more, *notes])


def fit_collapse(
    trials: pd.DataFrame,
    x: str = "weight_decay",
    y: str = "neuron_count",
    size: str = "width",
    form: Form = "power",
    window: tuple[float, float] | None = None,
    resamples: int = 200,
    seed: int = 0,
    room: float = ROOM,
) -> SizeCollapse:
    """Find the exponents with which the curves of all sizes L become one.

    `power`: y = L^a F(x L^b), for a count against a strength: all is taken in logarithms; independence
    of the width is a = b = 0. `critical`: y = L^a F((x - x_c) L^b), for an order parameter at a continuous
    transition (b = 1/nu, a = -beta/nu). The quality is that of J. Houdayer and A. K. Hartmann, Phys. Rev.
    B 70, 014418 (2004), with a local parabola through the points of the other sizes; it is minimised by
    simplex searches from the best points of a lattice of exponents from -2 to 2. The intervals are
    those of `phasediag.analysis.bootstrap.interval` over replicates, resampled jointly over all sizes and x
    and their errors with them.

    Parameters
    ----------
    trials
        One row a trial. The trials that enter are those of `fit_scaling`, by the same rules: ok and
        converged, from cells of x and size most of which has converged and, with `power`, whose count the
        size does not limit. Other axes are pooled.
    x, y
        Columns or expressions; with `power` only positive x and positive means enter.
    size
        The column of the sizes.
    window
        The smallest and largest x to enter; None: all. `fit_scaling(...).window` takes its very trials.
    resamples, seed
        Of the bootstrap.
    room
        With `power`: cells whose mean count exceeds this share of their size are left out; 1 keeps all.

    Raises
    ------
    AnalysisError
        For unknown columns, a single size, fewer than 4 points of a size, or sizes whose curves do not
        overlap whatever the exponents.
    """
    if form not in ("power", "critical"):
        raise AnalysisError(f"form='{form}' is unknown; it is power or critical")
    sample = Sample.of(
        trials, x, y, named=(size,), by=size, room=room, window=window, strength=form == "power"
    )
    if form == "power":
        sample = _with_logarithms(sample, size, x)
    curves = SizeCurves.of(sample.trials, sample.counts, x, size, form)
    means = curves.means()
    quality = CollapseQuality(curves, means)
    best = _best(curves, means, quality)
    first = np.zeros(1, dtype=np.int64)
    least = float(quality(best, first)[0])
    if not np.isfinite(least):
        raise AnalysisError(
            f"fewer than half of the points of one {size} lie between those of another, whatever the "
            f"exponents, so that nothing can be told of a collapse; give all sizes a common range of {x}"
        )
    draws = Resamples.of(curves.replicates, resamples, seed)
    drawn = CollapseQuality(curves, curves.means(draws.weights))
    minimal = _minima(drawn, best.repeat(len(draws.weights), axis=0), 0.05)
    low, high = interval(minimal.T, draws, best[0])
    names = ["y_exponent", "x_exponent"] + (["critical"] if form == "critical" else [])
    parameters = pd.DataFrame({"value": best[0], "low": low, "high": high}, index=names)
    neutral = np.zeros_like(best)
    neutral[:, 2:] = best[:, 2:]
    return SizeCollapse(
        x=x, y=y, size=size, form=form, parameters=parameters, points=_points(curves, means, best),
        quality=least, unscaled_quality=float(quality(neutral, first)[0]), n=len(sample.counts),
        replicates=curves.replicates, left_out=sample.reasons, notes=sample.notes,
    )  # fmt: skip


def _with_logarithms(sample: Sample, size: str, x: str) -> Sample:
    """The trials of cells whose mean is positive."""
    if not len(sample.counts):
        return sample
    cell = Groups.of(sample.trials, (size, x)).cell
    empty = np.bincount(cell, sample.counts)[cell] <= 0
    return sample.without(empty, "in cells of mean 0, which has no logarithm")


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
    minimal = _minima(many, starts, 0.2)
    return minimal[[np.argmin(many(minimal, np.arange(len(minimal))))]]


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
