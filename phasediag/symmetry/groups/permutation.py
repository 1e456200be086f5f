"""Permutation: equal functions of exchanged neurons; symmetric where neurons are identical."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor

from phasediag.symmetry.geometry import Geometry
from phasediag.symmetry.groups.neuron_symmetry import Mixing, NeuronSymmetry, same
from phasediag.symmetry.groups.symmetry import Parameters
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.symmetry.order import neighbours


class Permutation(NeuronSymmetry):
    """f(..., v_i, v_j, ...) = f(..., v_j, v_i, ...), for every layer of neurons and every head.

    Parameters
    ----------
    neurons
        The neurons that are exchanged among each other; None: all.
    """

    name: ClassVar[str] = "permutation"
    symmetric_state: ClassVar[str | None] = "identical neurons, v_i = v_j"

    def __init__(self, group: NeuronGroup, neurons: Sequence[int] | None = None) -> None:
        super().__init__(group)
        self.neurons = neurons

    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Mixing:
        """A uniformly distributed permutation."""
        identity = self._identity(parameters)
        chosen = self._chosen(parameters)
        order = torch.arange(len(identity))
        order[chosen] = chosen[torch.randperm(len(chosen), generator=generator)]
        return same(identity[order])

    def projection(self, parameters: Parameters) -> Mixing:
        """The mean over the permutations: each neuron becomes the mean of all."""
        matrix = self._identity(parameters)
        chosen = self._chosen(parameters)
        matrix[chosen[:, None], chosen] = 1 / len(chosen)
        return same(matrix)

    def generators(self, parameters: Parameters) -> Sequence[Permutation]:
        """Exchanges of neighbours in the order of their norm (A.1), width - 1."""
        order = torch.cat(self.vectors(parameters), dim=1).norm(dim=1).argsort(stable=True).tolist()
        return [Permutation(self.group, pair) for pair in pairwise(order)]

    @classmethod
    def of_layer(cls, layer: Geometry) -> Tensor:
        """||v_i - v_j|| of neighbours in the order of norm, ties broken, minimised over flips; width - 1."""
        return neighbours(layer.order, layer.unit_pairs) * layer.unit

    def generator_distances(self, parameters: Parameters) -> Tensor:
        """||v_i - v_j|| of neighbours, as A.1 counts them: sqrt(2) times Delta of their exchange.

        No gauge and no breaking of ties in norm, unlike `distances`.
        """
        return sqrt(2) * super().generator_distances(parameters)

    def _chosen(self, parameters: Parameters) -> Tensor:
        return torch.tensor(list(range(self.width(parameters)) if self.neurons is None else self.neurons))
