"""One layer of many networks: neuron vectors, norms, distances of pairs and the order of the neurons.

What several symmetries need is computed once, when it is first asked for. All distances are computed in a
unit of each network's own, a power of two, so that squares neither overflow nor vanish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from phasediag.symmetry.distances import pair_distances, parts_of
from phasediag.symmetry.gauge import balanced
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.symmetry.order import Part, order_neurons
from phasediag.symmetry.rays import merged_rays, scale_of
from phasediag.symmetry.vectors import InUnits, Neurons, raw_neurons
from phasediag.symmetry.views import separated


class Geometry:
    """The neurons of one layer of every network of a tile.

    Parameters
    ----------
    raw
        Gives the neuron vectors as the weights are; called where they are asked for.
    fixed
        Gives the neuron vectors in the balanced gauge; called where they are asked for, and once more where
        distances are. Distances hold a copy of their own: of a block of a large model, whose weights are
        half a gigabyte, these are held once where `fixed` reads them anew.
    homogeneity
        Of the activation.
    """

    def __init__(
        self, raw: Callable[[], Neurons], fixed: Callable[[], Neurons], homogeneity: int | None
    ) -> None:
        self._raw, self._fixed, self.homogeneity = raw, fixed, homogeneity

    @classmethod
    def of_one(
        cls, parameters: Mapping[str, Tensor], group: NeuronGroup, groups: Sequence[NeuronGroup] = ()
    ) -> Geometry:
        """The layer of a single network, as a tile of one.

        Parameters
        ----------
        parameters
            By name, without leading axes.
        groups
            All hidden layers of the network, which are balanced jointly; empty: this layer alone.
        """
        batched = {name: parameter[None] for name, parameter in parameters.items()}
        named, plain = separated(batched, groups or [group])
        own = next(each for each in plain if each.name == group.name)
        fixed = balanced(named, plain)
        return cls(partial(raw_neurons, named, own), partial(raw_neurons, fixed, own), own.homogeneity)

    @cached_property
    def raw(self) -> Neurons:
        """The neuron vectors as the weights are."""
        return self._raw()

    @cached_property
    def fixed(self) -> Neurons:
        """The neuron vectors in the balanced gauge."""
        return self._fixed()

    @cached_property
    def _scaled(self) -> InUnits:
        return InUnits.of(self._fixed())

    @property
    def unit(self) -> Tensor:
        """The unit of length of each network, shape (networks, 1)."""
        return self._scaled.unit

    @cached_property
    def _parts(self) -> list[Part]:
        scaled = self._scaled
        return parts_of(scaled.vectors, scaled.parity, scaled.leading)

    @cached_property
    def unit_norms(self) -> Tensor:
        """Norms of the neuron vectors in the gauge, in units of `unit`, shape (networks, width)."""
        norms: Tensor = torch.linalg.vector_norm(self._scaled.vectors, dim=2)
        return norms

    @cached_property
    def norms(self) -> Tensor:
        """Norms of the neuron vectors in the gauge, ascending, shape (networks, width)."""
        ascending: Tensor = self.unit_norms.sort(dim=1).values
        return ascending * self.unit

    @cached_property
    def unit_pairs(self) -> Tensor:
        """Distances of all pairs of neurons, minimised over flips, in units of `unit`; (.., width, width)."""
        return pair_distances(self._parts)

    @cached_property
    def ray_distances(self) -> Tensor:
        """Distances at which the neurons merge along their rays, descending, shape (networks, width).

        Of a layer of homogeneity 1, in units of its neurons: times the scale of the living neurons over that
        of the merged ones, which neither the width nor the split of a ray into neurons moves.
        """
        scaled = self._scaled
        turned = {"odd": scaled.vectors.shape[2], "even": scaled.leading, None: 0}[scaled.parity]
        merged = merged_rays(scaled.vectors, turned)
        distances = merged * (scale_of(self.unit_norms.double()) / scale_of(merged))
        return distances.to(scaled.vectors.dtype) * self.unit

    @cached_property
    def order(self) -> Tensor:
        """Positions of the neurons by ascending norm, ties broken, int64, shape (networks, width)."""
        return order_neurons(self._parts, self.unit_norms, self.unit_pairs)
