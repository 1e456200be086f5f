"""What a law is: a mean as a function of x, with its fit to counts. `analysis/laws` holds one a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from phasediag.analysis.likelihood import deviance
from phasediag.arrays import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A law by which a count may follow a parameter."""

    name: str
    formula: str
    parameters: tuple[str, ...]
    mean: Callable[[FloatArray, FloatArray], FloatArray]
    """Of x, shape (points,), and the parameters, shape (parameters,); `curve` where numbers may be large."""
    fit: Callable[[FloatArray, FloatArray, FloatArray], Sequence[float]]
    """The parameters of highest quasi-likelihood, from x, means and weights, shape (points,) each."""
    polynomial: bool
    """Whether y is a power of x where x is large and where it is small."""
    price: int
    """What the parameters cost in an information criterion: their number, and 2 more for a change point
    (Y. Ninomiya, Annals of the Institute of Statistical Mathematics 67, 943, 2015)."""
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
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            return np.asarray(self.mean(x, parameters), dtype=np.float64)


def prediction_error(one: Law, x: FloatArray, means: FloatArray, weights: FloatArray) -> float:
    """How badly a law, fitted to two thirds of the window, foretells the rest: its quasi-deviance a point.

    Both ends are foretold in turn. Infinite where a law foretells no count and there is one, or no number;
    NaN where the two thirds hold too few values of x, or no count.
    """
    part = -(-2 * len(x) // 3)
    if part < one.points or part == len(x):
        return float("nan")
    total = 0.0
    for known in (slice(0, part), slice(len(x) - part, None)):
        rest = np.full(len(x), True)
        rest[known] = False
        if not means[known].any():
            return float("nan")
        curve = one.curve(x[rest], np.asarray(one.fit(x[known], means[known], weights[known])))
        if not np.isfinite(curve).all():
            return float("inf")
        total += float(deviance(curve, means[rest], weights[rest]).sum())
    return total / (2 * (len(x) - part))
