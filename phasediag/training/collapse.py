"""The data's own collapse threshold, where it is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from phasediag.training.data import Task
from phasediag.training.parts import Networks


def collapse_weight_decay(tile: Networks) -> npt.NDArray[np.float64]:
    """Weight decay above which the origin is stable for gradient descent on the training set.

    2 * slope * |mean(y x^T)|_op, with y the training targets including quenched noise (`science.md`
    E1, E2: gamma_c, and weight_decay = 2 gamma for a loss without 1/2). Gradient noise lowers it.

    Returns
    -------
    Float64, shape (trials,); NaN where the model does not tell its slope, the loss is not the squared
    error, the decay is decoupled (adamw has no such threshold, E13), a control is on, or data are fresh.
    """
    values, network = tile.trials.record(0), tile.network
    slope_of: Callable[[Mapping[str, Any]], float | None] | None
    slope_of = getattr(type(network.module), "collapse_slope", None)
    slope = slope_of(values) if slope_of else None
    squared_error = network.task.loss is Task.loss
    plain = values["optimizer"] != "adamw" and values["control"] == "none"
    if slope is None or not squared_error or not plain or tile.batches.fresh:
        return np.full(len(tile.trials), np.nan)
    data = tile.batches.training_set()
    clean = _correlation(data.y, data.x)
    noise = _correlation(data.noise, data.x) * (0.0 if tile.batches.fresh_noise else 1.0)
    world = tile.world.cpu()
    total = clean[world] + tile.rates["label_noise"].double().cpu()[:, None, None] * noise[world]
    threshold: npt.NDArray[np.float64] = (2 * slope * torch.linalg.matrix_norm(total, ord=2)).numpy()
    return threshold


def _correlation(y: Tensor, x: Tensor) -> Tensor:
    """mean(y x^T) of each replicate: shapes (replicates, samples, .) to (replicates, outputs, inputs)."""
    return (y.double().transpose(1, 2) @ x.double() / x.shape[1]).cpu()
