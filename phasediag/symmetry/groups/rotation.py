"""Rotation: f(R W) = f(W); symmetric where the weights are of low rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from phasediag.symmetry.groups.neuron_symmetry import (
    Mixing,
    NeuronSymmetry,
    Recorded,
    is_linear,
    random_rotation,
    same,
)
from phasediag.symmetry.groups.symmetry import Parameters
from phasediag.symmetry.neurons import NeuronGroup

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class Reflection(NeuronSymmetry):
    """The two elements 1 and 1 - 2 n n^T of a rotation group; symmetric where n^T V = 0.

    Parameters
    ----------
    direction
        n, of norm 1, shape (width,).
    """

    name: ClassVar[str] = "reflection"
    symmetric_state: ClassVar[str | None] = "null vector, n^T V = 0"

    def __init__(self, group: NeuronGroup, direction: Tensor) -> None:
        super().__init__(group)
        self.direction = direction

    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Mixing:
        """One of the two, with equal probability."""
        import torch

        flipped = int(torch.randint(0, 2, (1,), generator=generator))
        return same(self._identity(parameters) - 2 * flipped * self._outer())

    def projection(self, parameters: Parameters) -> Mixing:
        """1 - n n^T, the mean of the two."""
        return same(self._identity(parameters) - self._outer())

    def _outer(self) -> Tensor:
        import torch

        return torch.outer(self.direction, self.direction)


class Rotation(NeuronSymmetry):
    """f(R V_in, R V_out) = f(V_in, V_out) for orthogonal R: a linear hidden layer, a head's W_Q and W_K.

    Without outgoing weights f(R W) = f(W), where the network depends on W^T W alone (a tied
    embedding, a norm, factors of a covariance).
    """

    name: ClassVar[str] = "rotation"
    symmetric_state: ClassVar[str | None] = "low rank"
    recorded: ClassVar[Recorded | None] = Recorded(
        meaning="Norms of the neurons along the eigenvectors of their scalar products, descending."
    )

    @classmethod
    def follows_from(cls, group: NeuronGroup) -> bool:
        """Whether the layer is linear, as heads are."""
        return is_linear(group)

    @classmethod
    def of_layer(cls, layer: Geometry) -> Tensor:
        """||(V_in^T n_i, V_out^T n_i)||, descending: n_i eigenvectors of V_in V_in^T + V_out V_out^T.

        Singular values of the matrix of neuron vectors, and zeros up to the width. Their squares are
        the eigenvector form of double rotation, Delta_i = ||W_Q n_i||^2 + ||W_K n_i||^2 (Eqs. 10-13);
        by Courant and Fischer no other choice of directions has more of them below a threshold.
        Computed in float64; shape (networks, width).
        """
        from phasediag.symmetry.singular_values import neuron_unit, singular_values, up_to_width

        neurons, unit = layer.raw, neuron_unit(layer.raw)
        values = up_to_width(singular_values(neurons.vectors.double() / unit), neurons)
        return (values * unit[:, :, 0]).to(neurons.incoming.dtype)

    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Mixing:
        """A Haar-distributed orthogonal matrix."""
        identity = self._identity(parameters)
        return same(random_rotation(len(identity), generator, identity))

    def projection(self, parameters: Parameters) -> Mixing:
        """Zero, the mean over all rotations."""
        import torch

        return same(torch.zeros_like(self._identity(parameters)))

    def generators(self, parameters: Parameters) -> Sequence[Reflection]:
        """Reflections along the eigenvectors n_i of V_in V_in^T + V_out V_out^T, largest first (Eqs. 10-13).

        Delta_i^2 = ||V_in^T n_i||^2 + ||V_out^T n_i||^2, the eigenvalues.
        """
        import torch

        left, _, _ = torch.linalg.svd(torch.cat(self.vectors(parameters), dim=1))
        return [Reflection(self.group, direction) for direction in left.mT]
