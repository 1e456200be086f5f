"""How fast trials are trained on average, where the learning rate changes or layers have their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import vmap

from phasediag.arrays import FloatArray
from phasediag.training.descent import FACTOR, FASTEST, LENGTH, WARMUP, Descent
from phasediag.training.optimizers import Rates

AT_ONCE: Final = 2**22
"""Factors that are computed at once."""


def mean_rates(
    descent: Descent, rates: Rates, steps_done: npt.NDArray[np.int64], most: int | None = None
) -> FloatArray:
    """The mean learning rate of the slowest layer that moves, over the steps that were done.

    So that `mean_rates * weight_decay * steps_done` tells how often what decays has relaxed.

    Parameters
    ----------
    rates
        Constants of the trials, with a leading axis of trials.
    steps_done
        Shape (trials,).
    most
        Steps that are looked at of each trial, evenly spread over those done; None: all.

    Returns
    -------
    Float64, shape (trials,).
    """
    count = len(steps_done)
    rate = rates["learning_rate"][:count].double().cpu().numpy()
    if descent.layers:
        own = torch.stack([r for n, r in rates.items() if n.startswith(FACTOR) and n != FASTEST])
        slowest = torch.where(own > 0, own, torch.inf).amin(dim=0) * rates[FASTEST]
        rate = rate * slowest[:count].double().cpu().numpy()
    return rate * _mean_factors(descent, rates, steps_done, most) if descent.scheduled else rate


def _mean_factors(
    descent: Descent, rates: Rates, counts: npt.NDArray[np.int64], most: int | None
) -> FloatArray:
    names = [*map(descent.schedule.constant, descent.schedule.batched), LENGTH]
    names += [WARMUP] if descent.warming else []
    constants = torch.stack([rates[name][: len(counts)].double().cpu() for name in names], dim=1)
    rows = torch.cat([constants, torch.from_numpy(counts.astype(np.float64))[:, None]], dim=1)
    distinct, index = torch.unique(rows, dim=0, return_inverse=True)
    longest = int(counts.max(initial=0))
    looked = longest if most is None else min(longest, most)
    size = max(1, AT_ONCE // max(1, looked))
    means = [_means(descent, names, part, looked) for part in distinct.split(size)]
    return torch.cat(means)[index].numpy()


def _means(descent: Descent, names: Sequence[str], rows: Tensor, looked: int) -> Tensor:
    """Mean factors of some distinct rows of constants and counts; of no steps, 1."""
    *columns, counts = rows.unbind(1)
    constants = dict(zip(names, columns, strict=True))
    each = vmap(vmap(descent.factor, in_dims=(None, 0)), in_dims=(0, 0))
    total = torch.zeros_like(counts)
    sampled = float(counts.max()) > looked
    for start in range(0, looked, AT_ONCE):
        position = torch.arange(start, min(looked, start + AT_ONCE), dtype=torch.float64)
        steps = position.expand(len(counts), -1)
        if sampled:
            steps = ((position + 0.5) / looked * counts[:, None]).floor()
        factors = each(constants, steps + 1)
        total += factors.sum(1) if sampled else torch.where(steps < counts[:, None], factors, 0).sum(1)
    taken = torch.full_like(counts, looked) if sampled else counts
    return torch.where(taken > 0, total / taken.clamp(min=1), 1)
