"""Double rotation: how close a layer or a head is to a common null vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.observables.observable import DistanceObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class DoubleRotations(DistanceObservable):
    """sqrt(2 sigma) of the product of outgoing and incoming weights, descending."""

    name: ClassVar[str] = "double_rotation"
    meaning: ClassVar[str] = "sqrt(2 sigma) of the product of outgoing and incoming weights, descending."
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor:
        """What the group measures, shape (networks, length)."""
        from phasediag.symmetry.groups.double_rotation import DoubleRotation

        return DoubleRotation.of_layer(layer)
