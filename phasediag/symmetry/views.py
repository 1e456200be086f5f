"""Groups that are part of their parameters (heads), made groups of parameters of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.symmetry.neurons import NeuronGroup


def separated(
    parameters: Mapping[str, Tensor], groups: Sequence[NeuronGroup]
) -> tuple[dict[str, Tensor], list[NeuronGroup]]:
    """Give every group that is a span of its parameters, or is outgoing by axis 0, parameters of its own.

    Parameters
    ----------
    parameters
        By name; each of shape (trials, *shape of the parameter).
    groups
        As a network declares them.

    Returns
    -------
    The parameters, and views of them named `group/parameter`; and the groups, in their order, all
    without spans and with axis 1 of the outgoing parameters counting the neurons.

    Raises
    ------
    PhasediagError
        Where a span does not lie within its parameter.
    """
    named = dict(parameters)
    views = []
    for group in groups:
        if group.span is None and group.outgoing_span is None and group.outgoing_axis == 1:
            views.append(group)
            continue
        for name in group.parameters:
            if name not in parameters:
                known = ", ".join(parameters)
                raise PhasediagError(
                    f"layer {group.name} names the parameter '{name}', the network has {known}"
                )
        own: dict[str, tuple[str, ...]] = {}
        for role in ("incoming", "bias", "outgoing"):
            names: tuple[str, ...] = getattr(group, role)
            for name in names:
                named[f"{group.name}/{role}/{name}"] = _view(
                    parameters[name], group, name, role == "outgoing"
                )
            own[role] = tuple(f"{group.name}/{role}/{name}" for name in names)
        views.append(
            replace(
                group, span=None, outgoing_span=None, outgoing_axis=1,
                incoming=own["incoming"], bias=own["bias"], outgoing=own["outgoing"],
            )
        )  # fmt: skip
    return named, views


def width_of(group: NeuronGroup, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The number of neurons of a group, from the shapes of the network's parameters."""
    return group.span[1] - group.span[0] if group.span else shapes[group.incoming[0]][0]


def _view(parameter: Tensor, group: NeuronGroup, name: str, outgoing: bool) -> Tensor:
    axis = 1 + (group.outgoing_axis if outgoing else 0)
    span = group.span_of(outgoing)
    shape = tuple(parameter.shape[1:])
    if parameter.dim() <= axis:
        raise PhasediagError(
            f"layer {group.name}: parameter '{name}' of shape {shape} has no axis {axis - 1} "
            "to count neurons; name another parameter"
        )
    start, stop = span or (0, parameter.shape[axis])
    if not 0 <= start < stop <= parameter.shape[axis]:
        raise PhasediagError(
            f"layer {group.name}: the span {start} to {stop} does not lie within axis {axis - 1} of "
            f"parameter '{name}' of shape {shape}; give 0 <= first < last <= {parameter.shape[axis]}"
        )
    part = parameter.narrow(axis, start, stop - start)
    return part.transpose(1, 2) if outgoing and axis == 1 else part
