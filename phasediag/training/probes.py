"""Arguments unlike those that a program was made with, to verify it by."""

from __future__ import annotations

import torch

from phasediag.training.data import Samples
from phasediag.training.optimizers import Weights


def other_weights(weights: Weights) -> Weights:
    """Weights of one network, none of whose numbers is that of a trial.

    Parameters
    ----------
    weights
        The weights of all trials, each of shape (trials, *shape of the parameter).
    """
    generator = torch.Generator().manual_seed(0)
    last = {
        name: weight[-1].nan_to_num(0, 0, 0) if weight.is_floating_point() else weight[-1].clone()
        for name, weight in weights.items()
    }
    floats = [weight.flatten() for weight in last.values() if weight.is_floating_point()]
    size = torch.cat(floats).square().mean().sqrt()
    unit = torch.where(size > 0, size, 1)

    def changed(weight: torch.Tensor) -> torch.Tensor:
        if not weight.is_floating_point():
            return weight
        factor, shift = torch.rand(2, *weight.shape, generator=generator, dtype=weight.dtype)
        result: torch.Tensor = weight * (0.5 + factor) + unit / 4 * shift
        return result

    return {name: changed(weight) for name, weight in last.items()}


def shaken(weights: Weights) -> Weights:
    """Weights of all trials, each shape (trials, ...), with other numbers in each trial, none of them zero.

    A number becomes one of its own order, plus a part of the root mean square of all weights of the trial.
    """
    generator = torch.Generator().manual_seed(0)
    floats = {n: w.nan_to_num(0, 0, 0) for n, w in weights.items() if w.is_floating_point()}
    flat = torch.cat([weight.reshape(len(weight), -1) for weight in floats.values()], dim=1)
    size = flat.square().mean(dim=1).sqrt()
    unit = torch.where(size > 0, size, 1)

    def changed(weight: torch.Tensor) -> torch.Tensor:
        factor, shift = torch.rand(2, *weight.shape, generator=generator).to(weight)
        result: torch.Tensor = weight * (0.5 + factor) + unit.view(-1, *[1] * (weight.dim() - 1)) / 4 * shift
        return result

    return {name: changed(floats[name]) if name in floats else weight for name, weight in weights.items()}


def other_samples(batches: Samples) -> Samples:
    """Samples of one batch, shapes (samples, ...): the first half of the last world's, each sample twice.

    Parameters
    ----------
    batches
        One of each world, shapes (worlds, samples, ...).
    """
    first = torch.arange(batches.x.shape[1]) // 2
    return Samples(x=batches.x[-1, first], y=batches.y[-1, first], noise=batches.noise[-1, first])
