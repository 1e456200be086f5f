"""The curves of several sizes: their means and errors, resampled, and their scaled x."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.polynomial.chebyshev import chebvander

from phasediag.analysis.bootstrap import Sums, replicate_codes
from phasediag.analysis.frame import Groups
from phasediag.analysis.moderation import moderated
from phasediag.arrays import FloatArray, IntArray
from phasediag.errors import AnalysisError

Form = Literal["power", "critical", "shift"]
_LEAST_ERROR: Final = 1e-3
"""The least error of a mean, as a share of the range, with the form `power` of the mean itself: replicates
that agree exactly are no proof of an exact mean."""
FEWEST_POINTS: Final = 4
"""Points that a curve of one size needs."""
_TREND: Final = 3
"""Degree in x of the trend of log variances; in the logarithm of the size it is 1."""
_CELLS: Final = 4
"""For each coefficient of the trend; with fewer its degree is lower."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """The means of all cells in draws of replicates; both of shape (draws, cells)."""

    values: FloatArray
    """NaN where no replicate of a cell was drawn."""
    errors: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class SizeCurves:
    """Sums of the values of each cell and replicate, ready to be scaled and resampled."""

    form: Form
    cells: pd.DataFrame
    x: FloatArray
    size: FloatArray
    """In units of the geometric mean of the sizes."""
    group: IntArray
    """The number of each cell's size, ascending."""
    sums: Sums
    squares: Sums
    """The sums of the squares of the values."""

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
        if len(fewest) < 2 or fewest.min() < FEWEST_POINTS:
            raise AnalysisError(
                f"{size}={fewest.idxmin()} has {fewest.min()} usable values of {x}, a collapse needs "
                f"{FEWEST_POINTS} of each; leave that {size} out, train longer, or widen window="
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

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order in which `scaled_x` takes them."""
        along = "x_shift" if self.form == "shift" else "x_exponent"
        return ("y_exponent", along, *(("critical",) if self.form == "critical" else ()))

    @cached_property
    def mean(self) -> FloatArray:
        """The mean of each cell, shape (cells,)."""
        return self.sums.means

    @cached_property
    def error(self) -> FloatArray:
        """The standard error of the mean of each cell, shape (cells,)."""
        return np.asarray(self._errors(self.mean[None], self.squares.means[None], self.sums.numbers[None])[0])

    def _errors(self, mean: FloatArray, square: FloatArray, number: FloatArray) -> FloatArray:
        """The standard error of each cell from its mean, mean square and number; (draws, cells) each.

        The variance over replicates, with the form `power` that of the relative deviation, is moderated along
        its trend in x and the size: at a transition it changes by orders of magnitude, but smoothly. A cell
        without values has the error of a single one.
        """
        unit = self.mean**2 if self.form == "power" else np.ones_like(self.mean)
        raw = np.maximum(square - mean**2, 0) * number / np.maximum(number - 1, 1) / unit
        relative = moderated(raw, np.maximum(number - 1, 0), self._trend)
        scale = self.mean if self.form == "power" else np.ptp(self.mean)
        return np.asarray(np.sqrt(relative * unit / np.maximum(number, 1) + (_LEAST_ERROR * scale) ** 2))

    @property
    def _trend(self) -> FloatArray | None:
        """Polynomials of x and the logarithm of the size, shape (cells, k); None: too few cells for any."""
        for degree in range(_TREND, 0, -1):
            if len(self.x) >= _CELLS * 2 * (degree + 1):
                along = chebvander(_centred(self.positions), degree)
                across = chebvander(_centred(np.log(self.size)), 1)
                return np.asarray((along[:, :, None] * across[:, None]).reshape(len(self.x), -1))
        return None

    def drawn(self, weights: FloatArray) -> Drawn:
        """The means of all cells in draws of replicates, with the errors that each draw would have.

        Cells whose values agree by chance weigh more than they should: draws fitted with the weights of all
        replicates would know nothing of it, and scatter less than the estimate does.

        Parameters
        ----------
        weights
            How often each replicate was drawn, shape (draws, replicates).
        """
        total, number = self.sums.drawn(weights)
        squares, _ = self.squares.drawn(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (total / number).T
            return Drawn(values=means, errors=self._errors(means, (squares / number).T, number.T))

    @cached_property
    def positions(self) -> FloatArray:
        """The unscaled x of each cell; its logarithm with the form `power`."""
        return np.log(self.x) if self.form == "power" else self.x

    def scaled_x(self, parameters: FloatArray) -> FloatArray:
        """The scaled x of each cell; its logarithm with the form `power`.

        Parameters
        ----------
        parameters
            One row a scaling, its columns as `names` says; shape (k, 2 or 3).

        Returns
        -------
        Shape (k, cells).
        """
        along = parameters[:, 1:2]
        if self.form == "critical":
            return np.asarray((self.x - parameters[:, 2:3]) * self.size**along)
        return np.asarray(self.positions + along * np.log(self.size))


def _centred(values: FloatArray) -> FloatArray:
    """The values on the range from -1 to 1."""
    low, high = values.min(), values.max()
    return np.asarray(2 * (values - low) / max(high - low, np.finfo(np.float64).tiny) - 1)
