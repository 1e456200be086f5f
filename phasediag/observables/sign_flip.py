"""Sign flips: how close neurons are to being dead."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.observables.observable import DistanceObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class Norms(DistanceObservable):
    """Norms of the neuron vectors in the gauge, ascending."""

    name: ClassVar[str] = "sign_flip"
    meaning: ClassVar[str] = "Norms of the neuron vectors in the gauge, ascending."
    word: ClassVar[str] = "norm of neurons"
    column: ClassVar[str] = "alive_count"
    complement: ClassVar[bool] = True
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor:
        """What the group measures, shape (networks, length)."""
        from phasediag.symmetry.groups.sign_flip import SignFlip

        return SignFlip.of_layer(layer)
