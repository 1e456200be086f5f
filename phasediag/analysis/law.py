"""What a law is: a mean as a function of x, with its fit to counts. `analysis/laws` holds one a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from phasediag.arrays import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A law by which a count may follow a parameter."""

    name: str
    formula: str
    parameters: tuple[str, ...]
    mean: Callable[[FloatArray, FloatArray], FloatArray]
    """The mean at x, shape (points,), by parameters, shape (parameters,); `curve` where numbers may be
    large."""
    fit: Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
    """The parameters of highest quasi-likelihood of several problems at once, shape (problems, parameters):
    from x, shape (points,), and the means and weights of each problem, shape (problems, points). A weight of
    0 leaves a value of x out; the mean is 0 there."""
    polynomial: bool
    """Whether y is a power of x where x is large and where it is small."""
    points: int
    """How many values of x it needs at least."""
    reference: bool = False
    """Whether the others are measured against it: the one law whose exponent is stated."""
    trend: bool = True
    """Whether y changes with x at all."""
    direction: Literal["any", "falling", "growing"] = "any"
    """Which counts it is compared for: a law that can only fall says nothing of counts that grow."""

    def curve(self, x: FloatArray, parameters: FloatArray) -> FloatArray:
        """The means at x, shape (points,); NaN or infinite where they are no numbers of double precision."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
            return np.asarray(self.mean(x, parameters), dtype=np.float64)
