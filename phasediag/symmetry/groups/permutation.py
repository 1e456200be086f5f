"""Permutation: equal functions of exchanged neurons; symmetric where neurons are identical."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from phasediag.symmetry.groups.neuron_symmetry import Mixing, NeuronSymmetry, Recorded, same
from phasediag.symmetry.groups.symmetry import Parameters
from phasediag.symmetry.neurons import NeuronGroup

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class Permutation(NeuronSymmetry):
    """f(..., v_i, v_j, ...) = f(..., v_j, v_i, ...), for every layer of neurons and every head.

    Parameters
    ----------
    neurons
        The neurons that are exchanged among each other; None: all.
    """

    name: ClassVar[str] = "permutation"
    symmetric_state: ClassVar[str | None] = "identical neurons, v_i = v_j"
    recorded: ClassVar[Recorded | None] = Recorded(
        meaning="Edges of the minimum spanning tree of the neurons, ascending, width - 1.",
        word="edge of the spanning tree", neurons_besides=1, column="degree_of_symmetry",
    )  # fmt: skip

    def __init__(self, group: NeuronGroup, neurons: Sequence[int] | None = None) -> None:
        super().__init__(group)
        self.neurons = neurons

    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Mixing:
        """A uniformly distributed permutation."""
        import torch

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
        """Exchanges along the minimum spanning tree of the neurons, width - 1.

        Exchanges generate the permutation group where they connect the neurons, so that its smallest sets of
        them are trees, and of all trees this one has the most edges below any threshold. No gauge: the tree
        is that of the neuron vectors as they are.
        """
        import torch

        from phasediag.symmetry.distances import tree_edges

        vectors = torch.cat(self.vectors(parameters), dim=1)
        pairs = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
        edges, _ = tree_edges(pairs[None])
        return [Permutation(self.group, edge) for edge in edges[0].tolist()]

    @classmethod
    def follows_from(cls, group: NeuronGroup) -> bool:
        """Every layer has it."""
        del group
        return True

    @classmethod
    def of_layer(cls, layer: Geometry) -> Tensor:
        """||v_i - v_j|| of the edges of the spanning tree, minimised over flips, ascending.

        The exchanges along the edges of a tree generate all permutations of the neurons, and of all trees
        this one keeps the most exchanges below any threshold: the degree rests on no order of the neurons.
        It is A.1's degree with that tree in place of the order of norm (the observable `norm_order`).
        Shape (networks, width - 1), in units of the weights.
        """
        from phasediag.symmetry.distances import spanning_tree

        return spanning_tree(layer.unit_pairs) * layer.unit

    def generator_distances(self, parameters: Parameters) -> Tensor:
        """||v_i - v_j|| of the generators: sqrt(2) times Delta of their exchange.

        No gauge, unlike `distances`.
        """
        return sqrt(2) * super().generator_distances(parameters)

    def _chosen(self, parameters: Parameters) -> Tensor:
        import torch

        return torch.tensor(list(range(self.width(parameters)) if self.neurons is None else self.neurons))
