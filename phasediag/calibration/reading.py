"""One line of a calibration: exact against measured, and whether that is good enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, log
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from scipy import stats

from phasediag.analysis.bootstrap import CONFIDENCE
from phasediag.analysis.phases import phase_diagram
from phasediag.arrays import FloatArray

TOLERANCE: Final = 0.02
"""Relative, where an experiment states no other."""
SPAN: Final = 2.0
"""Factor by which a scan reaches beyond the exact value, on each side."""
_OFF_CENTRE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An exact result beside what was measured of it."""

    result: str
    """`E1` to `E15`, or `Ising`."""
    quantity: str
    exact: float
    measured: float
    """NaN where the trials have none."""
    low: float
    high: float
    """The 95 % interval of `measured`."""
    tolerance: float
    """Relative."""
    kind: Literal["boundary", "value"]
    scan: tuple[float, float] | None = None
    """The smallest and largest value that were trained, of a boundary."""

    @property
    def relative_error(self) -> float:
        """(measured - exact) / exact; infinite where the exact value is zero."""
        return self.measured / self.exact - 1 if self.exact else inf

    @property
    def fault(self) -> str:
        """Why the reading fails; empty where it passes."""
        if not isfinite(self.measured):
            return "not found"
        if self.scan is not None and not spans(*self.scan, self.exact):
            return f"the scan {self.scan[0]:g} to {self.scan[1]:g} does not fairly enclose {self.exact:g}"
        if self.kind == "boundary" and abs(self.relative_error) > self.tolerance:
            return f"off by {self.relative_error:+.1%}, allowed {self.tolerance:.0%}"
        if self.kind == "value" and not self.low <= self.exact <= self.high:
            return f"exact value outside the interval, off by {self.relative_error:+.1%}"
        if not (self.high - self.low) <= 2 * self.tolerance * abs(self.exact) * (1 + 1e-9):
            return f"the interval is wider than {2 * self.tolerance:.0%}"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON and for a frame."""
        return {
            "result": self.result, "quantity": self.quantity, "kind": self.kind, "exact": self.exact,
            "measured": self.measured, "low": self.low, "high": self.high,
            "relative_error": self.relative_error, "tolerance": self.tolerance,
            "passed": not self.fault, "fault": self.fault,
        }  # fmt: skip


def spans(low: float, high: float, exact: float) -> bool:
    """Whether a scan reaches a factor of 2 to each side of a value without being centred on it."""
    inside = low * SPAN <= exact <= high / SPAN
    return inside and abs(log(low * high / exact**2)) > _OFF_CENTRE


def boundaries(
    result: str,
    quantity: str,
    trials: pd.DataFrame,
    exact: Callable[[float], float],
    *,
    x: str,
    y: str,
    order: str,
    level: float,
    tolerance: float = TOLERANCE,
) -> list[Reading]:
    """One reading for each value of y: the main boundary along x that `phase_diagram` finds.

    Parameters
    ----------
    quantity
        With `{}` where the value of y goes.
    exact
        From a value of y to the exact boundary.
    """
    timeless = trials.drop(columns="converged", errors="ignore")  # exact for the length that was trained
    boundary = phase_diagram(timeless, x=x, y=y, order=order, level=level).main
    readings = []
    for value, position, low, high in boundary[[y, "position", "low", "high"]].itertuples(index=False):
        scanned = trials.loc[trials[y] == value, x]
        readings.append(
            Reading(
                result=result, quantity=quantity.format(f"{value:g}"), exact=exact(float(value)),
                measured=position, low=low, high=high, tolerance=tolerance, kind="boundary",
                scan=(float(scanned.min()), float(scanned.max())),
            )
        )  # fmt: skip
    return readings


def value(
    result: str,
    quantity: str,
    exact: float,
    measured: Sequence[float] | FloatArray,
    *,
    tolerance: float = TOLERANCE,
    systematic: float = 0.0,
) -> Reading:
    """A mean over independent replicates, with Student's interval.

    Parameters
    ----------
    measured
        One number a replicate, shape (replicates,).
    systematic
        Relative; widens the interval to each side. What the finite learning rate, the finite time or the
        rounding may do, which replicates share.
    """
    values = np.asarray(measured, dtype=np.float64)
    mean = float(values.mean())
    spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    student = float(stats.t.ppf(0.5 + CONFIDENCE / 2, max(1, len(values) - 1)))
    half = student * spread / np.sqrt(len(values)) + systematic * abs(exact)
    return Reading(
        result=result, quantity=quantity, exact=exact, measured=mean, low=mean - half, high=mean + half,
        tolerance=tolerance, kind="value",
    )  # fmt: skip
