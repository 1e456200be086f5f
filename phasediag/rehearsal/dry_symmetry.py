"""Whether the symmetries that a user's `neuron_groups` states are those of the network's function.

What is measured are distances to a symmetric state. Where the function is not invariant under what a group
states (another axis, a forgotten bias, the parity of another activation), they are distances to a state that
means nothing for this network; nothing else would tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from phasediag.symmetry.neurons import NeuronGroup

ROUNDING: Final = 1e-3
"""By how much of its size a prediction may change that is the same but for rounding."""
Change = Callable[[Tensor, int], Tensor]
"""What is done to the part of a parameter that a group holds, along the axis that counts its neurons."""


def broken_symmetries(module: nn.Module, groups: tuple[NeuronGroup, ...], x: Tensor) -> list[str]:
    """What a network's groups state, and its predictions for some inputs contradict, in sentences.

    Parameters
    ----------
    module
        The network, in the mode that it is measured in; its parameters are left as they are.
    groups
        Its layers.
    x
        Inputs, shape (samples, inputs).
    """
    weights = {
        name: _varied(p.detach()) if p.requires_grad else p.detach() for name, p in module.named_parameters()
    }

    def predicted(values: Mapping[str, Tensor]) -> Tensor:
        prediction: Tensor = torch.func.functional_call(module, dict(values), (x,))
        return prediction

    with torch.no_grad():
        own = predicted(weights)
        scale = float(own.abs().max())
        if not torch.isfinite(own).all():
            return []
        return [
            f"its predictions change when {words} of '{group.name}', which neuron_groups states "
            "as a symmetry; see whether axes, parameters (biases, gains, masks) and parity are those of the "
            "layer, else what is measured of it are distances to a state of no meaning"
            for group in groups
            if group.outgoing
            for words, incoming, outgoing in _changes(group)
            if float((predicted(_changed(weights, group, incoming, outgoing)) - own).abs().max())
            > ROUNDING * scale
        ]


def _varied(weight: Tensor) -> Tensor:
    """Numbers that start alike (biases at zero, gains at one), each another, as training makes them."""
    if weight.numel() < 2 or float(weight.max() - weight.min()) > 0:
        return weight
    return weight + 0.1 * torch.linspace(-1, 1, weight.numel()).to(weight).reshape(weight.shape)


def _changes(group: NeuronGroup) -> Iterator[tuple[str, Change, Change]]:
    """What a group states to leave the function as it is: done to incoming and to outgoing parameters."""
    yield "the neurons are exchanged", _rolled, _rolled
    if group.parity == "odd":
        yield "the signs of the neurons are flipped (parity: odd)", _negated, _negated
    if group.parity == "even":
        yield "the signs of the neurons' inputs are flipped (parity: even)", _negated, _kept
    if group.homogeneity is not None:
        power = group.homogeneity
        yield (
            f"the neurons are rescaled (homogeneity: {power})",
            lambda part, _: 2 * part,
            lambda part, _: part / 2**power,
        )


def _changed(
    weights: Mapping[str, Tensor], group: NeuronGroup, incoming: Change, outgoing: Change
) -> dict[str, Tensor]:
    changed = dict(weights)
    parts = [(name, 0, incoming, False) for name in group.incoming + group.bias]
    parts += [(name, group.outgoing_axis, outgoing, True) for name in group.outgoing]
    for name, axis, change, out in parts:
        weight = changed[name].clone()
        first, stop = group.span_of(out) or (0, weight.shape[axis])
        view = weight.narrow(axis, first, stop - first)
        view.copy_(change(view.clone(), axis))
        changed[name] = weight
    return changed


def _rolled(part: Tensor, axis: int) -> Tensor:
    return part.roll(1, axis)


def _negated(part: Tensor, axis: int) -> Tensor:
    """Every other neuron with the other sign."""
    signs = part.new_ones(part.shape[axis])
    signs[::2] = -1
    return part * signs.reshape(-1, *(1 for _ in range(part.dim() - axis - 1)))


def _kept(part: Tensor, axis: int) -> Tensor:
    del axis
    return part
