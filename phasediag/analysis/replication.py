"""How many replicates a wished interval takes, from a pilot, and what no number of them reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from scipy import optimize, stats

from phasediag.analysis.bootstrap import CONFIDENCE, FEWEST_REPLICATES
from phasediag.analysis.labels import prose
from phasediag.analysis.phases import PhaseDiagram
from phasediag.analysis.result import Result, plain
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

ROUNDING: Final = 1e-9
"""Relative difference of two positions that is rounding."""
MOST: Final = 1_000_000
"""More replicates than this are none that anyone trains."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Replication(Result):
    """The replicates that make the interval of a boundary as narrow as is wished."""

    figure: ClassVar[str] = "replication"

    x: str
    width: float
    """The wished width of the 95 % interval, in `unit`."""
    unit: str
    """Decades on a logarithmic axis, else the unit of x."""
    needed: int
    """For the median row: the fewest replicates whose Student's interval is expected to be that narrow."""
    fewest: int
    """How many it takes where the pilot's spread happened to be large: a 90 % interval of what it tells."""
    most: int
    rows: pd.DataFrame
    """One row a boundary point of the diagram: its facets and y, `branch`, `replicates` and `width` of the
    pilot, `spread` (the standard deviation of one replicate's boundary), `needed`, and `hindrance`: what
    replicates do not mend (empty, or why not)."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """What each row of the diagram takes."""
        return {"rows": self.rows}

    @property
    def findings(self) -> tuple[str, ...]:
        """How many replicates, and how sure the pilot is of that."""
        known = self.rows[self.rows["hindrance"] == ""]
        if known.empty:
            return (f"No number of replicates is known to give an interval of {self._wish}.",)
        worst = int(known["needed"].max())
        return (
            f"A 95 % interval of {self._wish} takes {self.needed:,} replicates in the median row "
            f"({self.fewest:,} to {self.most:,}: the pilot's {_span(known['replicates'])} replicates tell "
            f"the spread only so well), {worst:,} in every row that replicates can narrow.",
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What replicates do not reach, and in how many rows."""
        counts = self.rows.loc[self.rows["hindrance"] != "", "hindrance"].value_counts()
        return tuple(f"{count} of {len(self.rows)} rows: {why}." for why, count in counts.items())

    @property
    def _wish(self) -> str:
        return (
            f"{self.width:g} {self.unit} of {prose(self.x)}"
            if self.unit
            else f"{self.width:g} of {prose(self.x)}"
        )

    def expected(self, replicates: FloatArray) -> FloatArray:
        """The expected width of the median row's interval, shape of `replicates` (3 and more)."""
        spread = float(self.rows.loc[self.rows["hindrance"] == "", "spread"].median())
        return spread * _widths(replicates)

    def as_dict(self) -> dict[str, Any]:
        """What is needed, and each row, in plain types."""
        names = ("x", "width", "unit", "needed", "fewest", "most")
        return {**{name: plain(getattr(self, name)) for name in names}, "rows": plain(self.rows),
                "warnings": list(self.warnings)}  # fmt: skip


def replicates_needed(diagram: PhaseDiagram, width: float) -> Replication:
    """From the intervals of a pilot's boundary to the replicates that make them as narrow as is wished.

    An interval of n replicates is 2 t(n - 1) s / sqrt(n) wide, s the spread of one replicate's boundary and
    t Student's quantile. From the pilot's width and n follows s, from the wished width n. The pilot knows s
    only as well as n - 1 degrees of freedom tell it: `fewest` and `most` are of the 90 % interval of s. All
    rows share their replicates, so that many rows tell no more than one.

    Replicates do not narrow an interval below the cell in which the order parameter jumps, nor find a
    boundary where there is none, nor settle what has not converged.

    Parameters
    ----------
    diagram
        Of the pilot, with 3 replicates or more.
    width
        The wished width: decades of a logarithmic x, else in its units.

    Raises
    ------
    AnalysisError
        Where the width is no positive number, or the pilot has fewer than 3 replicates.
    """
    if not 0 < width < np.inf:
        raise AnalysisError(f"a width of {width:g} is no interval; give a positive number")
    boundary = diagram.boundary
    if not len(boundary) or boundary["replicates"].max() < FEWEST_REPLICATES:
        raise AnalysisError(
            f"the pilot has fewer than {FEWEST_REPLICATES} replicates, which tell no spread; launch it with "
            f"replicates: {FEWEST_REPLICATES} or more"
        )
    decades = diagram.x_scale.kind == "log"
    low, high = (_coordinate(boundary[name], decades=decades) for name in ("low", "high"))
    measured = high - low
    count = boundary["replicates"].to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore"):
        spread = measured / _widths(np.maximum(count, FEWEST_REPLICATES))
    hindrance = [_hindrance(diagram, row, width, decades=decades) for _, row in boundary.iterrows()]
    clear = np.array([not why for why in hindrance])
    needed = np.array([_fewest(s, width) if ok else 0 for s, ok in zip(spread, clear, strict=True)])
    keys = [*diagram.facets, *([diagram.y] if diagram.y else [])]
    rows = boundary[[*keys, "branch"]].assign(
        replicates=boundary["replicates"], width=measured, spread=np.where(clear, spread, np.nan),
        needed=needed, hindrance=hindrance,
    )  # fmt: skip
    ends = (0, 0, 0)
    if clear.any():
        middle, freedom = float(np.median(spread[clear])), float(np.median(count[clear])) - 1
        tails = np.sqrt(freedom / stats.chi2.ppf([0.95, 0.5, 0.05], freedom))
        ends = (_fewest(middle * tails[0], width), _fewest(middle, width), _fewest(middle * tails[2], width))
    return Replication(
        x=diagram.x, width=width, unit="decades" if decades else "", needed=ends[1], fewest=ends[0],
        most=ends[2], rows=rows,
    )  # fmt: skip


def _coordinate(values: pd.Series[float], *, decades: bool) -> FloatArray:
    numbers = values.to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore"):  # an open end is infinite
        return np.asarray(np.log10(numbers) if decades else numbers)


def _widths(replicates: FloatArray) -> FloatArray:
    """The width of Student's interval, in spreads of one replicate."""
    return np.asarray(2 * stats.t.ppf((1 + CONFIDENCE) / 2, replicates - 1) / np.sqrt(replicates))


def _fewest(spread: float, width: float) -> int:
    """The fewest replicates, 3 and more, whose interval is expected to be so narrow."""
    if spread * float(_widths(np.array(FEWEST_REPLICATES))) <= width:
        return FEWEST_REPLICATES
    if spread * float(_widths(np.array(MOST))) > width:
        return MOST
    root = optimize.brentq(
        lambda n: spread * float(_widths(np.array(n))) - width, FEWEST_REPLICATES, MOST, xtol=1e-6
    )
    return ceil(float(root) - 1e-6)


def _hindrance(diagram: PhaseDiagram, row: pd.Series[Any], width: float, *, decades: bool) -> str:
    """What replicates do not mend in a row; empty where they narrow its interval."""
    if not np.isfinite(row["position"]):
        return "no boundary to narrow: the order parameter does not cross its level"
    if not row["converged"]:
        return "not converged: train longer, a front of training time has no interval"
    if row["replicates"] < FEWEST_REPLICATES:
        return f"fewer than {FEWEST_REPLICATES} replicates beside the boundary"
    ends = row[["low", "high"]].to_numpy(dtype=np.float64)
    if np.isinf(ends).any():
        return "the interval is open: the boundary may lie beyond the grid; widen it"
    values = np.unique(diagram.cells[diagram.x].to_numpy(dtype=np.float64))
    right = int(np.clip(np.searchsorted(values, row["position"]), 1, len(values) - 1))
    cell = values[right - 1 : right + 1]
    size = float(np.diff(np.log10(cell) if decades else cell)[0])
    if not np.isfinite(ends).all():
        return "the replicates agree exactly: nothing tells their spread"
    if size > width and np.isclose(ends, cell, rtol=ROUNDING).any():  # widened to the cell by the boundary
        return (
            f"the order parameter jumps within a cell of {size:.2g}, which replicates do not divide: refine, "
            f"or space {diagram.x} by {width:.2g} or less"
        )
    return ""


def _span(values: pd.Series[int]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"
