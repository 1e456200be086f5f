"""Eq. 4 on trained networks: orders of the residual as fitted slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from phasediag.theory.decomposition import fitted_order, linear_term, residuals
from phasediag.theory.reduction import DEAD, reduce
from trained_tiles import grid_of, tile_of

SCALES = np.geomspace(0.01, 0.1, 8).tolist()
FIXED: dict[str, Any] = {
    "task": "teacher_student", "inputs": 3, "outputs": 1, "samples": 10, "test_samples": 2, "width": 5,
    "batch_size": 4, "dtype": "float64", "steps": 100, "weight_decay": 0.01, "depth": 2,
}  # fmt: skip
THREE, PAIR, FLIP = [0, 0, 0, 1, 2], [0, 0, 1, 2, 3], [DEAD, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("labels", "activation", "order"),
    [(THREE, "tanh", 3), (PAIR, "tanh", 4), (FLIP, "tanh", 4), (THREE, "swish", 3), (PAIR, "swish", 4)],
)
def test_the_residual_is_of_order_three_and_under_a_reflection_four(
    labels: list[int], activation: str, order: int
) -> None:
    tile = tile_of(grid_of(FIXED | {"activation": activation}, replicates=2).trials())
    tile.advance(100)
    network, data = tile.program.network, tile.batches.training_set()
    projection = reduce(network, {"hidden.1": labels}).symmetrized
    weights = {name: w[0] for name, w in tile.weights.items()}

    def loss(at: dict[str, Tensor]) -> Tensor:
        return (functional_call(network.module, at, (data.x[0],)) - data.y[0]).square().mean()

    fit = fitted_order(SCALES, residuals(loss, weights, projection, SCALES))
    assert fit.low - 0.1 < order < fit.high + 0.1
    assert fit.high - fit.low < 0.2
    assert linear_term(loss, weights, projection) < 1e-12
    unsymmetric = fitted_order(
        SCALES, residuals(loss, weights, lambda w: {n: 0.9 * v for n, v in w.items()}, SCALES)
    )
    assert unsymmetric.high < 1.5


def test_the_interval_of_an_order_covers_a_planted_slope() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        noise = np.exp(0.05 * generator.standard_normal(8))
        fit = fitted_order(SCALES, torch.from_numpy(7 * np.array(SCALES) ** 2.5 * noise))
        covered += fit.low < 2.5 < fit.high
    assert 180 <= covered <= 199
