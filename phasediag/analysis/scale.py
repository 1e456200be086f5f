"""How an axis is spaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.arrays import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How an axis is spaced: where to interpolate, and how to draw it."""

    kind: Literal["linear", "log", "asinh", "category"]
    """asinh: zero beside logarithmically spaced values; linear below `width`, logarithmic above. category:
    values without an order, side by side; nothing lies between two of them."""
    width: float = 1.0
    names: tuple[Any, ...] = ()
    """The values of an axis of categories, in their order: the first is at 0, the second at 1."""

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

    @classmethod
    def of_categories(cls, values: Sequence[Any]) -> Scale:
        """The scale of an axis with these distinct values, in this order."""
        return cls(kind="category", names=tuple(values))

    @property
    def ordered(self) -> bool:
        """Whether something lies between two values: they are numbers."""
        return self.kind != "category"

    def places(self, values: pd.Series[Any] | npt.NDArray[Any]) -> FloatArray:
        """Values of the axis as numbers: themselves, or the positions of categories.

        Parameters
        ----------
        values
            Of any one shape.
        """
        if self.ordered:
            return np.asarray(values, dtype=np.float64)
        position = {key(name): at for at, name in enumerate(self.names)}
        texts = [key(value) for value in np.asarray(values, dtype=object).tolist()]
        return np.array([position[text] for text in texts], dtype=np.float64)

    def forward(self, values: FloatArray) -> FloatArray:
        """Coordinates in which the axis is evenly spaced, from values as `places` gives them; any shape."""
        if self.kind in ("linear", "category"):
            return values
        return np.log(values) if self.kind == "log" else np.arcsinh(values / self.width)

    def inverse(self, coordinates: FloatArray) -> FloatArray:
        """Values of the axis, as `places` gives them, from the coordinates of `forward`; any shape."""
        if self.kind in ("linear", "category"):
            return coordinates
        return np.exp(coordinates) if self.kind == "log" else np.sinh(coordinates) * self.width


def key(value: Any) -> str:
    """What tells a category from others: a null is one, too."""
    return "" if value is None or value is pd.NA or value != value else str(value)


def _closer_to_log(positive: FloatArray) -> bool:
    if len(positive) == 2:
        return bool(positive[1] >= 10 * positive[0])
    rank = np.arange(len(positive))
    return bool(np.corrcoef(np.log(positive), rank)[0, 1] > np.corrcoef(positive, rank)[0, 1])
