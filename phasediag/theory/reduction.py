"""The smaller network that a network in a symmetric state is (Theorems 1 and 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.control import Control
from phasediag.training.data import Samples
from phasediag.training.initial import Shapes
from phasediag.training.network import Network
from phasediag.training.optimizers import Rates, Weights
from phasediag.training.step import State, trial_step

DEAD = -1
"""Label of a neuron whose weights are all zero."""
Labels = Mapping[str, Sequence[int]]
"""By the name of a hidden layer, the class of each neuron: 0, 1, ..., or `DEAD`."""


def neuron_classes(weights: Weights, groups: Sequence[NeuronGroup]) -> dict[str, list[int]]:
    """Which neurons are the same to the last digit, and which are zero.

    Parameters
    ----------
    weights
        Of one network.

    Returns
    -------
    Of each layer the class of each neuron, numbered as they first occur; `DEAD` where all of its
    incoming weights, biases and outgoing weights are zero.
    """
    classes = {}
    for group in groups:
        rows = [weights[n].reshape(len(weights[n]), -1) for n in (*group.incoming, *group.bias)]
        rows += [weights[n].transpose(0, 1).flatten(1) for n in group.outgoing]
        numbers: dict[tuple[float, ...], int] = {}
        labels = []
        for vector in torch.cat(rows, dim=1).tolist():
            alive = any(vector)
            labels.append(numbers.setdefault(tuple(vector), len(numbers)) if alive else DEAD)
        classes[group.name] = labels
    return classes


class Reduced(Control):
    """Weights of the smaller network from orthonormal coordinates of the symmetric subspace.

    A class of m equal neurons becomes one neuron. Its coordinate on an incoming weight a is
    sqrt(m) a, on an outgoing weight b sqrt(m) b; the smaller network needs a and m b.
    """

    def __init__(self, shapes: Shapes, factors: Mapping[str, Tensor]) -> None:
        super().__init__(shapes)
        self.factors = factors

    def effective(self, trained: Weights, rates: Rates) -> Weights:
        """The weights of the smaller network, by parameter name."""
        return {name: self.factors[name] * numbers for name, numbers in trained.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """A symmetric subspace, and the smaller network that lives on it.

    For permutation of the neurons of a class its states have equal neurons; for the sign flip of a
    dead neuron (odd activation) their weights are zero. The network is written once: the smaller
    one is the same code with fewer neurons.
    """

    network: Network
    """The smaller network: it trains the coordinates theta' of the subspace."""
    bases: Mapping[str, Mapping[int, Tensor]]
    """For each parameter and each axis that counts neurons, an orthonormal basis, shape (width, classes)."""

    @property
    def dimension(self) -> int:
        """Effective dimension d - rank(I - P) = rank P of Theorem 1, in numbers."""
        return sum(int(np.prod(shape)) for shape in self.network.control.shapes.values())

    def coordinates(self, weights: Weights) -> Weights:
        """The coordinates theta' on the subspace of the weights' projection on it."""
        return {name: _applied(w, self.bases[name], transpose=True) for name, w in weights.items()}

    def lifted(self, coordinates: Weights) -> Weights:
        """The symmetric weights with these coordinates."""
        return {name: _applied(w, self.bases[name], transpose=False) for name, w in coordinates.items()}

    def symmetrized(self, weights: Weights) -> Weights:
        """P theta, the nearest symmetric weights."""
        return self.lifted(self.coordinates(weights))


def reduce(network: Network, labels: Labels) -> Reduction:
    """The reduction of a network to given classes of neurons.

    Parameters
    ----------
    network
        Without control.
    labels
        Of every hidden layer.

    Raises
    ------
    PhasediagError
        Where the network has a control, or the labels of a layer are missing or not one for each neuron.
    """
    if type(network.control) is not Control:
        raise PhasediagError("a reduced model stands for a plain network; train it with control: none")
    bases: dict[str, dict[int, Tensor]] = {name: {} for name in network.shapes}
    roots: dict[str, dict[int, Tensor]] = {name: {} for name in network.shapes}
    for group in network.groups:
        width = network.shapes[group.incoming[0]][0]
        if len(labels.get(group.name, ())) != width:
            problem = f"layer {group.name} has {width} neurons and {len(labels.get(group.name, ()))} labels"
            raise PhasediagError(f"{problem}; give each of its neurons the number of its class")
        basis, count = _basis(labels[group.name], network.dtype)
        for name in (*group.incoming, *group.bias):
            bases[name][0], roots[name][0] = basis, count.rsqrt()
        for name in group.outgoing:
            bases[name][1], roots[name][1] = basis, count.sqrt()
    shapes, factors = {}, {}
    for name, shape in network.shapes.items():
        shapes[name] = tuple(
            bases[name][axis].shape[1] if axis in bases[name] else size for axis, size in enumerate(shape)
        )
        factors[name] = torch.ones((), dtype=network.dtype)
        for axis, root in roots[name].items():
            factors[name] = factors[name] * root.reshape(-1, *[1] * (len(shape) - axis - 1))
    return Reduction(network=replace(network, control=Reduced(shapes, factors)), bases=bases)


def trajectory_distances(
    network: Network, reduction: Reduction, weights: Weights, rates: Rates, batches: Iterable[Samples]
) -> Tensor:
    """Theorem 3.1 as an experiment: the network and the reduced one, trained on the same batches.

    SGD leaves a symmetric subspace invariant, and on it f(theta_t) = f'(theta'_t) with theta' of
    rank P numbers (`docs/physics.md` Eq. 18); decay and momentum respect it too, Adam, which is not
    equivariant under rotations of the weights, keeps it but moves differently on it.

    Parameters
    ----------
    weights
        Initial, of one network, in the symmetric subspace.
    rates
        Of the trial, as `trial_step` takes them.
    batches
        One a step, of one network.

    Returns
    -------
    max |theta_t - U theta'_t| over the weights after each step, shape (steps,).

    Raises
    ------
    PhasediagError
        Where the initial weights are not symmetric.
    """
    symmetric = reduction.symmetrized(weights)
    if _furthest(weights, symmetric) > 1e-12 * max(float(w.abs().max()) for w in weights.values()):
        raise PhasediagError(
            "the initial weights are not in the symmetric subspace; start from reduction.symmetrized(weights)"
        )
    full, part = _state(network, weights), _state(reduction.network, reduction.coordinates(weights))
    distances = []
    for batch in batches:
        full = trial_step(network, full, rates, batch)
        part = trial_step(reduction.network, part, rates, batch)
        distances.append(_furthest(full.weights, reduction.lifted(part.weights)))
    return torch.tensor(distances, dtype=network.dtype)


def _state(network: Network, weights: Weights) -> State:
    moments = {m: {name: torch.zeros_like(w) for name, w in weights.items()} for m in network.descent.moments}
    return State(weights=dict(weights), moments=moments, steps_done=torch.tensor(0), alive=torch.tensor(True))


def _furthest(one: Weights, other: Weights) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def _basis(labels: Sequence[int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Orthonormal basis of the layer's symmetric states, and the size of each class."""
    index = torch.tensor(labels)
    member = index[:, None] == torch.arange(int(index.max()) + 1)
    count = member.sum(0).to(dtype)
    return member.to(dtype) * count.rsqrt(), count


def _applied(tensor: Tensor, bases: Mapping[int, Tensor], transpose: bool) -> Tensor:
    for axis, basis in bases.items():
        tensor = torch.tensordot(tensor, basis, dims=([axis], [0 if transpose else 1])).movedim(-1, axis)
    return tensor
