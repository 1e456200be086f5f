"""The symmetries that sweeps record: an observable of each group that says how it is recorded."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from phasediag.observables.observable import DistanceObservable
from phasediag.symmetry.groups.declared import neuron_symmetries

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry
    from phasediag.symmetry.groups.neuron_symmetry import NeuronSymmetry


class SymmetryDistances(DistanceObservable):
    """The distances of a symmetry of neurons, as its group measures them; one class a symmetry."""

    symmetry: ClassVar[type[NeuronSymmetry]]
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor | None:
        """What the group measures of many networks at once, shape (networks, length)."""
        return self.symmetry.of_layer(layer)


def symmetry_observables() -> tuple[SymmetryDistances, ...]:
    """One observable for each symmetry with `recorded`; it is called like the symmetry, with underscores."""
    return tuple(_observable_of(each) for each in neuron_symmetries() if each.recorded is not None)


def _observable_of(symmetry: type[NeuronSymmetry]) -> SymmetryDistances:
    assert symmetry.recorded is not None
    stated: dict[str, Any] = asdict(symmetry.recorded)
    stated |= {"name": symmetry.name.replace(" ", "_"), "symmetry": symmetry}
    # What is stated of an observable belongs to its class, so that each symmetry gets one of its own.
    made: SymmetryDistances = type(f"{symmetry.__name__}Distances", (SymmetryDistances,), stated)()
    return made
