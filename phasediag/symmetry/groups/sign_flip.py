"""Sign flip: neurons of odd or even activation; symmetric where a neuron is dead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from phasediag.errors import PhasediagError
from phasediag.symmetry.groups.neuron_symmetry import Mixing, NeuronSymmetry, Recorded
from phasediag.symmetry.groups.symmetry import Parameters
from phasediag.symmetry.neurons import NeuronGroup

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class SignFlip(NeuronSymmetry):
    """f(-u, -w) = f(u, w) for odd activations (and heads), f(u, -w) = f(u, w) for even ones.

    w are the incoming weights and the bias, u the outgoing weights.

    Parameters
    ----------
    neurons
        Those that are flipped, each on its own; None: all.

    Raises
    ------
    PhasediagError
        Where the group tells no parity, or an odd one has no outgoing weights.
    """

    name: ClassVar[str] = "sign flip"
    symmetric_state: ClassVar[str | None] = "dead neurons, u = w = 0 (even activation: w = 0)"
    recorded: ClassVar[Recorded | None] = Recorded(
        meaning="Norms of the neuron vectors in the gauge, ascending.",
        word="norm of neurons", column="alive_count", complement=True,
    )  # fmt: skip

    def __init__(self, group: NeuronGroup, neurons: Sequence[int] | None = None) -> None:
        super().__init__(group)
        if group.parity is None:
            raise PhasediagError(
                f"layer {group.name} has no sign flip: its activation is neither odd nor even; "
                "give the group parity: odd or even"
            )
        self.neurons = neurons

    @classmethod
    def follows_from(cls, group: NeuronGroup) -> bool:
        """Whether the layer has an odd or an even activation and outgoing weights."""
        return group.parity is not None and bool(group.outgoing)

    @classmethod
    def of_layer(cls, layer: Geometry) -> Tensor:
        """Norms of the whole neuron vectors in the balanced gauge, ascending, width.

        Of odd activations, Delta of each flip; of even ones at least Delta, which leaves the output out.
        """
        return layer.norms

    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Mixing:
        """Uniformly distributed signs."""
        import torch

        signs = torch.ones(self.width(parameters))
        chosen = list(range(len(signs)) if self.neurons is None else self.neurons)
        signs[chosen] = torch.randint(0, 2, (len(chosen),), generator=generator).to(signs.dtype) * 2 - 1
        return self._mixing(parameters, signs)

    def projection(self, parameters: Parameters) -> Mixing:
        """The mean over the flips: what flips becomes zero."""
        import torch

        kept = torch.ones(self.width(parameters))
        kept[list(range(len(kept)) if self.neurons is None else self.neurons)] = 0
        return self._mixing(parameters, kept)

    def generators(self, parameters: Parameters) -> Sequence[SignFlip]:
        """The flip of each neuron."""
        chosen = range(self.width(parameters)) if self.neurons is None else self.neurons
        return [SignFlip(self.group, (i,)) for i in chosen]

    def _mixing(self, parameters: Parameters, factors: torch.Tensor) -> Mixing:
        identity = self._identity(parameters)
        into = identity * factors.to(identity)
        return Mixing(into=into, out=into if self.group.parity == "odd" else identity)
