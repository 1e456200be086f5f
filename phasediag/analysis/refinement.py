"""Where more networks tell more: cells of a diagram that the boundary runs through, cut in two or four.

An interval that is wider than its cell is not narrowed by smaller cells: there replicates are added. And a
boundary may close inside a cell all of whose corners lie on one side: some cells are cut to look for that.

The rectangles of a lattice are cells; a point in the middle of a cell's edges and in its centre cuts it
into smaller ones. Which cells were cut already is read off the points themselves, so that a refinement
goes on from whatever a store holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from hashlib import blake2b
from itertools import pairwise
from math import ceil, isnan, log
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from phasediag.analysis.bootstrap import CONFIDENCE, FEWEST_REPLICATES
from phasediag.analysis.cells import decided_means
from phasediag.analysis.scale import Scale
from phasediag.arrays import FloatArray
from phasediag.trial import rounded

Point = tuple[float, float]
"""x and y."""

ROUNDING: Final = 1e-6
"""Share by which a cell may exceed the resolution: what rounding to 12 digits leaves."""


class Side(Enum):
    """The values of the trials at a point."""

    BELOW = "below"
    ABOVE = "above"
    DIVERGED = "diverged"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a point tells of the boundary."""

    side: Side
    unsure: bool = False
    """Whether the level lies in the 95 % interval of the mean."""
    replicates: int = 0
    """Trials that have a value there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCrossing:
    """Where a row crosses the level, with its 95 % interval."""

    y: float
    position: float
    low: float
    """NaN without an interval, and so is `high`."""
    high: float
    replicates: int
    """Behind the means beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """How the values of an axis are halved, and how far apart two of them are."""

    name: str
    scale: Scale
    integers: bool
    """Whether only whole numbers are allowed."""
    low: float
    high: float

    @classmethod
    def of(cls, name: str, values: FloatArray, *, integers: bool) -> Axis:
        """The axis through the distinct values of a lattice, ascending, at least two, shape (values,)."""
        return cls(
            name=name, scale=Scale.of(values), integers=integers, low=float(values[0]), high=float(values[-1])
        )

    @property
    def unit(self) -> str:
        """What sizes on this axis are counted in."""
        return "of the range" if self.scale.kind == "linear" else "decades"

    def size(self, low: float, high: float) -> float:
        """How far apart two values are: decades, or the share of the range on a linear axis."""
        start, end = self.scale.forward(np.array([low, high]))
        span = self.high - self.low if self.scale.kind == "linear" else log(10)
        return float((end - start) / span)

    def middle(self, low: float, high: float) -> float | None:
        """The value half way on the axis' scale, rounded as it is trained; None where none lies between."""
        half = _half(self.scale, low, high)
        if not self.integers:
            value = float(rounded(half))  # type: ignore[arg-type]
            return value if low < value < high else None
        if high - low < 2:
            return None
        return float(min(max(round(half), low + 1), high - 1))

    def coarse(self, low: float, high: float, resolution: float) -> bool:
        """Whether the resolution asks for a value between these two, and one is allowed."""
        return self.size(low, high) > resolution * (1 + ROUNDING) and self.middle(low, high) is not None

    def count(self, size: float) -> int:
        """How many values a regular grid over the whole axis takes to have cells of this size."""
        if size <= 0:
            return 1
        regular = 1 + ceil(self.size(self.low, self.high) / size * (1 - ROUNDING))
        return min(regular, int(self.high - self.low) + 1) if self.integers else regular


@cache
def _half(scale: Scale, low: float, high: float) -> float:
    return float(scale.inverse(scale.forward(np.array([low, high])).mean(keepdims=True))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A rectangle between four points."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def corners(self) -> tuple[Point, ...]:
        """Counted from bottom left, row by row."""
        return tuple((x, y) for y in (self.bottom, self.top) for x in (self.left, self.right))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposal:
    """What a refinement would do next."""

    points: Mapping[Point, int]
    """New points, each with the replicates that the best known corner of its cell has."""
    crossed: tuple[Cell, ...]
    """The smallest cells that the boundary runs through."""
    repeated: Mapping[Point, int] = field(default_factory=dict)
    """Points that need more replicates, each with how many: as many as the others beside its crossing, or
    twice as many where all have the same."""
    explored: tuple[Point, ...] = ()
    """The points among `points` that look for what no corner shows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lattice:
    """One slice of a design: its regular grid, and the values at all of its points."""

    x: Axis
    y: Axis
    columns: Sequence[float]
    """The x of the regular grid, ascending."""
    rows: Sequence[float]
    """The y of the regular grid, ascending."""
    places: Mapping[Point, Place] = field(repr=False)
    """Every point that was planned, those of earlier refinements included."""

    def propose(
        self, resolution: float, *, diverged: bool = False, crossings: Sequence[RowCrossing] = (),
        interval: float | None = None, explore: float = 0.0,
    ) -> Proposal:  # fmt: skip
        """The networks that come next.

        A cell whose points lie on both sides of the level is cut along both axes as far as the
        resolution asks. A cell on one side, but with a point whose interval holds the level, is cut
        along y alone: the new rows then reach out to where the side is sure, and their bootstrap does
        not end at their last point.

        Parameters
        ----------
        resolution
            Largest size of a cell on the boundary: decades, of linear axes the share of the range.
        diverged
            Whether a border between trials that diverged and others is refined too.
        crossings
            Where the rows cross the level.
        interval
            Wished width of the crossings' intervals, in the same unit; None: none is wished. What is wider
            takes replicates, along its row from where the side is sure to where it is sure again, and cells
            below half the width of their interval, or of the wished one, are not cut: they would not narrow
            it.
        explore
            Share of the new points, besides, that cut the largest cells off the boundary, where these are
            more than those on it.
        """
        points: dict[Point, int] = {}
        crossed, aside = [], []
        for cell in self._smallest():
            border = [self.places[point] for point in self._border(cell)]
            sides = {place.side for place in border} - {Side.UNKNOWN}
            crosses = {Side.BELOW, Side.ABOVE} <= sides or (
                diverged and len(sides) > 1 and Side.DIVERGED in sides
            )
            fine = resolution
            if interval is not None:
                fine = max(resolution, interval / 2, self._doubt(cell, crossings) / 2)
            along_x = crosses and self.x.coarse(cell.left, cell.right, fine)
            along_y = self.y.coarse(cell.bottom, cell.top, fine)
            if crosses:
                crossed.append(cell)
            if crosses or any(place.unsure for place in border):
                self._put(points, cell, along_x, along_y)
            else:
                aside.append(cell)
        much = len(aside) > len(crossed)  # else the boundary is everywhere, and cells aside are its gaps
        explored = self._explored(aside, ceil(explore * len(points) * much), resolution, points)
        repeated = {} if interval is None else self._repeated(crossings, interval)
        return Proposal(
            points=points | explored, crossed=tuple(crossed), repeated=repeated, explored=tuple(explored)
        )

    def _put(self, points: dict[Point, int], cell: Cell, along_x: bool, along_y: bool) -> None:
        """Add the points that cut a cell and are not there."""
        count = max(self.places[corner].replicates for corner in cell.corners)
        for point in self._cuts(cell, along_x, along_y):
            if point not in self.places:
                points[point] = max(count, points.get(point, 0))

    def _width(self, crossing: RowCrossing) -> float:
        """Width of an interval; infinite with too few replicates for one, 0 where there is none otherwise."""
        if crossing.replicates < FEWEST_REPLICATES:
            return float("inf")
        if isnan(crossing.low) or isnan(crossing.high):
            return 0.0
        low, high = max(crossing.low, self.x.low), min(crossing.high, self.x.high)
        return self.x.size(low, high) if low < high else 0.0

    def _doubt(self, cell: Cell, crossings: Sequence[RowCrossing]) -> float:
        """The widest interval of a crossing in a cell."""
        inside = (
            c for c in crossings
            if cell.bottom <= c.y <= cell.top and cell.left <= c.position <= cell.right
        )  # fmt: skip
        return max(map(self._width, inside), default=0.0)

    def _repeated(self, crossings: Sequence[RowCrossing], interval: float) -> dict[Point, int]:
        """The points beside the crossings whose intervals are wider than is wished, with their replicates."""
        rows: dict[float, list[float]] = {}
        for (x, y), place in self.places.items():
            if place.side in (Side.BELOW, Side.ABOVE):
                rows.setdefault(y, []).append(x)
        points: dict[Point, int] = {}
        for crossing in crossings:
            if self._width(crossing) <= interval * (1 + ROUNDING):
                continue
            row = sorted(rows.get(crossing.y, []))
            known = not isnan(crossing.low) and not isnan(crossing.high)
            low, high = (crossing.low, crossing.high) if known else (crossing.position, crossing.position)
            first, last = bisect_left(row, low) - 1, bisect_right(row, high)
            beside = {(x, crossing.y): self.places[x, crossing.y].replicates
                      for x in row[max(first, 0) : last + 1]}  # fmt: skip
            most = max(beside.values(), default=0)
            uneven = min(beside.values(), default=0) < most
            wanted = most if uneven else max(2 * most, FEWEST_REPLICATES)
            points |= {p: max(wanted, points.get(p, 0)) for p, count in beside.items() if count < wanted}
        return points

    def _explored(
        self, cells: Sequence[Cell], count: int, resolution: float, taken: Mapping[Point, int]
    ) -> dict[Point, int]:
        """Points that cut the largest of some cells, about so many; among equal ones chance decides."""

        def rank(cell: Cell) -> tuple[float, bytes]:
            size = self.x.size(cell.left, cell.right) * self.y.size(cell.bottom, cell.top)
            return -round(size, 9), blake2b(repr(cell.corners).encode(), digest_size=8).digest()

        points: dict[Point, int] = {}
        for cell in sorted(cells, key=rank):
            if len(points) >= count:
                break
            along_x = self.x.coarse(cell.left, cell.right, resolution)
            own: dict[Point, int] = {}
            self._put(own, cell, along_x, self.y.coarse(cell.bottom, cell.top, resolution))
            points |= {point: wanted for point, wanted in own.items() if point not in taken}
        return points

    def _smallest(self) -> Iterator[Cell]:
        """The cells that are not cut, from the regular grid down."""
        for bottom, top in pairwise(self.rows):
            for left, right in pairwise(self.columns):
                cell = Cell(left=left, right=right, bottom=bottom, top=top)
                if all(point in self.places for point in cell.corners):
                    yield from self._inside(cell)

    def _inside(self, cell: Cell) -> Iterator[Cell]:
        x, y = self.x.middle(cell.left, cell.right), self.y.middle(cell.bottom, cell.top)
        for along_x, along_y in ((True, True), (True, False), (False, True)):
            cuts = self._cuts(cell, along_x and x is not None, along_y and y is not None)
            if cuts and all(point in self.places for point in cuts):
                columns = [cell.left, x, cell.right] if along_x else [cell.left, cell.right]
                rows = [cell.bottom, y, cell.top] if along_y else [cell.bottom, cell.top]
                for bottom, top in _pairs(rows):
                    for left, right in _pairs(columns):
                        yield from self._inside(Cell(left=left, right=right, bottom=bottom, top=top))
                return
        yield cell

    def _cuts(self, cell: Cell, along_x: bool, along_y: bool) -> list[Point]:
        """The points that cut a cell in two or four; none where it is left whole."""
        x = self.x.middle(cell.left, cell.right) if along_x else None
        y = self.y.middle(cell.bottom, cell.top) if along_y else None
        cuts = [] if x is None else [(x, cell.bottom), (x, cell.top)]
        cuts += [] if y is None else [(cell.left, y), (cell.right, y)]
        return cuts if x is None or y is None else [*cuts, (x, y)]

    def _border(self, cell: Cell) -> Iterator[Point]:
        """The corners, and the points on the edges that the cutting of neighbours has left."""
        yield from cell.corners
        for y in (cell.bottom, cell.top):
            yield from self._between((cell.left, y), (cell.right, y))
        for x in (cell.left, cell.right):
            yield from self._between((x, cell.bottom), (x, cell.top))

    def _between(self, start: Point, end: Point) -> Iterator[Point]:
        x = start[0] if start[0] == end[0] else self.x.middle(start[0], end[0])
        y = start[1] if start[1] == end[1] else self.y.middle(start[1], end[1])
        if x is None or y is None or (x, y) not in self.places:
            return
        yield x, y
        yield from self._between(start, (x, y))
        yield from self._between((x, y), end)


def _pairs(values: Sequence[float | None]) -> list[tuple[float, float]]:
    known = [value for value in values if value is not None]
    return list(pairwise(known))


def places_of(cells: pd.DataFrame, x: str, y: str, order: str, level: float) -> dict[Point, Place]:
    """What the cells of a phase diagram say of the boundary, by the rules of the diagram.

    Parameters
    ----------
    cells
        Rows of `PhaseDiagram.cells` of one facet.
    order, level
        The order parameter, and its value on the boundary.
    """
    count = cells["replicates"].to_numpy(dtype=np.float64)
    mean = decided_means(cells, order)
    error = cells["std"].to_numpy(dtype=np.float64) / np.sqrt(np.maximum(count, 1))
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(count - 1, 1)) * error
    with np.errstate(invalid="ignore"):
        unsure = (count >= FEWEST_REPLICATES) & (np.abs(mean - level) <= reach)
    diverged = np.isnan(mean) & (cells["diverged_share"].to_numpy(dtype=np.float64) > 0.5)
    places = {}
    points = cells[[x, y]].to_numpy(dtype=np.float64).tolist()
    each = zip(points, mean.tolist(), unsure, diverged, count.astype(int).tolist(), strict=True)
    for (at_x, at_y), own, doubt, lost, trials in each:
        if np.isnan(own):
            place = Place(side=Side.DIVERGED if lost else Side.UNKNOWN, replicates=trials)
        else:
            side = Side.BELOW if own < level else Side.ABOVE
            place = Place(side=side, unsure=bool(doubt), replicates=trials)
        places[at_x, at_y] = place
    return places


def crossings_of(boundary: pd.DataFrame, y: str) -> list[RowCrossing]:
    """Where the rows of a diagram cross the level, without those that have not converged.

    Parameters
    ----------
    boundary
        Rows of `PhaseDiagram.boundary` of one facet.
    """
    rows = boundary[boundary["position"].notna() & boundary["converged"].fillna(False).astype(bool)]
    columns = rows[[y, "position", "low", "high", "replicates"]].to_numpy(dtype=np.float64)
    return [
        RowCrossing(y=at, position=position, low=low, high=high, replicates=int(count))
        for at, position, low, high, count in columns.tolist()
    ]
