"""How an axis is spaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from phasediag.arrays import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How an axis is spaced: where to interpolate, and how to draw it."""

    kind: Literal["linear", "log", "asinh"]
    """asinh: zero beside logarithmically spaced values; linear below `width`, logarithmic above."""
    width: float = 1.0

    @classmethod
    def of(cls, values: FloatArray) -> Scale:
        """The scale on which these values are closest to evenly spaced.

        Parameters
        ----------
        values
            The distinct values of an axis, ascending, at least two, shape (values,).
        """
        positive = values[values > 0]
        if values[0] < 0 or len(positive) < 2 or not _closer_to_log(positive):
            return cls(kind="linear")
        if values[0] > 0:
            return cls(kind="log")
        wide = positive[-1] >= 10 * positive[0]
        return cls(kind="asinh", width=float(positive[0])) if wide else cls(kind="linear")

    def forward(self, values: FloatArray) -> FloatArray:
        """Coordinates in which the axis is evenly spaced, from its values; any shape."""
        if self.kind == "linear":
            return values
        return np.log(values) if self.kind == "log" else np.arcsinh(values / self.width)

    def inverse(self, coordinates: FloatArray) -> FloatArray:
        """Values of the axis from the coordinates that `forward` gives; any shape."""
        if self.kind == "linear":
            return coordinates
        return np.exp(coordinates) if self.kind == "log" else np.sinh(coordinates) * self.width


def _closer_to_log(positive: FloatArray) -> bool:
    if len(positive) == 2:
        return bool(positive[1] >= 10 * positive[0])
    rank = np.arange(len(positive))
    return bool(np.corrcoef(np.log(positive), rank)[0, 1] > np.corrcoef(positive, rank)[0, 1])
