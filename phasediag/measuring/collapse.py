"""The data's own collapse threshold, where it is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from phasediag.training.data import Task
from phasediag.training.parts import Networks


def collapse_weight_decay(tile: Networks) -> npt.NDArray[np.float64]:
    """Weight decay above which the origin is stable for gradient descent on the training set.

    2 * slope * |mean(y x^T)|_op, with y the training targets including quenched noise (`docs/physics.md`
    E1, E2: gamma_c, and weight_decay = 2 gamma for a loss without 1/2). Gradient noise lowers it.

    Returns
    -------
    Float64, shape (trials,); NaN where the model does not tell its slope, the loss is not the squared
    error, the decay is not known to enter the
    gradient (adamw has no such threshold, E13), a control is on, or data are fresh.
    """
    values, network = tile.trials.record(0), tile.network
    slope = network.collapse_slope(values)
    squared_error = network.loss is Task.loss
    plain = network.descent.decoupled is False and values["control"] == "none"
    if slope is None or not squared_error or not plain or tile.batches.fresh:
        return np.full(len(tile.trials), np.nan)
    total = _redrawn(tile) if network.task.redraws_labels() else _added(tile)
    threshold: npt.NDArray[np.float64] = (2 * slope * torch.linalg.matrix_norm(total, ord=2)).numpy()
    return threshold


def _added(tile: Networks) -> Tensor:
    """mean(y x^T) of each trial, shape (trials, outputs, inputs), where label noise is added to targets."""
    data, world = tile.batches.training_set(), tile.world.cpu()
    clean = _correlation(data.y, data.x)
    noise = _correlation(data.noise, data.x) * (0.0 if tile.batches.fresh_noise else 1.0)
    return clean[world] + tile.rates["label_noise"].double().cpu()[:, None, None] * noise[world]


def _redrawn(tile: Networks) -> Tensor:
    """mean(y x^T) of each trial where a share of labels is drawn anew; of fresh noise, on average."""
    data, worlds = tile.batches.training_set(), tile.world.cpu().tolist()
    correlations: dict[tuple[int, float], Tensor] = {}
    kinds = list(zip(worlds, tile.rates["label_noise"].double().tolist(), strict=True))
    for world, share in dict.fromkeys(kinds):
        y = data.y[world]
        if tile.batches.fresh_noise:
            y = (1 - share) * y + share / y.shape[-1]
        else:
            y = tile.network.task.noisy(y, data.noise[world], torch.tensor(share, dtype=y.dtype))
        correlations[world, share] = _correlation(y[None], data.x[world][None])[0]
    return torch.stack([correlations[kind] for kind in kinds])


def _correlation(y: Tensor, x: Tensor) -> Tensor:
    """mean(y x^T) of each replicate: shapes (replicates, samples, .) to (replicates, outputs, inputs)."""
    return (y.double().transpose(1, 2) @ x.double() / x.shape[1]).cpu()
