"""Neuron vectors: what belongs to each neuron, read from the parameters of a tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.symmetry.neurons import NeuronGroup, Parity
from phasediag.symmetry.units import power_of_two


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neurons:
    """The neurons of one layer of every trial of a tile."""

    incoming: Tensor
    """Shape (trials, width, incoming weights)."""
    bias: Tensor
    """Shape (trials, width, biases)."""
    outgoing: Tensor
    """Shape (trials, width, outgoing weights)."""
    parity: Parity | None
    """How a neuron may flip; None where it may not, as without outgoing weights."""

    @property
    def vectors(self) -> Tensor:
        """The neuron vectors (incoming, bias, outgoing), shape (trials, width, numbers)."""
        return torch.cat([self.incoming, self.bias, self.outgoing], dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InUnits:
    """Neuron vectors in a unit of each network's own, so that squares neither overflow nor vanish.

    A copy: the weights that it was made of are not held.
    """

    vectors: Tensor
    """(incoming, bias, outgoing), shape (trials, width, numbers)."""
    unit: Tensor
    """A power of two for each network, shape (trials, 1)."""
    leading: int
    """How many numbers of a vector are incoming weights and biases; they come first."""
    parity: Parity | None

    @classmethod
    def of(cls, neurons: Neurons) -> InUnits:
        """The neurons in units of the largest power of two that is not above any of their numbers."""
        vectors = neurons.vectors
        low, high = vectors.flatten(1).aminmax(dim=1)
        unit = power_of_two(torch.maximum(-low, high))[:, None]
        leading = neurons.incoming.shape[2] + neurons.bias.shape[2]
        return cls(vectors=vectors.div_(unit[:, None]), unit=unit, leading=leading, parity=neurons.parity)


def raw_neurons(parameters: Mapping[str, Tensor], group: NeuronGroup) -> Neurons:
    """The neuron vectors of a layer as the weights are, in no gauge.

    Raises
    ------
    PhasediagError
        Where the group names a parameter that does not exist or does not fit.
    """
    incoming = [_rows(parameters, group, name, axis=0) for name in group.incoming]
    bias = [_rows(parameters, group, name, axis=0) for name in group.bias]
    outgoing = [_rows(parameters, group, name, axis=1) for name in group.outgoing]
    if not incoming:
        raise PhasediagError(f"layer {group.name} names no incoming parameters; give it at least one")
    if len({part.shape[1] for part in incoming + bias + outgoing}) > 1:
        widths = {n: tuple(parameters[n].shape[1:]) for n in group.incoming + group.bias + group.outgoing}
        raise PhasediagError(
            f"layer {group.name}: its parameters disagree on the number of neurons, shapes {widths}; "
            "axis 0 of incoming and bias and axis 1 of outgoing must count the neurons"
        )
    nothing = incoming[0][:, :, :0]
    return Neurons(
        incoming=_side_by_side(incoming), bias=_side_by_side(bias or [nothing]),
        outgoing=_side_by_side(outgoing or [nothing]), parity=group.parity if outgoing else None,
    )  # fmt: skip


def _side_by_side(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=2)


def by_neuron(parameter: Tensor, axis: int) -> Tensor:
    """A parameter with the neurons in front.

    Parameters
    ----------
    parameter
        Shape (trials, *shape of the parameter).
    axis
        The axis of the parameter itself that counts the neurons.

    Returns
    -------
    Shape (trials, width, numbers a neuron).
    """
    return parameter.movedim(axis + 1, 1).unsqueeze(-1).flatten(2)


def _rows(parameters: Mapping[str, Tensor], group: NeuronGroup, name: str, axis: int) -> Tensor:
    if name not in parameters:
        known = ", ".join(parameters)
        raise PhasediagError(f"layer {group.name} names the parameter '{name}', the network has {known}")
    parameter = parameters[name]
    if parameter.dim() < axis + 2:
        raise PhasediagError(
            f"layer {group.name}: parameter '{name}' of shape {tuple(parameter.shape[1:])} "
            f"has no axis {axis} to count neurons; name another parameter"
        )
    return by_neuron(parameter, axis)
