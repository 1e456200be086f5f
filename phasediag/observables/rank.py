"""Rank of the incoming weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt

from phasediag.arrays import FloatArray
from phasediag.observables.observable import DistanceObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry

RANK_TOLERANCE: Final = 0.01
"""A singular value counts towards the rank above this share of the largest."""


class Rank(DistanceObservable):
    """Singular values of the incoming weights as they are, without gauge, descending."""

    name: ClassVar[str] = "rank"
    meaning: ClassVar[str] = "Singular values of the incoming weights as they are, without gauge, descending."
    word: ClassVar[str] = "singular value"
    of_symmetry: ClassVar[bool] = False
    column: ClassVar[str] = "rank"
    counts: ClassVar[Literal["below", "above"]] = "above"
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor:
        """Singular values, (networks, min(width, incoming weights)); under vmap LAPACK rounds otherwise."""
        from phasediag.symmetry.singular_values import singular_values

        return singular_values(layer.raw.incoming)

    def limit(
        self, distances: npt.NDArray[np.floating], epsilon: FloatArray, absolute: float | FloatArray,
        factor: float = 1.0,
    ) -> FloatArray:  # fmt: skip
        """The larger of `absolute` and RANK_TOLERANCE times the largest singular value. Shape (trials,)."""
        del epsilon
        largest = distances.max(axis=1, initial=0.0)
        limit: FloatArray = np.maximum(absolute, factor * RANK_TOLERANCE * largest).astype(np.float64)
        return limit

    def chosen(self, distances: npt.NDArray[np.floating], limit: FloatArray) -> npt.NDArray[np.bool_]:
        """Singular values above the limit; one that is at it does not count. Shape (trials, values)."""
        return distances > limit[:, None]
