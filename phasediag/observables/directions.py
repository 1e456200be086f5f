"""Directions of neurons: how many distinct rays a layer of homogeneity 1 has."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from phasediag.observables.observable import DistanceObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class Directions(DistanceObservable):
    """Distances at which neurons merge along their rays, in units of the layer's neurons, descending.

    With an activation of homogeneity 1 (relu, linear) parallel neurons may share their mass in any way:
    neither the function nor decay knows the split, so that `classes` counts what training leaves to chance.
    These are the distances of `merged_rays`, times the scale of the living neurons over that of the merged
    ones, so that neither split nor width moves their number above epsilon. Elsewhere nothing is free: as
    `classes`.
    """

    name: ClassVar[str] = "directions"
    meaning: ClassVar[str] = "Distances at which neurons merge along their rays (homogeneity 1), descending."
    word: ClassVar[str] = "distance of merging"
    counts: ClassVar[Literal["below", "above"]] = "above"
    of_symmetry: ClassVar[bool] = False
    column: ClassVar[str] = "neuron_count"
    supersedes: ClassVar[str] = "classes"
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor:
        """Distances of the mergers and of the last cluster from zero, shape (networks, width)."""
        from phasediag.symmetry.distances import farthest_first

        if layer.homogeneity == 1:
            return layer.ray_distances
        return farthest_first(layer.unit_pairs, layer.unit_norms, layer.order) * layer.unit
