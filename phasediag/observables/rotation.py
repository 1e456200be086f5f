"""Rotation: how close a layer is to low rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.observables.observable import DistanceObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class Rotations(DistanceObservable):
    """Norms of the neurons along the eigenvectors of their scalar products, descending."""

    name: ClassVar[str] = "rotation"
    meaning: ClassVar[str] = (
        "Norms of the neurons along the eigenvectors of their scalar products, descending."
    )
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor:
        """What the group measures, shape (networks, length)."""
        from phasediag.symmetry.groups.rotation import Rotation

        return Rotation.of_layer(layer)
