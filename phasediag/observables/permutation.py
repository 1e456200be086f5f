"""Permutation symmetry: how close neurons are to being exchanged without effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.observables.observable import DistanceObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class PermutationDistances(DistanceObservable):
    """Lengths of the edges of the minimum spanning tree of the neurons, ascending, width - 1.

    The exchanges along the edges of a tree generate all permutations of the neurons, and of all trees this
    one keeps the most exchanges below any threshold: the degree rests on no order of the neurons. It is
    A.1's degree with that tree in place of the order of norm (`norm_order`).
    """

    name: ClassVar[str] = "permutation"
    meaning: ClassVar[str] = "Edges of the minimum spanning tree of the neurons, ascending, width - 1."
    word: ClassVar[str] = "edge of the spanning tree"
    neurons_besides: ClassVar[int] = 1
    column: ClassVar[str] = "degree_of_symmetry"
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor:
        """What the group measures, shape (networks, length)."""
        from phasediag.symmetry.groups.permutation import Permutation

        return Permutation.of_layer(layer)
