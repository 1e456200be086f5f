"""The legs of walks there and back: one trial's order parameter in the order of its stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phasediag.analysis.level import between, crosses
from phasediag.arrays import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Where a leg leaves the state in which it began."""

    position: float
    """Between the last stage in the old state and the first one in the new, by interpolation."""
    before: float
    """The last converged stage in the old state; where there is none, the first stage."""
    after: float
    """The first converged stage in the new state; where there is none, the last stage."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leg:
    """One way of one trial, in the order in which it was walked; arrays of shape (stages,)."""

    x: FloatArray
    value: FloatArray
    """The order parameter; NaN from where the trial diverged."""
    settled: BoolArray
    """Whether each stage converged."""

    @property
    def known(self) -> int:
        """For how many stages the order parameter is known: none once the trial has diverged."""
        finite = np.isfinite(self.value)
        return len(finite) if finite.all() else int(finite.argmin())

    def crossing(self, level: float) -> Crossing | None:
        """Where the order parameter first crosses a level; None where it does not as far as it is known."""
        count = self.known
        value = self.value[:count]
        crossed = np.flatnonzero(crosses(value[:-1], value[1:], level)[0])
        if not len(crossed):
            return None
        first = int(crossed[0]) + 1
        old = np.flatnonzero(self.settled[:first])
        new = first + np.flatnonzero(self.settled[first:count])
        x, y = (values[first - 1 : first + 1] for values in (self.x, value))
        return Crossing(
            position=float(between(x[:1], x[1:], y[:1], y[1:], level)[0]),
            before=float(self.x[old[-1] if len(old) else 0]),
            after=float(self.x[new[0] if len(new) else count - 1]),
        )

    def area(self) -> float:
        """The integral of the order parameter over x."""
        order = np.argsort(self.x)
        return float(np.trapezoid(self.value[order], self.x[order]))


def legs_of(stages: pd.DataFrame, x: str) -> dict[str, list[Leg]]:
    """The way up and the way down of each replicate; the turning point belongs to both.

    Parameters
    ----------
    stages
        With `stage`, `way`, x, `_replicate`, `_value` (the order parameter) and `_settled`; one trial for
        each replicate.
    """
    legs: dict[str, list[Leg]] = {"up": [], "down": []}
    for _, walk in stages.groupby("_replicate"):
        walk = walk.sort_values("stage")
        way = walk["way"].to_numpy()
        turn = int((way != way[0]).argmax())
        for name, part in ((way[0], walk.iloc[:turn]), (way[turn], walk.iloc[turn - 1 :])):
            legs[str(name)].append(
                Leg(
                    x=part[x].to_numpy(dtype=np.float64),
                    value=part["_value"].to_numpy(dtype=np.float64),
                    settled=part["_settled"].to_numpy(dtype=bool),
                )
            )
    return legs
