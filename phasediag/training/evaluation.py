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
"""Numbers held at once while losses over whole data sets are computed."""


def losses_of(
    network: Network, weights: Weights, label_noise: Tensor, world: Tensor, batches: Batches
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Train loss, test loss and test accuracy (None without classes) of networks, each shape (trials,).

    Parameters
    ----------
    weights, label_noise, world
        Of each trial, with a leading axis of trials: its weights, its noise, its world of the batches.
    """
    train = _evaluated(network, weights, label_noise, world, batches.training_set())[0]
    test, hits = _evaluated(network, weights, torch.zeros_like(label_noise), world, batches.test_set())
    return train, test, hits if network.task.classes else None


def _evaluated(
    network: Network, weights: Weights, label_noise: Tensor, world: Tensor, data: Samples
) -> tuple[Tensor, Tensor]:
    """Loss and share of right classes over whole data sets, a few trials at a time, never one of several."""

    def one(weights: Weights, scale: Tensor, x: Tensor, y: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        prediction = functional_call(network.module, weights, (x,))
        loss = network.task.loss(prediction, y + scale * e)
        return loss, (prediction.argmax(-1) == y.argmax(-1)).to(x.dtype).mean()

    numbers = network.numbers_per_sample + data.x.shape[2]
    chunk = max(2, EVALUATION_NUMBERS // (data.x.shape[1] * numbers))
    parts = []
    with torch.no_grad():
        trials = torch.arange(len(world), device=world.device)
        for rows in trials.tensor_split(max(1, len(trials) // chunk)):
            some, where = {name: w[rows] for name, w in weights.items()}, world[rows]
            parts.append(vmap(one)(some, label_noise[rows], data.x[where], data.y[where], data.noise[where]))
    losses, hits = zip(*parts, strict=True)
    return torch.cat(losses), torch.cat(hits)
