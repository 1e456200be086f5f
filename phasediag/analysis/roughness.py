"""Whether a boundary is a line: its dimension, and how far in x it is spread.

The boundary of a two-layer network's trainability is a fractal (J. Sohl-Dickstein, arXiv:2402.06184):
such a boundary has no position below the width over which it is spread, however fine the grid.

The dimension is that of the uncertainty exponent a: the share of pairs of cells at distance r which lie in
different phases falls as r^a, and the box dimension is 2 - a (C. Grebogi, S. W. McDonald, E. Ott and
J. A. Yorke, Physics Letters 99A, 415, 1983). Cells are points here, so that the smallest distances are as
good as any; counted boxes of a few cells are too many of a smooth line and too few of a rough one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from phasediag.analysis.bootstrap import CONFIDENCE
from phasediag.analysis.labels import prose
from phasediag.analysis.phases import PhaseDiagram
from phasediag.analysis.result import Result, plain
from phasediag.arrays import BoolArray, FloatArray
from phasediag.errors import AnalysisError

FEWEST_CELLS: Final = 64
"""Cells along each axis: fewer leave no three distances."""
BLOCKS: Final = 4
"""Parts of each axis: the image is cut into so many times so many blocks, left out one at a time."""
UNEVEN: Final = 1e-6
"""Relative departure from even spacing that is rounding."""
STEADY: Final = 0.05
"""Difference of two dimensions that is none."""
FEWEST_BLOCKS: Final = 5
"""Blocks through which the boundary must run for an interval."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Roughness(Result):
    """The box dimension of a boundary in an image of cells, and its spread along x."""

    figure: ClassVar[str] = "roughness"

    x: str
    y: str
    order: str
    dimension: float
    """2 less the slope of log(share) against log(distance), by least squares: 1 for a smooth line."""
    low: float
    """End of the 95 % interval, by leaving out one block of the image at a time; NaN with few blocks."""
    high: float
    small: float
    """The dimension from the shorter half of the distances alone."""
    large: float
    """The dimension from the longer half."""
    spread: float
    """Median over the rows that cross of the distance along x from their first crossing to their last, in
    decades where x is logarithmic."""
    crossings: float
    """Median number of crossings of the rows that cross."""
    decades: bool
    """Whether x is logarithmic."""
    pairs: pd.DataFrame
    """One row a distance: `distance` (cells, along x and along y), `share` (of the pairs of cells so far
    apart that lie in different phases), `dimension` (from this distance and the next, NaN for the last)."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Pairs by their distance."""
        return {"pairs": self.pairs}

    @property
    def rough(self) -> bool | None:
        """Whether it is no smooth line at the distances measured; None where the intervals leave it open."""
        if not np.isfinite(self.low):
            return None
        if self.low > 1 and min(self.small, self.large) > 1:
            return True
        return False if self.high < 1.1 else None

    @property
    def stable(self) -> bool:
        """Whether the dimensions at short and at long distances both lie in the interval, or within 0.05."""
        ends = (self.small, self.large)
        inside = all(self.low <= end <= self.high for end in ends)
        return inside or abs(self.small - self.large) < STEADY

    @property
    def findings(self) -> tuple[str, ...]:
        """The dimension, whether it is the same at all sizes, and what that says of a position."""
        ends = f"[{self.low:.3f}, {self.high:.3f}]" if np.isfinite(self.low) else "(no interval)"
        distances = self.pairs["distance"]
        said = {
            True: "The boundary is rough at all distances measured",
            False: "The boundary is a smooth line at the distances measured",
            None: "Cannot tell whether the boundary is rough",
        }[self.rough]
        steady = "stable" if self.stable else "NOT stable: no one dimension describes all of them"
        first = (
            f"{said}: dimension {self.dimension:.3f} {ends} from {distances.min()} to {distances.max()} "
            f"cells ({self.small:.3f} at short and {self.large:.3f} at long distances: {steady})."
        )
        unit = "decades of " if self.decades else ""
        second = (
            f"A row crosses it {self.crossings:g} times, over {self.spread:.3g} {unit}{prose(self.x)} "
            "(medians): below that it has no position."
        )
        return (first, *([second] if self.crossings > 1 else []))

    @property
    def warnings(self) -> tuple[str, ...]:
        """That a dimension is one of this grid alone where it has no interval."""
        if np.isfinite(self.low):
            return ()
        return (f"The boundary runs through fewer than {FEWEST_BLOCKS} of {BLOCKS**2} blocks: no interval.",)

    def as_dict(self) -> dict[str, Any]:
        """The dimension with its interval, and the pairs, in plain types."""
        names = (
            "x", "y", "order", "dimension", "low", "high", "small", "large", "stable", "rough", "spread",
            "crossings",
        )  # fmt: skip
        return {**{name: plain(getattr(self, name)) for name in names}, "pairs": plain(self.pairs)}


def boundary_roughness(diagram: PhaseDiagram) -> Roughness:
    """The dimension of a diagram's boundary, from pairs of cells at distances that double.

    Parameters
    ----------
    diagram
        Of x and y, without facets, evenly spaced, at least 64 cells along each. Cells without a mean belong
        to neither phase.

    Raises
    ------
    AnalysisError
        Where the diagram is no such image, or has no boundary; says what to do.
    """
    upper, known = _image(diagram)
    distances = _distances(min(upper.shape))
    unlike, pairs = (
        np.array(part) for part in zip(*(_by_block(upper, known, r) for r in distances), strict=True)
    )
    if not (unlike.sum(axis=1) > 0).all():
        raise AnalysisError(
            "the diagram has no boundary: all cells with a value lie on one side of the level"
        )
    logs, share = np.log(distances), unlike.sum(axis=1) / pairs.sum(axis=1)
    dimension = _dimension(logs, share)
    low, high = _interval(logs, unlike, pairs, dimension)
    half = (len(distances) + 1) // 2
    local = np.append(2 - np.diff(np.log(share)) / np.diff(logs), np.nan)
    spread, crossings = _spread(upper, known, _along_x(diagram))
    return Roughness(
        x=diagram.x, y=diagram.y, order=diagram.order, dimension=dimension, low=low, high=high,
        small=_dimension(logs[:half], share[:half]), large=_dimension(logs[-half:], share[-half:]),
        spread=spread, crossings=crossings, decades=diagram.x_scale.kind == "log",
        pairs=pd.DataFrame({"distance": distances, "share": share, "dimension": local}),
    )  # fmt: skip


def _image(diagram: PhaseDiagram) -> tuple[BoolArray, BoolArray]:
    """Which cells are above the level, and which have a mean, shape (values of y, values of x)."""
    if not diagram.y:
        raise AnalysisError("roughness is that of a boundary in two dimensions: name y")
    if diagram.facets:
        raise AnalysisError(
            f"choose one value of {', '.join(diagram.facets)}: roughness is that of one panel"
        )
    table = diagram.cells.pivot(index=diagram.y, columns=diagram.x, values="mean")
    if min(table.shape) < FEWEST_CELLS:
        rows, columns = table.shape
        raise AnalysisError(
            f"{columns} x {rows} cells are too few for a box dimension; run at least {FEWEST_CELLS} along "
            "each axis"
        )
    for name, scale in ((diagram.x, diagram.x_scale), (diagram.y, diagram.y_scale)):
        values = (table.columns if name == diagram.x else table.index).to_numpy(dtype=np.float64)
        steps = np.diff(scale.forward(values))
        if np.ptp(steps) > UNEVEN * steps.max() * len(steps):
            raise AnalysisError(
                f"the values of {name} are not evenly spaced: no distance is that of all pairs"
            )
    mean = table.to_numpy(dtype=np.float64)
    return mean >= diagram.level, np.isfinite(mean)


def _along_x(diagram: PhaseDiagram) -> FloatArray:
    """The values of x, in decades where they are logarithmic."""
    values = np.unique(diagram.cells[diagram.x].to_numpy(dtype=np.float64))
    return np.log10(values) if diagram.x_scale.kind == "log" else diagram.x_scale.forward(values)


def _distances(side: int) -> npt.NDArray[np.int64]:
    """Powers of two up to a sixteenth of the image: beyond, it is the shape of the phases that counts."""
    return 2 ** np.arange(int(np.log2(side // 16)) + 1)


def _by_block(upper: BoolArray, known: BoolArray, distance: int) -> tuple[FloatArray, FloatArray]:
    """Pairs of cells so far apart in different phases, and all pairs, by block, shape (blocks,) each."""
    unlike, pairs = np.zeros((2, BLOCKS**2))
    row, column = (np.arange(side) * BLOCKS // side for side in upper.shape)
    block = row[:, None] * BLOCKS + column
    for shift in ((distance, 0), (0, distance)):
        here = tuple(slice(0, side - step) for side, step in zip(upper.shape, shift, strict=True))
        there = tuple(slice(step, side) for side, step in zip(upper.shape, shift, strict=True))
        both = known[here] & known[there]
        parted = both & (upper[here] != upper[there])
        unlike += np.bincount(block[here][parted], minlength=BLOCKS**2)
        pairs += np.bincount(block[here][both], minlength=BLOCKS**2)
    return unlike, pairs


def _dimension(logs: FloatArray, share: FloatArray) -> float:
    return 2 - float(np.polyfit(logs, np.log(share), 1)[0])


def _interval(
    logs: FloatArray, unlike: FloatArray, pairs: FloatArray, dimension: float
) -> tuple[float, float]:
    """Student's interval over the blocks through which the boundary runs, each left out in turn."""
    crossed = np.flatnonzero(unlike[0] > 0)
    number = len(crossed)
    if number < FEWEST_BLOCKS:
        return float("nan"), float("nan")
    shares = [
        (unlike.sum(axis=1) - unlike[:, block]) / (pairs.sum(axis=1) - pairs[:, block]) for block in crossed
    ]
    left_out = np.array([_dimension(logs, share) for share in shares])
    error = np.sqrt((number - 1) / number * np.square(left_out - left_out.mean()).sum())
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, number - 1) * error)
    return dimension - reach, dimension + reach


def _spread(upper: BoolArray, known: BoolArray, x: FloatArray) -> tuple[float, float]:
    """Medians over the rows that cross: from the first crossing to the last, and how many."""
    crossing = (upper[:, 1:] != upper[:, :-1]) & known[:, 1:] & known[:, :-1]
    number = crossing.sum(axis=1)
    crossing, number = crossing[number > 0], number[number > 0]
    if not len(number):
        return float("nan"), 0.0
    first = crossing.argmax(axis=1)
    last = crossing.shape[1] - 1 - crossing[:, ::-1].argmax(axis=1)
    middle = (x[1:] + x[:-1]) / 2
    return float(np.median(middle[last] - middle[first])), float(np.median(number))
