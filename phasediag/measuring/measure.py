"""Measurement of symmetries: from the parameters of a tile to distances.

Distances are measured here, on the device of the parameters; `phasediag.observables.threshold` counts
them. Each trial's result depends on that trial alone, bit for bit on the CPU with one thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.observables.threshold import Observable
from phasediag.symmetry.distances import farthest_first, pair_distances, parts_of
from phasediag.symmetry.gauge import balanced
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.symmetry.order import neighbours, order_neurons, padded
from phasediag.symmetry.spectra import (
    double_rotation_distances,
    rescaling_distances,
    rotation_distances,
)
from phasediag.symmetry.units import finite_trials, power_of_two
from phasediag.symmetry.vectors import Neurons, raw_neurons
from phasediag.symmetry.views import separated
from phasediag.trial import nearest

CHUNK: Final = 2**22
"""Numbers (weights, or pairs of neurons) that are measured at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An observable to measure on a layer."""

    observable: Observable
    layer: str
    """Name of the neuron group, as `hidden.1`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distances:
    """What was measured; trials with numbers that are not finite have NaN throughout."""

    observable: Observable
    layer: str
    max_degree: int
    """The largest count there can be: width - 1 for permutation, min(width, inputs) for rank, width for
    the others."""
    distances: Tensor
    """Shape (trials, max_degree), in units of the weights.

    - permutation: of neighbours in the order of norm, ties broken (`order_neurons`)
    - sign_flip: norms, ascending
    - classes: insertion distances, descending (`farthest_first`)
    - rank: singular values of the incoming weights as they are, without gauge, descending
    - rescaling, rotation, double_rotation: see `phasediag.symmetry.spectra`
    """
    norms: Tensor
    """Of the layer's neuron vectors in the gauge, ascending, shape (trials, width)."""


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
    named, whole = separated(parameters, groups)
    own = next(g for g in whole if g.name == group.name)
    return raw_neurons(balanced(named, whole), own)


def measure(
    parameters: Mapping[str, Tensor], groups: Sequence[NeuronGroup], requests: Sequence[Request]
) -> list[Distances]:
    """Measure observables on layers of every trial of a tile.

    Parameters
    ----------
    parameters
        By name; each of shape (trials, *shape of the parameter), float32 or float64.
    groups
        All hidden layers of the network.
    requests
        What to measure.

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
    parameters, groups = separated(parameters, groups)
    none = {name: parameter[:0] for name, parameter in parameters.items()}
    for group in groups:
        raw_neurons(none, group)
    used = {name: parameters[name] for group in groups for name in group.parameters}
    chunks = [_measure(chunk, groups, requests) for chunk in _chunks(used, groups)]
    return [_joined(results) for results in zip(*chunks, strict=True)]


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


def _chunks(parameters: Mapping[str, Tensor], groups: Sequence[NeuronGroup]) -> list[dict[str, Tensor]]:
    """The trials in slices small enough for the float64 copies and the pairs of neurons."""
    weights = sum(math.prod(parameter.shape[1:]) for parameter in parameters.values())
    width = max(parameters[group.incoming[0]].shape[1] for group in groups)
    trials = len(parameters[groups[0].incoming[0]])
    length = max(1, CHUNK // max(weights, width**2))
    starts = range(0, max(trials, 1), length)
    return [{name: p[start : start + length] for name, p in parameters.items()} for start in starts]


def _measure(
    parameters: Mapping[str, Tensor], groups: Sequence[NeuronGroup], requests: Sequence[Request]
) -> list[Distances]:
    finite = finite_trials(parameters.values())
    clean = parameters if finite.all() else {n: _zero_unless(finite, p) for n, p in parameters.items()}
    fixed = balanced(clean, groups)
    measured = {}
    for group in groups:
        observables = {request.observable for request in requests if request.layer == group.name}
        if observables:
            measured[group.name] = _measure_layer(clean, fixed, group, observables)
    results = []
    for request in requests:
        of_layer = measured[request.layer]
        distances, norms = (
            torch.where(finite[:, None], x, torch.nan)
            for x in (of_layer[request.observable], of_layer["sign_flip"])
        )
        results.append(
            Distances(
                observable=request.observable,
                layer=request.layer,
                max_degree=distances.shape[1],
                distances=distances,
                norms=norms,
            )
        )
    return results


def _zero_unless(finite: Tensor, parameter: Tensor) -> Tensor:
    chosen = finite.reshape(-1, *[1] * (parameter.dim() - 1))
    return torch.where(chosen, parameter, torch.zeros_like(parameter))


def _measure_layer(
    raw: Mapping[str, Tensor], fixed: Mapping[str, Tensor], group: NeuronGroup, observables: Set[Observable]
) -> dict[Observable, Tensor]:
    """The distances of each observable; those of sign_flip, the norms, in any case."""
    layer = raw_neurons(fixed, group)
    vectors = layer.vectors
    unit = power_of_two(vectors.abs().flatten(1).amax(dim=1))
    scale = unit[:, None]
    vectors = vectors / scale[:, None]
    norms = torch.linalg.vector_norm(vectors, dim=2)
    result: dict[Observable, Tensor] = {"sign_flip": norms.sort(dim=1).values * scale}
    if observables & {"permutation", "classes"}:
        parts = parts_of(layer, vectors)
        pairs = pair_distances(parts)
        order = order_neurons(parts, norms, pairs)
        result["permutation"] = neighbours(order, pairs) * scale
        result["classes"] = farthest_first(pairs, norms, order) * scale
    if "rank" in observables:
        incoming = raw_neurons(raw, group).incoming
        values = torch.linalg.svdvals(padded(incoming))
        result["rank"] = values[:, : min(incoming.shape[1:])]
    if "rescaling" in observables:
        result["rescaling"] = rescaling_distances(layer, group.homogeneity).to(unit.dtype)
    if "rotation" in observables:
        result["rotation"] = rotation_distances(raw_neurons(raw, group)).to(unit.dtype)
    if "double_rotation" in observables:
        result["double_rotation"] = double_rotation_distances(raw_neurons(raw, group)).to(unit.dtype)
    return result


def _joined(results: Sequence[Distances]) -> Distances:
    """One result of all chunks."""
    if len(results) == 1:
        return results[0]
    return replace(
        results[0],
        distances=torch.cat([result.distances for result in results]),
        norms=torch.cat([result.norms for result in results]),
    )
