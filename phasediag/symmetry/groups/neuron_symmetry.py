"""Symmetries that mix the neurons of a group: one matrix on their inputs, one on their outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from phasediag.symmetry.groups.symmetry import Parameters, Symmetry
from phasediag.symmetry.neurons import NeuronGroup

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixing:
    """A linear map of the neurons of a group."""

    into: Tensor
    """Multiplies V_in, the matrix of incoming weights and biases, from the left; (width, width)."""
    out: Tensor
    """Multiplies V_out, the matrix of outgoing weights, from the left; (width, width)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """How a sweep records the distances that `NeuronSymmetry.of_layer` gives, as an observable.

    Its name in `measure.observables` is that of the symmetry, with underscores: `double_rotation`.
    """

    meaning: str
    """One sentence for the reference: which distances, in which order, how many."""
    word: str = "distance"
    """What one of them is called on an axis."""
    neurons_besides: int = 0
    """How many neurons a layer has more than distances."""
    column: str = ""
    """The column of `trials` that holds their count, where it has one that every sweep has."""
    complement: bool = False
    """Whether that column holds the largest count less the count."""


class NeuronSymmetry(Symmetry[Mixing]):
    """A group of mixings of the neurons of one layer or head.

    One file in this folder holds all that is known of one: the group, the layers that it follows from, its
    distances, and how a sweep records them. Such a file is read whenever a grid is, so that it imports torch
    inside of methods.

    Parameters
    ----------
    group
        Which parameters belong to the neurons: of an mlp or transformer from `neuron_groups`, of
        any other module as the user names them.
    """

    recorded: ClassVar[Recorded | None] = None
    """How a sweep records its distances; None where it does not. It then has `of_layer`."""
    neurons: Sequence[int] | None = None
    """The neurons that it acts on; None: all."""

    def __init__(self, group: NeuronGroup) -> None:
        self.group = group

    @classmethod
    def follows_from(cls, group: NeuronGroup) -> bool:
        """Whether a network has it by what its layer states; False where no layer states so."""
        del group
        return False

    @classmethod
    def of_layer(cls, layer: Geometry) -> Tensor | None:
        """The distances of many networks at once, as a sweep records them, shape (networks, length).

        None where nothing but the generators is known.
        """
        del layer
        return None

    def distances(self, parameters: Parameters, groups: Sequence[NeuronGroup] = ()) -> Tensor:
        """Delta of every generator as a sweep records it, invariant under G up to order, (generators,).

        Parameters
        ----------
        groups
            All hidden layers of the network, whose gauge is balanced jointly; empty: this layer alone.
        """
        from phasediag.symmetry.geometry import Geometry

        together = None
        if self.neurons is None:
            together = self.of_layer(Geometry.of_one(parameters, self.group, groups))
        return self.generator_distances(parameters) if together is None else together[0]

    def act(self, parameters: Parameters, element: Mixing) -> dict[str, Tensor]:
        """(M_in V_in, M_out V_out), all other parameters as they are."""
        self.required(parameters, self.group.parameters)
        moved = dict(parameters)
        for name in self.group.incoming + self.group.bias:
            moved[name] = self._mixed(moved[name], element.into, outgoing=False)
        for name in self.group.outgoing:
            moved[name] = self._mixed(moved[name], element.out, outgoing=True)
        return moved

    def projected(self, parameters: Parameters) -> dict[str, Tensor]:
        """P_G theta: all parameters by name, `projection` applied to those of the group (Definition 2)."""
        return self.act(parameters, self.projection(parameters))

    @abstractmethod
    def projection(self, parameters: Parameters) -> Mixing:
        """P_G (Definition 2) as a mixing of the neurons: two matrices of shape (width, width)."""

    def vectors(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """V_in (width, incoming weights and biases) and V_out (width, outgoing weights)."""
        import torch

        from phasediag.symmetry.vectors import raw_neurons
        from phasediag.symmetry.views import separated

        batched = {name: parameter[None] for name, parameter in parameters.items()}
        named, (own,) = separated(batched, [self.group])
        raw = raw_neurons(named, own)
        return torch.cat([raw.incoming, raw.bias], dim=2)[0], raw.outgoing[0]

    def width(self, parameters: Parameters) -> int:
        """The number of neurons."""
        return len(self.vectors(parameters)[0])

    def _identity(self, parameters: Parameters) -> Tensor:
        import torch

        into, _ = self.vectors(parameters)
        return torch.eye(len(into), dtype=into.dtype, device=into.device)

    def _mixed(self, parameter: Tensor, mixing: Tensor, *, outgoing: bool) -> Tensor:
        import torch

        axis = self.group.outgoing_axis if outgoing else 0
        start, stop = self.group.span_of(outgoing) or (0, parameter.shape[axis])
        moved = parameter.clone()
        part = moved.narrow(axis, start, stop - start)
        part.copy_(torch.tensordot(mixing, part, dims=([1], [axis])).movedim(0, axis))
        return moved


def is_linear(group: NeuronGroup) -> bool:
    """Whether a layer can be rotated: odd, of homogeneity 1, with outgoing weights."""
    return group.parity == "odd" and group.homogeneity == 1 and bool(group.outgoing)


def random_rotation(width: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """A Haar-distributed orthogonal matrix, in the dtype of `like`."""
    import torch

    q, r = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
    haar: Tensor = q * r.diagonal().sign()
    return haar.to(like)


def same(matrix: Tensor) -> Mixing:
    """One matrix on inputs and outputs."""
    return Mixing(into=matrix, out=matrix)
