"""Permutation symmetry: how close neurons are to being exchanged without effect (A.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.observables.observable import DistanceObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class PermutationDistances(DistanceObservable):
    """Distances of neighbours in the order of norm, ties broken, width - 1."""

    name: ClassVar[str] = "permutation"
    meaning: ClassVar[str] = "Distances of neighbours in the order of norm, ties broken, width - 1."
    word: ClassVar[str] = "distance of neighbours"
    neurons_besides: ClassVar[int] = 1
    column: ClassVar[str] = "degree_of_symmetry"
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor:
        """What the group measures, shape (networks, length)."""
        from phasediag.symmetry.groups.permutation import Permutation

        return Permutation.of_layer(layer)
