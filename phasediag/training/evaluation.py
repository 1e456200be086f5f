"""Losses over all samples of a data set."""

from __future__ import annotations

import time
from typing import Final

import torch
from torch import Tensor
from torch.func import vmap

from phasediag.native.lowering import UnsupportedError
from phasediag.native.program import NativeProgram
from phasediag.native.source import Slot
from phasediag.training.data import Batches, Samples
from phasediag.training.network import Network
from phasediag.training.optimizers import Weights
from phasediag.training.probes import other_samples, other_weights

EVALUATION_NUMBERS: Final = 2**23
"""Numbers held at once while losses over whole data sets are computed; on a GPU at least as many as a
step of all the networks holds, so that it is kept busy."""


class NativeLosses:
    """Losses of networks of one structure over whole data sets, by native programs where there can be some.

    Parameters
    ----------
    network
        Of one structure, without classes.

    Attributes
    ----------
    seconds
        Spent on compiling so far.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.seconds = 0.0
        self._programs: dict[int, NativeProgram | None] = {}

    def of(self, weights: Weights, scale: Tensor, world: Tensor, data: Samples) -> Tensor | None:
        """The loss of each trial, shape (trials,); None where there is no program for it.

        Parameters
        ----------
        weights, scale, world
            Of each trial, with a leading axis of trials: its weights, its label noise, its world.
        data
            Shapes (worlds, samples, ...).
        """
        size = data.x.shape[1]
        if size not in self._programs:
            self._programs[size] = self._program(weights, scale, data)
        program = self._programs[size]
        if program is None:
            return None
        losses = torch.empty_like(scale)
        held = [weight.contiguous() for weight in weights.values()]
        samples = [part.unsqueeze(0) for part in (data.x, data.y, data.noise)]
        program([losses, *held, scale.contiguous(), *samples], world, steps=1)
        return losses

    def _program(self, weights: Weights, scale: Tensor, data: Samples) -> NativeProgram | None:
        """The program of the loss of one network over all samples, verified."""
        started, network, names = time.monotonic(), self.network, list(weights)

        def loss(before: Tensor, *given: Tensor) -> list[Tensor]:
            *weights, scale, x, y, noise = given
            prediction = network.predict(dict(zip(names, weights, strict=True)), x)
            return [network.loss(prediction, network.task.noisy(y, noise, scale))]

        def arguments(weights: Weights, samples: Samples) -> list[Tensor]:
            named = [weights[name].clone() for name in names]
            parts = [part.clone() for part in (samples.x, samples.y, samples.noise)]
            return [torch.zeros_like(scale[-1]), *named, scale[-1].clone(), *parts]

        first = Samples(x=data.x[0], y=data.y[0], noise=data.noise[0])
        places = [Slot.TRIAL] * (len(names) + 2) + [Slot.WORLD] * 3
        try:
            program = NativeProgram(
                loss, arguments({name: w[0] for name, w in weights.items()}, first), places
            )
            program.verify(arguments(other_weights(weights), other_samples(data)))
        except UnsupportedError:
            return None
        finally:
            self.seconds += time.monotonic() - started
        return program


def losses_of(
    network: Network,
    weights: Weights,
    label_noise: Tensor,
    world: Tensor,
    batches: Batches,
    native: NativeLosses | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Train loss, test loss and test accuracy (None without classes) of networks, each shape (trials,).

    Parameters
    ----------
    weights, label_noise, world
        Of each trial, with a leading axis of trials: its weights, its noise, its world of the batches.
    native
        To be asked first, where accuracies do not count.
    """
    on_gpu = world.device.type == "cuda"
    samples = len(world) * batches.batch_size if on_gpu else 0
    none = torch.zeros_like(label_noise)
    pairs = []
    for scale, data in ((label_noise, batches.training_set()), (none, batches.test_set())):
        losses = native.of(weights, scale, world, data) if native and not network.task.classes else None
        pairs.append(
            (losses, None)
            if losses is not None
            else _evaluated(network, weights, scale, world, data, samples)
        )
    (train, _), (test, hits) = pairs
    return train, test, hits if network.task.classes else None


def _evaluated(
    network: Network, weights: Weights, label_noise: Tensor, world: Tensor, data: Samples, at_once: int
) -> tuple[Tensor, Tensor]:
    """Loss and share of right classes over whole data sets, a few trials at a time, never one of several.

    Samples of all trials that may be taken `at_once` are not limited by `EVALUATION_NUMBERS`.
    """

    def one(weights: Weights, scale: Tensor, x: Tensor, y: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        prediction = network.predict(weights, x)
        loss = network.loss(prediction, network.task.noisy(y, e, scale))
        if not network.task.classes:
            return loss, torch.full_like(loss, torch.nan)
        return loss, (prediction.argmax(-1) == y.argmax(-1)).to(x.dtype).mean()

    numbers = network.arithmetic.numbers + data.x.shape[2]
    chunk = max(2, EVALUATION_NUMBERS // (data.x.shape[1] * numbers), at_once // data.x.shape[1])
    parts = []
    with torch.no_grad():
        trials = torch.arange(len(world), device=world.device)
        for rows in trials.tensor_split(max(1, len(trials) // chunk)):
            some, where = {name: w[rows] for name, w in weights.items()}, world[rows]
            parts.append(vmap(one)(some, label_noise[rows], data.x[where], data.y[where], data.noise[where]))
    losses, hits = zip(*parts, strict=True)
    return torch.cat(losses), torch.cat(hits)
