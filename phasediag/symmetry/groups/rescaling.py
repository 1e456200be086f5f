"""Rescaling: neurons of homogeneous activation; symmetric where a neuron is dead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from phasediag.errors import PhasediagError
from phasediag.symmetry.groups.neuron_symmetry import Mixing, NeuronSymmetry, Recorded, same
from phasediag.symmetry.groups.symmetry import Parameters
from phasediag.symmetry.neurons import NeuronGroup

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class Rescaling(NeuronSymmetry):
    """f(u / a^k, a w) = f(u, w) for a > 0, for activations with s(a x) = a^k s(x) (and heads, k = 1).

    Parameters
    ----------
    neurons
        Those that are rescaled, each on its own; None: all.

    Raises
    ------
    PhasediagError
        Where the group tells no degree of homogeneity or has no outgoing weights.
    """

    name: ClassVar[str] = "rescaling"
    symmetric_state: ClassVar[str | None] = "dead neurons, u = w = 0"
    recorded: ClassVar[Recorded | None] = Recorded(
        meaning="Norm of each neuron vector, the smallest that rescaling reaches, ascending."
    )

    def __init__(self, group: NeuronGroup, neurons: Sequence[int] | None = None) -> None:
        super().__init__(group)
        if group.homogeneity is None or not group.outgoing:
            raise PhasediagError(
                f"layer {group.name} has no rescaling: that needs outgoing weights and an activation with "
                "f(a x) = a^k f(x); give the group homogeneity: k"
            )
        self.neurons = neurons
        self.k = group.homogeneity

    @classmethod
    def follows_from(cls, group: NeuronGroup) -> bool:
        """Whether the layer has a homogeneous activation and outgoing weights."""
        return group.homogeneity is not None and bool(group.outgoing)

    @classmethod
    def of_layer(cls, layer: Geometry) -> Tensor:
        """Norm of each neuron vector, the smallest that rescaling reaches, ascending, width.

        The rescaling (a v_in, a^-k v_out), a > 0, of one neuron. With a homogeneous activation the
        neurons are in the balanced gauge, where the norms are smallest already. Otherwise
        min over a of ||(a v_in, v_out / a)|| = sqrt(2 ||v_in|| ||v_out||) is taken, a measure of the
        product alone; without outgoing weights, the norm. Computed in float64.
        """
        import torch

        from phasediag.symmetry.singular_values import neuron_unit

        neurons, unit = layer.fixed, neuron_unit(layer.fixed)
        into = torch.cat([neurons.incoming, neurons.bias], dim=2).double() / unit
        norm_in = torch.linalg.vector_norm(into, dim=2)
        norm_out = torch.linalg.vector_norm(neurons.outgoing.double() / unit, dim=2)
        if layer.homogeneity is None and neurons.outgoing.shape[2]:
            distances = (2 * norm_in * norm_out).sqrt()
        else:
            distances = torch.hypot(norm_in, norm_out)
        ascending: Tensor = distances.sort(dim=1).values
        return (ascending * unit[:, :, 0]).to(neurons.incoming.dtype)

    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Mixing:
        """Independent factors a, log-normal; the group is not compact and has no uniform element."""
        import torch

        factors = torch.ones(self.width(parameters), dtype=torch.float64)
        chosen = list(range(len(factors)) if self.neurons is None else self.neurons)
        factors[chosen] = torch.randn(len(chosen), generator=generator, dtype=torch.float64).exp()
        return self._mixing(parameters, factors)

    def projection(self, parameters: Parameters) -> Mixing:
        """Zero for the neurons that are rescaled: the only state that all elements leave as it is."""
        import torch

        kept = torch.ones(self.width(parameters))
        kept[list(range(len(kept)) if self.neurons is None else self.neurons)] = 0
        identity = self._identity(parameters)
        return same(identity * kept.to(identity))

    def generators(self, parameters: Parameters) -> Sequence[Rescaling]:
        """The rescaling of each neuron."""
        chosen = range(self.width(parameters)) if self.neurons is None else self.neurons
        return [Rescaling(self.group, (i,)) for i in chosen]

    def representative(self, parameters: Parameters) -> dict[str, Tensor]:
        """The smallest rescaled state: ||w||^2 = k ||u||^2 for every neuron; u = w = 0 where one is zero.

        All parameters by name, in their shapes.
        """
        import torch

        into, out = (vectors.double().square().sum(dim=1) for vectors in self.vectors(parameters))
        alive = (into > 0) & (out > 0)
        squares = torch.where(alive, self.k * out, 1.0) / torch.where(alive, into, 1.0)
        mixing = self._mixing(parameters, squares ** (0.5 / (self.k + 1)))
        dead = alive.to(mixing.into)
        return self.act(parameters, Mixing(into=mixing.into * dead, out=mixing.out * dead))

    def _mixing(self, parameters: Parameters, factors: Tensor) -> Mixing:
        identity = self._identity(parameters)
        return Mixing(
            into=identity * factors.to(identity), out=identity * (factors ** -float(self.k)).to(identity)
        )
