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

SCALES = {3: np.geomspace(3e-4, 3e-3, 8).tolist(), 4: np.geomspace(1e-3, 1e-2, 8).tolist()}
"""Small enough for the leading order, large enough for float64."""
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

    scales = SCALES[order]
    fit = fitted_order(scales, residuals(loss, weights, projection, scales))
    assert abs(fit.order - order) < 0.1
    assert fit.high - fit.low < 0.1
    assert linear_term(loss, weights, projection) < 1e-12
    shrunk = residuals(loss, weights, lambda w: {name: 0.9 * part for name, part in w.items()}, scales)
    unsymmetric = fitted_order(scales, shrunk)
    assert unsymmetric.high < 1.5


def test_the_interval_of_an_order_covers_a_planted_slope() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        noise = np.exp(0.05 * generator.standard_normal(8))
        fit = fitted_order(SCALES[3], torch.from_numpy(7 * np.array(SCALES[3]) ** 2.5 * noise))
        covered += fit.low < 2.5 < fit.high
    assert 180 <= covered <= 199
