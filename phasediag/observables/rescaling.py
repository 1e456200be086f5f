"""Rescaling: how close neurons are to being dead, whatever the scales of input and output."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.observables.observable import DistanceObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class Rescalings(DistanceObservable):
    """Norm of each neuron vector, the smallest that rescaling reaches, ascending."""

    name: ClassVar[str] = "rescaling"
    meaning: ClassVar[str] = "Norm of each neuron vector, the smallest that rescaling reaches, ascending."
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor:
        """What the group measures, shape (networks, length)."""
        from phasediag.symmetry.groups.rescaling import Rescaling

        return Rescaling.of_layer(layer)
