"""The curves of several sizes: their means and errors, resampled, and their scaled x."""

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

Form = Literal["power", "critical", "shift"]
_LEAST_ERROR: Final = 1e-3
"""The least error of a mean, as a share of the range, with the form `power` of the mean itself: replicates
that agree exactly are no proof of an exact mean."""
FEWEST_POINTS: Final = 4
"""Points that a curve of one size needs."""


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
        """The standard error of the mean of each cell, shape (cells,).

        The variance over replicates, with the form `power` that of the relative deviation, is moderated.
        """
        number = self.sums.numbers
        variance = (self.squares.means - self.mean**2) * number / np.maximum(number - 1, 1)
        unit = self.mean**2 if self.form == "power" else np.ones_like(self.mean)
        relative = moderated((np.maximum(variance, 0) / unit)[None], (number - 1)[None])[0]
        scale = self.mean if self.form == "power" else np.ptp(self.mean)
        return np.asarray(np.sqrt(relative * unit / number + (_LEAST_ERROR * scale) ** 2))

    def drawn(self, weights: FloatArray) -> FloatArray:
        """The means of all cells in draws of replicates, NaN where no replicate of a cell was drawn.

        Parameters
        ----------
        weights
            How often each replicate was drawn, shape (draws, replicates).

        Returns
        -------
        Shape (draws, cells).
        """
        return self.sums.drawn_means(weights).T

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
