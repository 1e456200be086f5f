"""The balanced gauge of homogeneous activations.

With f(a x) = a^k f(x), a neuron's input may be multiplied by a > 0 and its output by a^-k: the
network computes the same function. Among all these networks the one of smallest norm is
measured. There, every neuron has ||in||^2 = k ||out||^2, bias included in the input. In the
logarithms of the scales the squared norm is convex, so it is minimised neuron by neuron, layer
after layer, over-relaxed.

A turn through a chain of L layers is a Gauss-Seidel step on a walk that is absorbed at both ends;
its spectral radius is at most cos(pi / (L + 1)), whatever the weights, which fixes the best
over-relaxation. Only correctly rounded operations are used (no pow, no exp, no matrix product):
their results do not depend on where in a tile a trial stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.symmetry.units import finite_trials, power_of_two
from phasediag.symmetry.vectors import by_neuron, raw_neurons

TOLERANCE: Final = 1e-13
"""A trial is balanced when no squared scale changes by more than this, relatively."""
MOST_TURNS: Final = 2000
"""Turns through a chain at most: 3 layers take about 20, 20 layers about 120, nearly cut chains more."""
NEAR: Final = 0.5
"""Relative change of a squared scale below which a turn is over-relaxed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Layer:
    """What the balance of one layer depends on: squares, float64."""

    degree: int
    own_in: Tensor
    """Squares of biases and of weights that no other layer scales, shape (trials, width)."""
    own_out: Tensor
    before: tuple[tuple[int, Tensor], ...]
    """Layers that scale the incoming weights too, with squares (trials, width, width before)."""
    after: tuple[tuple[int, Tensor], ...]
    """Layers that scale the outgoing weights too, with squares (trials, width, width after)."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Scales:
    """Squared factors of each layer, shape (trials, width); zero for dead neurons."""

    into: list[Tensor]
    """a^2, of the incoming weights."""
    out: list[Tensor]
    """a^-2k, of the outgoing weights."""


def balanced(parameters: Mapping[str, Tensor], groups: Sequence[NeuronGroup]) -> dict[str, Tensor]:
    """Bring every layer with a homogeneous activation to the balanced gauge, all jointly.

    A neuron whose input (with its bias) or output is exactly zero computes nothing: both become
    zero, which can kill neurons next to it. Weights below 1e-154 of a trial's largest count as
    zero. Layers without outgoing weights, and trials with numbers that are not finite, stay as
    they are. Each trial's result depends on that trial alone, bit for bit.

    Parameters
    ----------
    parameters
        By name; each of shape (trials, *shape of the parameter).
    groups
        All hidden layers; a parameter that is outgoing of one and incoming of the next is
        scaled by both.

    Returns
    -------
    All parameters by name, in their dtype (balanced in float64).

    Raises
    ------
    PhasediagError
        Where a layer does not fit the parameters, or where two homogeneous layers, or one layer
        twice, scale the same axis of a parameter.
    """
    scaled = [group for group in groups if group.homogeneity is not None and group.outgoing]
    if not scaled:
        return dict(parameters)
    for group in scaled:
        raw_neurons(parameters, group)
    rows, columns = _owners(scaled)
    named = {name: parameters[name] for name in {**rows, **columns}}
    scales = _solve(_layers(scaled, named, rows, columns), finite_trials(named.values()))
    result = dict(parameters)
    for name, parameter in named.items():
        factor = parameter.double()
        if name in rows:
            factor = factor * _along(scales.into[rows[name]].sqrt(), factor, axis=1)
        if name in columns:
            factor = factor * _along(scales.out[columns[name]].sqrt(), factor, axis=2)
        result[name] = factor.to(parameter.dtype)
    return result


def _owners(groups: Sequence[NeuronGroup]) -> tuple[dict[str, int], dict[str, int]]:
    """Which layer scales the rows and which the columns of each parameter."""
    rows: dict[str, int] = {}
    columns: dict[str, int] = {}
    for index, group in enumerate(groups):
        for owners, names in ((rows, group.incoming + group.bias), (columns, group.outgoing)):
            for name in names:
                if name in owners:
                    raise PhasediagError(
                        f"parameter '{name}' is scaled twice, by layers {groups[owners[name]].name} and "
                        f"{group.name}; tied weights have no balanced gauge, set homogeneity to None"
                    )
                owners[name] = index
        for name in group.outgoing:
            if rows.get(name) == index:
                raise PhasediagError(
                    f"parameter '{name}' is incoming and outgoing of layer {group.name}; recurrent "
                    "weights have no balanced gauge, set homogeneity to None"
                )
    return rows, columns


def _along(scale: Tensor, parameter: Tensor, axis: int) -> Tensor:
    """Shape a scale (trials, width) so that it multiplies one axis of a parameter."""
    shape = [1] * parameter.dim()
    shape[0], shape[axis] = scale.shape
    return scale.reshape(shape)


def _layers(
    groups: Sequence[NeuronGroup],
    parameters: Mapping[str, Tensor],
    rows: Mapping[str, int],
    columns: Mapping[str, int],
) -> list[_Layer]:
    largest = torch.stack([p.abs().flatten(1).amax(dim=1) for p in parameters.values()]).amax(dim=0)
    unit = power_of_two(largest.double())
    squares = {
        name: (parameter.double() / unit.reshape(-1, *[1] * (parameter.dim() - 1))).square()
        for name, parameter in parameters.items()
    }
    return [_layer(group, squares, rows, columns) for group in groups]


def _layer(
    group: NeuronGroup, squares: Mapping[str, Tensor], rows: Mapping[str, int], columns: Mapping[str, int]
) -> _Layer:
    assert group.homogeneity is not None
    into, out = group.incoming + group.bias, group.outgoing
    nothing = torch.zeros_like(by_neuron(squares[into[0]], axis=0)[:, :, 0])
    own_in = [by_neuron(squares[name], axis=0).sum(dim=2) for name in into if name not in columns]
    own_out = [by_neuron(squares[name], axis=1).sum(dim=2) for name in out if name not in rows]
    return _Layer(
        degree=group.homogeneity, own_in=sum(own_in, nothing), own_out=sum(own_out, nothing),
        before=tuple((columns[name], _matrix(squares[name])) for name in into if name in columns),
        after=tuple((rows[name], _matrix(squares[name]).mT.contiguous()) for name in out if name in rows),
    )  # fmt: skip


def _matrix(squares: Tensor) -> Tensor:
    """Squares by row and column, shape (trials, rows, columns); further axes are summed."""
    return squares.reshape(*squares.shape[:3], -1).sum(dim=3)


def _solve(layers: Sequence[_Layer], finite: Tensor) -> _Scales:
    scales = _alive(layers)
    alive = [into > 0 for into in scales.into]
    relaxation = 2 / (1 + math.sin(math.pi / (len(layers) + 1)))
    moving = finite
    for _ in range(MOST_TURNS):
        change = torch.zeros_like(moving, dtype=torch.float64)
        for index, layer in enumerate(layers):
            change = torch.maximum(change, _update(index, layer, scales, alive[index], moving, relaxation))
        moving = moving & (change > TOLERANCE)
        if not moving.any():
            break
    return scales


def _update(
    index: int, layer: _Layer, scales: _Scales, alive: Tensor, moving: Tensor, relaxation: float
) -> Tensor:
    """Balance one layer of the moving trials; returns their largest relative change, (trials,)."""
    old = scales.into[index]
    into, out = _sums(layer, scales)
    ones = torch.ones_like(old)
    ratio = torch.where(alive, layer.degree * out, ones) / torch.where(alive, into, ones)
    change = _root(ratio, layer.degree + 1) / torch.where(alive, old, ones)
    change = torch.where(alive, change, ones)
    near = (change - 1).abs() < NEAR
    # A Padé approximant of change ** relaxation, so that only exact operations are used.
    over = ((1 + relaxation) * change + (1 - relaxation)) / ((1 - relaxation) * change + (1 + relaxation))
    step = torch.where(near, over, change)
    new = torch.where(moving[:, None], old * step, old)
    scales.into[index] = new
    inverse = 1 / torch.where(alive, new, ones)
    scales.out[index] = torch.where(alive, _power(inverse, layer.degree), torch.zeros_like(new))
    return (change - 1).abs().amax(dim=1)


def _sums(layer: _Layer, scales: _Scales) -> tuple[Tensor, Tensor]:
    """Squared norms of input and output of each neuron, without its own scale, (trials, width)."""
    into, out = layer.own_in, layer.own_out
    for other, squares in layer.before:
        into = into + (squares * scales.out[other][:, None, :]).sum(dim=2)
    for other, squares in layer.after:
        out = out + (squares * scales.into[other][:, None, :]).sum(dim=2)
    return into, out


def _alive(layers: Sequence[_Layer]) -> _Scales:
    """Scales of one, and of zero for neurons that are cut off from input or output."""
    ones = [torch.ones_like(layer.own_in) for layer in layers]
    scales = _Scales(into=ones, out=list(ones))
    changed = True
    while changed:
        changed = False
        for index, layer in enumerate(layers):
            into, out = _sums(layer, scales)
            cut = (into == 0) | (out == 0)
            alive = torch.where(cut, torch.zeros_like(into), scales.into[index])
            changed |= not torch.equal(alive, scales.into[index])
            scales.into[index] = scales.out[index] = alive
    return scales


def _power(number: Tensor, exponent: int) -> Tensor:
    result = number
    for _ in range(exponent - 1):
        result = result * number
    return result


def _root(number: Tensor, degree: int) -> Tensor:
    """The positive root of positive float64 numbers, by square roots and Newton's steps."""
    while degree % 2 == 0:
        number, degree = number.sqrt(), degree // 2
    if degree == 1:
        return number
    _, exponent = torch.frexp(number)
    ceiling = -((-exponent.long()) // degree)
    root = ((ceiling + 1023) << 52).view(torch.float64)
    for _ in range(degree + 6):
        root = root - (root - number / _power(root, degree - 1)) / degree
    return root
