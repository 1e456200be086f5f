"""Points whose parameters have values, without what they were read by: workers load it too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from phasediag.arrays import BoolArray, Shape
from phasediag.grids.design_columns import Numbering, codes_at
from phasediag.trial import Encoded, IntArray

NOT_APPLICABLE: Final = Encoded(pool=(None,))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Points of a grid whose parameters have values."""

    columns: Mapping[str, Encoded]
    """The values of the points, which have a shape, by parameter."""
    shape: Shape
    """Places along each axis."""
    kept: BoolArray | None
    """The points that no exclusion removes; broadcasts to `shape`. None: all."""
    numbering: Numbering

    @property
    def count(self) -> int:
        """Points that no exclusion removes."""
        if self.kept is None:
            return prod(self.shape)
        return int(self.kept.sum()) * (prod(self.shape) // self.kept.size)

    def find(self, numbers: IntArray) -> tuple[tuple[IntArray, ...], BoolArray]:
        """Where points with some numbers are, along every axis, and whether there is one of that number."""
        places, there = self.numbering.places(numbers)
        if self.kept is not None:
            there = there & codes_at(self.kept, places)
        return places, there

    def column(self, places: Sequence[IntArray], name: str) -> Encoded:
        """A parameter of the points at some places, shape (places,); None where they lack it."""
        column = self.columns.get(name, NOT_APPLICABLE)
        return column if column.codes is None else column.recoded(codes_at(column.codes, places))
