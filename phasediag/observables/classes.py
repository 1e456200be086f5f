"""Classes of neurons: how many are distinct and alive.

They are a maximal packing at epsilon, so that their number is between the packing numbers, which Theorem 4
bounds, at 2 epsilon and at epsilon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from phasediag.observables.observable import DistanceObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class Insertions(DistanceObservable):
    """Insertion distances of the farthest-first traversal from the origin, descending."""

    name: ClassVar[str] = "classes"
    meaning: ClassVar[str] = (
        "Insertion distances of the farthest-first traversal from the origin, descending."
    )
    word: ClassVar[str] = "distance of insertion"
    counts: ClassVar[Literal["below", "above"]] = "above"
    of_symmetry: ClassVar[bool] = False
    column: ClassVar[str] = "neuron_count"
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor:
        """Insertion distances, shape (networks, width)."""
        from phasediag.symmetry.distances import farthest_first

        return farthest_first(layer.unit_pairs, layer.unit_norms, layer.order) * layer.unit
