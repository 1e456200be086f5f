"""Double rotation: f(U A, A^-1 W) = f(U, W); symmetric where U and W have a common null vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from phasediag.errors import PhasediagError
from phasediag.symmetry.groups.neuron_symmetry import (
    Mixing,
    NeuronSymmetry,
    Recorded,
    is_linear,
    random_rotation,
    same,
)
from phasediag.symmetry.groups.rotation import Reflection, Rotation
from phasediag.symmetry.groups.symmetry import Parameters
from phasediag.symmetry.neurons import NeuronGroup

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class DoubleRotation(NeuronSymmetry):
    """V_in -> A V_in, V_out -> A^-T V_out for every invertible A.

    Of a head W_Q -> W_Q A^T, W_K -> W_K A^-1 (Eq. 8), which leaves W_Q W_K^T as it is; of a linear
    hidden layer W -> A W, U -> U A^-1.

    Raises
    ------
    PhasediagError
        Where the group has no outgoing weights.
    """

    name: ClassVar[str] = "double rotation"
    symmetric_state: ClassVar[str | None] = "common null vector"
    recorded: ClassVar[Recorded | None] = Recorded(
        meaning="sqrt(2 sigma) of the product of outgoing and incoming weights, descending."
    )

    def __init__(self, group: NeuronGroup) -> None:
        super().__init__(group)
        if not group.outgoing:
            raise PhasediagError(
                f"layer {group.name} has no double rotation: that needs outgoing weights; name them, or "
                "use Rotation"
            )

    @classmethod
    def follows_from(cls, group: NeuronGroup) -> bool:
        """Whether the layer is linear, as heads are."""
        return is_linear(group)

    @classmethod
    def of_layer(cls, layer: Geometry) -> Tensor:
        """sqrt(2 sigma_i), sigma_i the singular values of V_out^T V_in (= W_K W_Q^T), descending.

        The gauge-fixed form: among all (A V_in, A^-T V_out) the smallest networks have
        V_in V_in^T = V_out V_out^T, with eigenvalues sigma_i, so that Delta_i = 2 sigma_i there.
        Invariant under every invertible A. Computed in float64; shape (networks, width).
        """
        import torch

        from phasediag.symmetry.singular_values import neuron_unit, singular_values, triangle, up_to_width

        neurons, unit = layer.raw, neuron_unit(layer.raw)
        into = torch.cat([neurons.incoming, neurons.bias], dim=2).double() / unit
        product = triangle(neurons.outgoing.double() / unit) @ triangle(into).mT
        values = up_to_width((2 * singular_values(product)).sqrt(), neurons)
        return (values * unit[:, :, 0]).to(neurons.incoming.dtype)

    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Mixing:
        """R_1 D R_2 with Haar rotations and log-normal D; the group has no uniform element."""
        import torch

        identity = self._identity(parameters)
        width = len(identity)
        left, right = (random_rotation(width, generator, identity.double()) for _ in range(2))
        factors = torch.randn(width, generator=generator, dtype=torch.float64).exp()
        into, out = (left * factors) @ right, (left / factors) @ right
        return Mixing(into=into.to(identity), out=out.to(identity))

    def projection(self, parameters: Parameters) -> Mixing:
        """Zero: the only state that all elements leave as it is."""
        import torch

        return same(torch.zeros_like(self._identity(parameters)))

    def generators(self, parameters: Parameters) -> Sequence[Reflection]:
        """Reflections along the eigenvectors of V_in V_in^T + V_out V_out^T."""
        return Rotation(self.group).generators(parameters)

    def representative(self, parameters: Parameters) -> dict[str, Tensor]:
        """The smallest state on the orbit (or at its end), where V_in V_in^T = V_out V_out^T.

        There the eigenvalues of the sum are 2 sigma_i(W_Q W_K^T).
        """
        import torch

        into, out = self.vectors(parameters)
        left, values, right = torch.linalg.svd(out.mT @ into, full_matrices=False)
        rank = min(len(into), len(values))
        roots = values[:rank].sqrt()[:, None]
        balanced = [roots * right[:rank], roots * left.mT[:rank]]
        missing = len(into) - rank
        padded = [torch.nn.functional.pad(matrix, (0, 0, 0, missing)) for matrix in balanced]
        return self.replaced(parameters, *padded)

    def replaced(self, parameters: Parameters, into: Tensor, out: Tensor) -> dict[str, Tensor]:
        """The parameters with other neuron vectors.

        Parameters
        ----------
        into, out
            V_in and V_out, in the order of the names of the group.
        """
        moved = dict(parameters)
        for names, vectors, outgoing in (
            (self.group.incoming + self.group.bias, into, False),
            (self.group.outgoing, out, True),
        ):
            axis, start = self.group.outgoing_axis if outgoing else 0, 0
            for name in names:
                moved[name] = moved[name].clone()
                first, last = self.group.span_of(outgoing) or (0, moved[name].shape[axis])
                part = moved[name].narrow(axis, first, last - first).movedim(axis, 0)
                count = part[0].numel()
                part.copy_(vectors[:, start : start + count].reshape(part.shape))
                start += count
        return moved
