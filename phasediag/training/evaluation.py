"""Losses over whole data sets."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from phasediag.native.lowering import UnsupportedError
from phasediag.native.program import Program
from phasediag.native.source import Place
from phasediag.training.data import Batches, Samples
from phasediag.training.network import Network
from phasediag.training.optimizers import Weights

EVALUATION_NUMBERS: Final = 2**23
"""Numbers held at once while losses over whole data sets are computed; on a GPU at least as many as a
step of all the networks holds, so that it is kept busy."""


def losses_of(
    network: Network,
    weights: Weights,
    label_noise: Tensor,
    world: Tensor,
    batches: Batches,
    natively: bool = False,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Train loss, test loss and test accuracy (None without classes) of networks, each shape (trials,).

    Parameters
    ----------
    weights, label_noise, world
        Of each trial, with a leading axis of trials: its weights, its noise, its world of the batches.
    natively
        Whether by a native program where there can be one.
    """
    on_gpu = world.device.type == "cuda"
    samples = len(world) * batches.batch_size if on_gpu else 0
    none = torch.zeros_like(label_noise)
    found = [
        (natively and _evaluated_natively(network, weights, scale, world, data))
        or _evaluated(network, weights, scale, world, data, samples)
        for scale, data in ((label_noise, batches.training_set()), (none, batches.test_set()))
    ]
    (train, _), (test, hits) = found
    return train, test, hits if network.task.classes else None


def _evaluated_natively(
    network: Network, weights: Weights, scale: Tensor, world: Tensor, data: Samples
) -> tuple[Tensor, Tensor] | None:
    """As `_evaluated`; None where there is no native program for it."""
    program = _program(network, data.x.shape[1])
    if program is None:
        return None
    losses = torch.empty_like(scale)
    held = [weights[name].contiguous() for name in network.shapes]
    samples = [part.unsqueeze(0) for part in (data.x, data.y, data.noise)]
    program([losses, *held, scale.contiguous(), *samples], world, steps=1)
    return losses, torch.full_like(losses, torch.nan)


@lru_cache(maxsize=64)
def _program(network: Network, samples: int) -> Program | None:
    """The program of the loss of one network over so many samples; right classes it cannot count."""
    if network.task.classes:
        return None
    inputs, outputs = network.sizes

    def loss(before: Tensor, *given: Tensor) -> list[Tensor]:
        *weights, scale, x, y, noise = given
        prediction = functional_call(network.module, dict(zip(network.shapes, weights, strict=True)), (x,))
        return [network.task.loss(prediction, y + scale * noise)]

    shapes = [(), *network.shapes.values(), (), (samples, inputs), (samples, outputs), (samples, outputs)]
    places = [Place.TRIAL] * (len(shapes) - 3) + [Place.WORLD] * 3
    with suppress(UnsupportedError):
        return Program(loss, [torch.zeros(shape, dtype=network.dtype) for shape in shapes], places)
    return None


def _evaluated(
    network: Network, weights: Weights, label_noise: Tensor, world: Tensor, data: Samples, at_once: int
) -> tuple[Tensor, Tensor]:
    """Loss and share of right classes over whole data sets, a few trials at a time, never one of several.

    Samples of all trials that may be taken `at_once` are not limited by `EVALUATION_NUMBERS`.
    """

    def one(weights: Weights, scale: Tensor, x: Tensor, y: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        prediction = functional_call(network.module, weights, (x,))
        loss = network.task.loss(prediction, y + scale * e)
        if not network.task.classes:
            return loss, torch.full_like(loss, torch.nan)
        return loss, (prediction.argmax(-1) == y.argmax(-1)).to(x.dtype).mean()

    numbers = network.numbers_per_sample + data.x.shape[2]
    chunk = max(2, EVALUATION_NUMBERS // (data.x.shape[1] * numbers), at_once // data.x.shape[1])
    parts = []
    with torch.no_grad():
        trials = torch.arange(len(world), device=world.device)
        for rows in trials.tensor_split(max(1, len(trials) // chunk)):
            some, where = {name: w[rows] for name, w in weights.items()}, world[rows]
            parts.append(vmap(one)(some, label_noise[rows], data.x[where], data.y[where], data.noise[where]))
    losses, hits = zip(*parts, strict=True)
    return torch.cat(losses), torch.cat(hits)
