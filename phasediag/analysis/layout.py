"""Where the cells of a diagram lie: in rows along x, or in columns along y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phasediag.analysis.boundary import Rows
from phasediag.analysis.frame import Groups
from phasediag.analysis.scale import Scale
from phasediag.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """The cells of a diagram in lines, sorted by line and place; every array has shape (cells,)."""

    order: IntArray
    """The number of each cell in the diagram."""
    facet: IntArray
    line: IntArray
    """The number of the line: of the facet and the value of the other axis, ascending."""
    place: IntArray
    """The position of the value of its own axis among all values of it."""
    coordinate: FloatArray
    """The value of its own axis, on the scale on which to interpolate."""
    ordered: bool = True
    """Whether something lies between two values of its own axis, so that a level may be crossed there."""

    @classmethod
    def along_x(cls, group: Groups, scale: Scale, *, lines: bool) -> Layout:
        """Rows: one a facet and value of y; without y (`lines`) one a facet.

        Parameters
        ----------
        group
            The cells by facets, y and x.
        """
        line, place = np.divmod(group.code, len(group.levels[-1]))
        facet = line // len(group.levels[-2]) if lines else np.zeros_like(line)
        return cls(
            order=np.arange(len(line)), facet=facet, line=line, place=place,
            coordinate=_coordinates(group, -1, scale)[place], ordered=scale.ordered,
        )  # fmt: skip

    @classmethod
    def along_y(cls, group: Groups, scale: Scale) -> Layout:
        """Lines of cells along y: one for each facet and value of x."""
        width, height = len(group.levels[-1]), len(group.levels[-2])
        line, column = np.divmod(group.code, width)
        facet, place = np.divmod(line, height)
        order = np.lexsort((place, column, facet))
        place = place[order]
        return cls(
            order=order, facet=facet[order], line=(facet * width + column)[order], place=place,
            coordinate=_coordinates(group, -2, scale)[place], ordered=scale.ordered,
        )  # fmt: skip

    def rows(self, value: FloatArray, replicates: IntArray) -> Rows:
        """The lines with what the cells of the diagram hold.

        Parameters
        ----------
        value, replicates
            Of each cell in the order of the diagram, shape (cells,).
        """
        return Rows(
            row=np.unique(self.line, return_inverse=True)[1], coordinate=self.coordinate,
            value=value[self.order], replicates=replicates[self.order],
            linked=(np.diff(self.line) == 0) & ~self._gap() & self.ordered,
        )  # fmt: skip

    def _gap(self) -> BoolArray:
        """Whether a planned cell is missing between a cell and the next, shape (cells - 1,)."""
        facets, facet = np.unique(self.facet, return_inverse=True)
        lines = np.bincount(facet[np.flatnonzero(np.diff(self.line, prepend=-1))], minlength=len(facets))
        width = int(self.place.max()) + 1
        present = np.bincount(facet * width + self.place, minlength=len(facets) * width)
        present = present.reshape(len(facets), width)
        regular = 2 * present.sum(axis=1) >= lines * (present > 0).sum(axis=1)
        planned = np.cumsum((2 * present >= lines[:, None]) & regular[:, None], axis=1)
        before = planned[facet[1:], np.maximum(self.place[1:] - 1, 0)]
        return np.asarray(before > planned[facet[:-1], self.place[:-1]])


def _coordinates(group: Groups, axis: int, scale: Scale) -> FloatArray:
    return scale.forward(scale.places(group.levels[axis]))
