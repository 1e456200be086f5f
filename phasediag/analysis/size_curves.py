"""The curves of several sizes, scaled by exponents, and how far they then lie from each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import pandas as pd

from phasediag.analysis.bootstrap import Sums, replicate_codes
from phasediag.analysis.frame import Groups
from phasediag.analysis.moderation import moderated
from phasediag.arrays import FloatArray, IntArray
from phasediag.errors import AnalysisError

Form = Literal["power", "critical"]
_LEAST_ERROR: Final = 1e-3
"""Of a mean, as a share of the range: replicates that agree exactly are no proof of an exact mean."""
_SINGULAR: Final = 1e-9
"""Of the product of its diagonal: a determinant up to this is zero but for rounding."""
_NONE: Final = -1
"""No such point."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Means:
    """The means of all cells in draws of replicates, and their standard errors; shape (draws, cells)."""

    mean: FloatArray
    """NaN where no replicate of a cell was drawn."""
    error: FloatArray

    def repeated(self, times: int) -> Means:
        """Each draw so many times."""
        return Means(mean=self.mean.repeat(times, axis=0), error=self.error.repeat(times, axis=0))


@dataclass(frozen=True, kw_only=True, eq=False)
class SizeCurves:
    """Sums of the values of each cell and replicate, ready to be resampled."""

    form: Form
    cells: pd.DataFrame
    x: FloatArray
    size: FloatArray
    """In units of the geometric mean of the sizes."""
    group: IntArray
    sums: Sums
    squares: Sums
    """Of the squares of the values."""

    @classmethod
    def of(cls, trials: pd.DataFrame, values: FloatArray, x: str, size: str, form: Form) -> SizeCurves:
        """Sum the values of each size, x and replicate.

        Parameters
        ----------
        trials
            One row a trial, with the columns x and size.
        values
            y of each trial, finite; with the form `power` the means of all cells are positive. Shape
            (trials,).

        Raises
        ------
        AnalysisError
            For a single size, or fewer than 4 points of a size.
        """
        groups = Groups.of(trials, (size, x))
        cells = groups.decoded(groups.code, 2)
        if len(trials) == 0 or cells[size].nunique() < 2:
            raise AnalysisError(
                f"finite-size scaling needs at least 2 values of '{size}' among the trials that are ok and "
                "converged; add some, train longer, or widen window="
            )
        replicate = np.unique(replicate_codes(trials, groups.cell), return_inverse=True)[1]
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
            group=np.unique(log_size, return_inverse=True)[1],
            sums=Sums.of(groups.cell, replicate, values),
            squares=Sums.of(groups.cell, replicate, values**2),
        )  # fmt: skip

    @property
    def replicates(self) -> int:
        """How many there are."""
        return self.sums.replicates

    def means(self, weights: FloatArray | None = None) -> Means:
        """The means of all cells and their errors, of all replicates or in draws of them.

        The variance over replicates, with the form `power` that of the relative deviation, is moderated.

        Parameters
        ----------
        weights
            How often each replicate was drawn, shape (draws, replicates); None: each once, one draw.
        """
        taken = np.ones((1, self.replicates)) if weights is None else weights
        with np.errstate(invalid="ignore", divide="ignore"):
            total, number = (each.T for each in self.sums.drawn(taken))
            mean = total / number
            variance = (
                (self.squares.drawn(taken)[0].T / number - mean**2) * number / np.maximum(number - 1, 1)
            )
            unit = mean**2 if self.form == "power" else np.ones_like(mean)
            variance = moderated(np.maximum(variance, 0) / unit, number - 1) * unit
            error = np.sqrt(variance / number + self._least_error**2)
        return Means(mean=mean, error=error)

    @cached_property
    def _least_error(self) -> float:
        return _LEAST_ERROR * float(np.ptp(self.sums.means))

    def scaled(
        self, parameters: FloatArray, mean: FloatArray, error: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The scaled x, y and error of y; logarithms with the form `power`.

        Parameters
        ----------
        parameters
            The exponents of y and of x, and with `critical` the critical x; shape (draws, 2 or 3).
        mean, error
            As `means` gives them, shape (draws, cells).

        Returns
        -------
        Three arrays of shape (draws, cells).
        """
        a, b = parameters[:, 0:1], parameters[:, 1:2]
        if self.form == "power":
            u = np.log(self.size)
            return np.log(self.x) + b * u, np.log(mean) - a * u, error / np.abs(mean)
        shrink = self.size**-a
        return (self.x - parameters[:, 2:3]) * self.size**b, mean * shrink, error * shrink

    def at_size(self, parameters: FloatArray, size: float) -> FloatArray:
        """Where a curve of another size has the scaled x of each cell, in `positions`."""
        b = parameters[:, 1:2]
        if self.form == "power":
            return np.asarray(np.log(self.x) + b * np.log(self.size / size), dtype=np.float64)
        moved = (self.x - parameters[:, 2:3]) * ((self.size / size) ** b - 1)
        return np.asarray(self.x + moved, dtype=np.float64)

    @cached_property
    def positions(self) -> FloatArray:
        """The unscaled x of each cell; its logarithm with the form `power`."""
        return np.log(self.x) if self.form == "power" else self.x


@dataclass(frozen=True, slots=True, eq=False)
class _Size:
    """The points of one size, in order of x."""

    size: float
    positions: FloatArray
    near: IntArray
    """The last two known cells among the first so many points and the first two behind them; shape
    (4, draws, points + 1)."""


class CollapseQuality:
    """Houdayer and Hartmann's S of scaled curves, for many draws of replicates at once.

    For each point, a weighted parabola is fitted through the two points to each side of it of each other size
    that has points on both sides; S is the mean squared distance from it in units of both errors. They (Phys.
    Rev. B 70, 014418, 2004) take a line through one point to each side: between points as far apart as those
    of a sweep, curves bend by more than their errors, and S would be least where points of all sizes align.
    """

    def __init__(self, curves: SizeCurves, means: Means) -> None:
        """Take the means of the draws; cells that are NaN in a draw are left out of it."""
        self.curves, self.means = curves, means
        self.known = np.isfinite(means.mean) & (means.error > 0)
        if curves.form == "power":
            self.known &= means.mean > 0
        self.sizes = [self._size(group) for group in np.unique(curves.group)]

    def _size(self, group: int) -> _Size:
        own = np.flatnonzero(self.curves.group == group)
        own = own[np.argsort(self.curves.positions[own])]
        known = self.known[:, own]
        up_to = np.hstack([np.zeros((len(known), 1), np.int64), known.cumsum(axis=1)])
        rank = up_to + np.array([-2, -1, 0, 1])[:, None, None]
        cells = np.where(known, own, _NONE)
        in_order = np.take_along_axis(cells, np.argsort(~known, axis=1, kind="stable"), axis=1)
        inside = (rank >= 0) & (rank < up_to[:, -1:])
        chosen = np.take_along_axis(in_order[None], np.clip(rank, 0, len(own) - 1), axis=2)
        near = np.where(inside, chosen, _NONE)
        enclosed = (near[1] != _NONE) & (near[2] != _NONE)
        return _Size(
            size=float(self.curves.size[own[0]]), positions=self.curves.positions[own],
            near=np.where(enclosed, near, _NONE),
        )  # fmt: skip

    def __call__(self, parameters: FloatArray, draws: IntArray) -> FloatArray:
        """S of some draws at their parameters.

        Parameters
        ----------
        parameters
            Shape (k, 2 or 3), as `SizeCurves.scaled` takes them.
        draws
            The numbers of the draws, shape (k,).

        Returns
        -------
        Shape (k,); infinite where fewer than half of the points overlap with other sizes.
        """
        known = self.known[draws]
        with np.errstate(all="ignore"):
            x, y, error = self.curves.scaled(parameters, self.means.mean[draws], self.means.error[draws])
            sums = self._sums(parameters, draws, x, y, error)
            s0, s1, s2, s3, s4, t0, t1, t2 = sums
            c0, c1, c2 = s2 * s4 - s3**2, s2 * s3 - s1 * s4, s1 * s3 - s2**2
            determinant = s0 * c0 + s1 * c1 + s2 * c2
            curve = (c0 * t0 + c1 * t1 + c2 * t2) / determinant
            distance = (y - curve) ** 2 / (error**2 + c0 / determinant)
            usable = known & np.isfinite(distance) & (determinant > _SINGULAR * s0 * s2 * s4)
            total = np.where(usable, distance, 0).sum(axis=1)
            number = usable.sum(axis=1)
            enough = (2 * number >= known.sum(axis=1)) & (number > 0)
            return np.where(enough, total / number, np.inf)

    def _sums(
        self, parameters: FloatArray, draws: IntArray, x: FloatArray, y: FloatArray, error: FloatArray
    ) -> FloatArray:
        """Sums of w d^0 to w d^4 and w y d^0 to w y d^2 over the points near each, d = their x less its own.

        Shape (8, k, cells).
        """
        flat_x, flat_y, weight = x.ravel(), y.ravel(), (1 / error**2).ravel()
        first = (np.arange(len(x)) * x.shape[1])[:, None]
        sums = np.zeros((8, *x.shape))
        for group, other in enumerate(self.sizes):
            points = np.flatnonzero(self.curves.group != group)
            place = np.searchsorted(other.positions, self.curves.at_size(parameters, other.size)[:, points])
            near = other.near[:, draws[:, None], place]
            cell = first + near  # of the last cell of the row before, or of all, where there is none
            term = np.where(near != _NONE, weight[cell], 0)
            value = np.where(near != _NONE, flat_y[cell], 0)
            apart = flat_x[cell] - x[:, points]
            for power in range(5):
                sums[power][:, points] += term.sum(axis=0)
                if power < 3:
                    sums[5 + power][:, points] += (term * value).sum(axis=0)
                term *= apart
        return sums
