"""Networks of a tile as observables see them: one by one, by vmap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.func import vmap

from phasediag.errors import PhasediagError
from phasediag.observables.observable import Observable
from phasediag.observables.specimen import Data, Specimen
from phasediag.symmetry.geometry import Geometry
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.symmetry.vectors import Neurons
from phasediag.training.data import Batches, Samples
from phasediag.training.evaluation import EVALUATION_NUMBERS
from phasediag.training.network import Network
from phasediag.training.optimizers import Weights

PASSES: Final = 8
"""Times the numbers of one pass that a curvature holds at once, roughly."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surroundings:
    """What some networks have besides their weights; arrays with a leading axis of networks."""

    network: Network
    batches: Batches
    world: Tensor
    label_noise: Tensor

    def take(self, rows: slice | Tensor) -> Surroundings:
        """The surroundings of some of the networks."""
        return Surroundings(
            network=self.network, batches=self.batches, world=self.world[rows],
            label_noise=self.label_noise[rows],
        )  # fmt: skip

    def at_once(self) -> int:
        """How many networks to measure at once, at least 2."""
        train = self.batches.training_set().x
        numbers = train.shape[1] * (self.network.arithmetic.numbers + train.shape[2])
        return max(2, EVALUATION_NUMBERS // (PASSES * numbers))

    def data(self, group: NeuronGroup) -> Callable[[Tensor, Tensor], Data]:
        """What one network computes, as a function of its world and its label noise.

        Both are scalars: an index and the strength of the noise.
        """
        train, test, network = self.batches.training_set(), self.batches.test_set(), self.network
        features = layer_features(network, group)

        def of_one(world: Tensor, label_noise: Tensor) -> Data:
            def predict(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
                return network.predict(dict(weights), x)

            def training_set() -> tuple[Tensor, Tensor]:
                some = _of_world(train, world)
                return some.x, network.task.noisy(some.y, some.noise, label_noise)

            def loss(weights: Mapping[str, Tensor]) -> Tensor:
                x, target = training_set()
                return network.loss(predict(weights, x), target)

            return Data(
                predict=predict, training_loss=loss, training_set=training_set, probe=lambda: test.x[world],
                layer_features=features, classes=network.task.classes,
            )  # fmt: skip

        return of_one


def _of_world(data: Samples, world: Tensor) -> Samples:
    return Samples(x=data.x[world], y=data.y[world], noise=data.noise[world])


def layer_features(
    network: Network, group: NeuronGroup
) -> Callable[[Mapping[str, Tensor], Tensor], Tensor] | None:
    """What the neurons of a layer give for inputs, (samples, inputs) to (samples, ..., width).

    It is what the part that holds the outgoing weights is given; further axes of it are tokens, or places of
    an image. None where that part is no Linear and no convolution.
    """
    path, _, leaf = (group.outgoing[0] if group.outgoing else "").rpartition(".")
    try:
        owner = network.module.get_submodule(path)
    except AttributeError:
        return None
    convolution = isinstance(owner, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    if leaf != "weight" or group.outgoing_axis != 1 or not (convolution or isinstance(owner, nn.Linear)):
        return None
    span = slice(*(group.span_of(outgoing=True) or (None, None)))

    def features(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        given: list[Tensor] = []
        handle = owner.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
        try:
            network.predict(dict(weights), x)
        finally:
            handle.remove()
        last = given[-1].movedim(1, -1) if convolution else given[-1]
        return last[..., span]

    return features


def measure_each(
    observable: Observable, layer: Geometry, group: NeuronGroup, weights: Mapping[str, Tensor],
    surroundings: Surroundings | None,
) -> Tensor:  # fmt: skip
    """What an observable that is written for one network measures on many.

    Parameters
    ----------
    layer
        Of all networks.
    group
        The layer as the network declares it.
    weights
        By name, with a leading axis of networks.
    surroundings
        None where an observable uses the weights alone.

    Returns
    -------
    Shape (networks, length).

    Raises
    ------
    PhasediagError
        Where it gives something else than a list of numbers.
    """
    given = surroundings if observable.uses_data else None
    data = None if given is None else given.data(group)
    trained = tuple(weights) if given is None else _trained(given.network)
    parities = layer.fixed.parity, layer.raw.parity

    def one(
        weights: Weights, fixed: tuple[Tensor, ...], raw: tuple[Tensor, ...], world: Tensor, noise: Tensor
    ) -> Tensor:
        measured = observable.measure(
            Specimen(
                weights=weights, trained=trained, group=group, neurons=_neurons(fixed, parities[0]),
                raw=_neurons(raw, parities[1]), data=None if data is None else data(world, noise),
            )
        )  # fmt: skip
        if not isinstance(measured, Tensor) or measured.dim() != 1:
            got = tuple(measured.shape) if isinstance(measured, Tensor) else type(measured).__name__
            raise PhasediagError(
                f"{type(observable).__name__}.measure gives {got}, not a list of numbers: return a tensor of "
                "shape (length,), such as torch.stack([value])"
            )
        return measured

    count = len(layer.raw.incoming)
    nothing = torch.zeros(count, dtype=torch.int64, device=layer.raw.incoming.device)
    worlds, noises = (nothing, nothing) if given is None else (given.world, given.label_noise)
    chunk = count if given is None else given.at_once()
    rows = torch.arange(max(2, count), device=nothing.device) % max(count, 1)
    parts = []
    for some in rows.tensor_split(max(1, len(rows) // max(chunk, 2))):
        fixed, raw = (tuple(t[some] for t in _tensors(each)) for each in (layer.fixed, layer.raw))
        own = {name: weight[some] for name, weight in weights.items()}
        parts.append(vmap(one)(own, fixed, raw, worlds[some], noises[some]))
    return torch.cat(parts)[:count].detach()


def _trained(network: Network) -> tuple[str, ...]:
    return tuple(name for name in network.shapes if name not in network.frozen)


def _tensors(neurons: Neurons) -> tuple[Tensor, Tensor, Tensor]:
    return neurons.incoming, neurons.bias, neurons.outgoing


def _neurons(tensors: tuple[Tensor, ...], parity: object) -> Neurons:
    incoming, bias, outgoing = tensors
    return Neurons(incoming=incoming, bias=bias, outgoing=outgoing, parity=parity)  # type: ignore[arg-type]
