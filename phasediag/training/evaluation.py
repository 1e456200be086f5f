"""Losses over whole data sets."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from phasediag.training.data import Batches, Samples
from phasediag.training.network import Network
from phasediag.training.optimizers import Weights

EVALUATION_NUMBERS: Final = 2**23
"""Numbers held at once while losses over whole data sets are computed; on a GPU at least as many as a
step of all the networks holds, so that it is kept busy."""


def losses_of(
    network: Network, weights: Weights, label_noise: Tensor, world: Tensor, batches: Batches
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Train loss, test loss and test accuracy (None without classes) of networks, each shape (trials,).

    Parameters
    ----------
    weights, label_noise, world
        Of each trial, with a leading axis of trials: its weights, its noise, its world of the batches.
    """
    on_gpu = world.device.type == "cuda"
    samples = len(world) * batches.batch_size if on_gpu else 0
    train = _evaluated(network, weights, label_noise, world, batches.training_set(), samples)[0]
    none = torch.zeros_like(label_noise)
    test, hits = _evaluated(network, weights, none, world, batches.test_set(), samples)
    return train, test, hits if network.task.classes else None


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
