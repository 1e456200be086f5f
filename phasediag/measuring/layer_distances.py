"""Measurement of symmetries: from the parameters of a tile to distances.

Distances are measured here, on the device of the parameters; `phasediag.observables.threshold` counts
them. Each trial's result depends on that trial alone, bit for bit on the CPU with one thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from phasediag.errors import PhasediagError, nearest
from phasediag.measuring.specimens import Surroundings, measure_each
from phasediag.observables.known import built_in
from phasediag.observables.observable import DistanceObservable, Observable
from phasediag.symmetry.gauge import balanced
from phasediag.symmetry.geometry import Geometry
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.symmetry.units import finite_trials, power_of_two
from phasediag.symmetry.vectors import Neurons, raw_neurons
from phasediag.symmetry.views import separated

CHUNK: Final = 2**22
"""Numbers (weights, or pairs of neurons) that are measured at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An observable to measure on a layer."""

    observable: str
    layer: str
    """Name of the neuron group, as `hidden.1`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distances:
    """What was measured; trials with numbers that are not finite have NaN throughout."""

    observable: str
    layer: str
    distances: Tensor
    """What the observable measures, shape (trials, length); of distances the length is the largest count."""
    norms: Tensor
    """The norms of the layer's neuron vectors in the gauge, ascending, shape (trials, width)."""


def neurons(parameters: Mapping[str, Tensor], group: NeuronGroup, groups: Sequence[NeuronGroup]) -> Neurons:
    """The neuron vectors of a layer in the balanced gauge (flips are left to the distances).

    Parameters
    ----------
    parameters
        By name; each of shape (trials, *shape of the parameter).
    group
        The layer.
    groups
        All hidden layers of the network: they are balanced jointly.

    Raises
    ------
    PhasediagError
        Where a group names a parameter that does not exist or does not fit.
    """
    named, views = separated(parameters, groups)
    own = next(g for g in views if g.name == group.name)
    return raw_neurons(balanced(named, views), own)


def measure(
    parameters: Mapping[str, Tensor], groups: Sequence[NeuronGroup], requests: Sequence[Request],
    observables: Mapping[str, Observable] | None = None, surroundings: Surroundings | None = None,
) -> list[Distances]:  # fmt: skip
    """Measure observables on layers of every trial of a tile.

    Parameters
    ----------
    parameters
        By name; each of shape (trials, *shape of the parameter), float32 or float64.
    groups
        All hidden layers of the network.
    requests
        What to measure.
    observables
        By name; None: phasediag's own.
    surroundings
        Of the trials; None where the weights alone are measured.

    Returns
    -------
    One result a request, in their order, in the dtype and on the device of the parameters.

    Raises
    ------
    PhasediagError
        Where a request names a layer that does not exist, or a group does not fit the parameters.
    """
    by_name = {group.name: group for group in groups}
    for request in requests:
        if request.layer not in by_name:
            known = ", ".join(by_name) or "none"
            hint = nearest(request.layer, by_name)
            raise PhasediagError(
                f"there is no layer '{request.layer}' to measure {request.observable} on; "
                f"{hint or 'choose one'} of {known}"
            )
    if not requests:
        return []
    named, plain = separated(parameters, groups)
    none = {name: parameter[:0] for name, parameter in named.items()}
    for group in plain:
        raw_neurons(none, group)
    tile = _MeasuredNetworks(
        parameters=parameters, named=named, groups=groups, plain=plain, requests=requests,
        observables=built_in() if observables is None else observables, surroundings=surroundings,
    )  # fmt: skip
    chunks = [tile.measured(rows) for rows in _chunks(named, plain)]
    return [_joined(results) for results in zip(*chunks, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _MeasuredNetworks:
    """What is measured of which networks."""

    parameters: Mapping[str, Tensor]
    """As the networks have them."""
    named: Mapping[str, Tensor]
    """The parameters, with a view for each group that is part of one."""
    groups: Sequence[NeuronGroup]
    plain: Sequence[NeuronGroup]
    """The groups, in the same order, by the views."""
    requests: Sequence[Request]
    observables: Mapping[str, Observable]
    surroundings: Surroundings | None

    def measured(self, rows: slice) -> list[Distances]:
        """One result a request, of the networks of a slice."""
        used = {name: self.named[name][rows] for group in self.plain for name in group.parameters}
        finite = finite_trials(used.values())
        clean = used if finite.all() else {n: _zero_unless(finite, p) for n, p in used.items()}
        fixed = balanced(clean, self.plain)
        layers = {
            group.name: Geometry(
                partial(raw_neurons, clean, group), partial(raw_neurons, fixed, group), group.homogeneity
            )
            for group in self.plain
        }
        results = {request: self._one(request, layers[request.layer], rows) for request in self.requests}
        return [
            Distances(
                observable=request.observable, layer=request.layer,
                distances=torch.where(finite[:, None], measured, torch.nan),
                norms=torch.where(finite[:, None], layers[request.layer].norms, torch.nan),
            )
            for request, measured in results.items()
        ]  # fmt: skip

    def _one(self, request: Request, layer: Geometry, rows: slice) -> Tensor:
        observable = self.observables[request.observable]
        if isinstance(observable, DistanceObservable):
            together = observable.of_layer(layer)
            if together is not None:
                return together
        group = next(group for group in self.groups if group.name == request.layer)
        weights = {name: parameter[rows] for name, parameter in self.parameters.items()}
        around = None if self.surroundings is None else self.surroundings.take(rows)
        return measure_each(observable, layer, group, weights, around)


def log_norm(parameters: Mapping[str, Tensor], group: NeuronGroup) -> Tensor:
    """Logarithm of the norm of a layer: of all its neuron vectors, as the weights are.

    Never below the logarithm of the dtype's smallest normal number, which stands for zero.

    Parameters
    ----------
    parameters
        By name; each of shape (trials, *shape of the parameter).

    Returns
    -------
    Shape (trials,), in the dtype of the parameters.

    Raises
    ------
    PhasediagError
        Where the group does not fit the parameters.
    """
    named, (own,) = separated(parameters, [group])
    vectors = raw_neurons(named, own).vectors.flatten(1)
    unit = power_of_two(vectors.abs().amax(dim=1))
    total = (vectors / unit[:, None]).double().square().sum(dim=1)
    logarithm = total.log() / 2 + unit.double().log()
    return logarithm.clamp(min=math.log(torch.finfo(vectors.dtype).smallest_normal)).to(vectors.dtype)


def least_log_norm(dtype: torch.dtype) -> float:
    """What `log_norm` gives for a layer that is zero, or too small for the dtype."""
    return float(torch.tensor(math.log(torch.finfo(dtype).smallest_normal), dtype=dtype))


def _chunks(parameters: Mapping[str, Tensor], groups: Sequence[NeuronGroup]) -> list[slice]:
    """The trials in slices small enough for the float64 copies and the pairs of neurons."""
    used = {name for group in groups for name in group.parameters}
    weights = sum(math.prod(parameters[name].shape[1:]) for name in used)
    width = max(parameters[group.incoming[0]].shape[1] for group in groups)
    trials = len(parameters[groups[0].incoming[0]])
    length = max(1, CHUNK // max(weights, width**2))
    return [slice(start, start + length) for start in range(0, max(trials, 1), length)]


def _zero_unless(finite: Tensor, parameter: Tensor) -> Tensor:
    chosen = finite.reshape(-1, *[1] * (parameter.dim() - 1))
    return torch.where(chosen, parameter, torch.zeros_like(parameter))


def _joined(results: Sequence[Distances]) -> Distances:
    """One result of all chunks."""
    if len(results) == 1:
        return results[0]
    return replace(
        results[0],
        distances=torch.cat([result.distances for result in results]),
        norms=torch.cat([result.norms for result in results]),
    )
