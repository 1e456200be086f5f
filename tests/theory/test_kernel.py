"""Theorem 3.2: the kernel model with masked features, trained by the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from phasediag.theory.kernel import kernel_limit, kernel_network, largest_rate, masked_features
from phasediag.theory.reduction import reduce
from phasediag.training.data import Samples
from phasediag.training.network import Network
from phasediag.training.step import State, trial_step
from phasediag.training.tiles import Tile
from trained_tiles import grid_of, tile_of

FIXED: dict[str, Any] = {
    "task": "teacher_student", "inputs": 3, "outputs": 1, "samples": 3, "test_samples": 2, "width": 4,
    "depth": 2, "bias": True, "batch_size": 0, "dtype": "float64", "init_scale": 0.8,
}  # fmt: skip
LABELS = {"hidden.1": [0, 0, 0, 1]}


def made() -> tuple[Tile, dict[str, Tensor], Samples]:
    tile = tile_of(grid_of(FIXED, replicates=2).trials())
    data = tile.batches.training_set()
    return (
        tile,
        {n: w[0] for n, w in tile.state.weights.items()},
        Samples(x=data.x[0], y=data.y[0], noise=data.noise[0]),
    )


def descended(network: Network, weights: dict[str, Tensor], data: Samples, rate: float, steps: int) -> State:
    number = torch.tensor(rate, dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64)
    rates = {"learning_rate": number, "weight_decay": zero, "label_noise": zero, "steps": torch.tensor(steps)}
    state = State(weights=weights, moments={}, steps_done=torch.tensor(0), alive=torch.tensor(True))
    for _ in range(steps):
        state = trial_step(network, state, rates, data)
    assert state.alive
    return state


@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric start", "generic start"])
def test_descent_on_the_kernel_model_ends_at_the_stated_limit(symmetric: bool) -> None:
    """Eq. 19, to what is left of the slowest mode after the steps taken."""
    tile, start, data = made()
    network = tile.program.network
    projection = reduce(network, LABELS).symmetrized
    start = projection(start) if symmetric else start
    features = masked_features(network.module, start, projection, data.x)
    initial = functional_call(network.module, start, (data.x,))
    limit = kernel_limit(features, data.y - initial, start)
    model, weights = kernel_network(network, start, projection)
    rate = 0.5 * largest_rate(features, len(data.x))
    values = torch.linalg.svdvals(features)
    rank = int((values > 1e-9 * values[0]).sum())
    assert rank == len(values)
    slowest = float(values[-1] / values[0]) ** 2
    assert slowest > 0.02
    steps = int(15 / slowest)
    state = descended(model, weights, data, rate, steps)
    for name, weight in start.items():
        step, exact = state.weights[f"inner.{name}"] - weight, limit[name] - weight
        torch.testing.assert_close(step, exact, rtol=1e-4, atol=1e-4 * float(exact.abs().max()))
    torch.testing.assert_close(projection(limit)["layers.0.weight"] - projection(start)["layers.0.weight"],
                               limit["layers.0.weight"] - start["layers.0.weight"])  # fmt: skip


def test_the_mask_changes_nothing_at_a_symmetric_start_and_lowers_the_rank_elsewhere() -> None:
    """Eqs. 20 to 22: P grad f = grad f where P theta = theta; in general rank Phi P <= rank P."""
    tile, start, _ = made()
    network = tile.program.network
    reduction = reduce(network, {"hidden.1": [0, 0, 0, 0]})
    x = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for weights, same in ((reduction.symmetrized(start), True), (start, False)):
        plain = masked_features(network.module, weights, lambda w: w, x)
        masked = masked_features(network.module, weights, reduction.symmetrized, x)
        assert torch.allclose(plain, masked, atol=1e-12) == same
        rank = int(torch.linalg.matrix_rank(masked))
        assert rank <= reduction.dimension == 6
        assert same or rank < int(torch.linalg.matrix_rank(plain))


class Centred(nn.Module):
    """scale * (f - f_0) + f_0: lazy as the scale grows."""

    def __init__(self, module: nn.Module, start: dict[str, Tensor], scale: float) -> None:
        super().__init__()
        self.inner, self.code, self.start, self.scale = module, (module,), start, scale

    def forward(self, x: Tensor) -> Tensor:
        first = functional_call(self.code[0], self.start, (x,))
        moved: Tensor = functional_call(self.code[0], dict(self.inner.named_parameters()), (x,))
        return first + self.scale * (moved - first)


def test_lazy_networks_approach_the_limit() -> None:
    """The real network from a symmetric start: the distance of its predictions falls as 1 / scale."""
    tile, start, data = made()
    network = tile.program.network
    projection = reduce(network, LABELS).symmetrized
    start = projection(start)
    features = masked_features(network.module, start, projection, data.x)
    initial = functional_call(network.module, start, (data.x,))
    fresh = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    limit = kernel_limit(features, data.y - initial, start)
    slope = masked_features(network.module, start, projection, fresh)
    shift = torch.cat([(limit[name] - start[name]).flatten() for name in start])
    expected = functional_call(network.module, start, (fresh,)) + (slope @ shift).reshape(9, 1)
    distances = []
    for scale in (30.0, 300.0):
        lazy = replace(network, module=Centred(network.module, start, scale))
        rate = 0.5 * largest_rate(features, len(data.x)) / scale**2
        weights = {f"inner.{name}": weight for name, weight in start.items()}
        state = descended(lazy, weights, data, rate, 600)
        outputs = functional_call(lazy.module, state.weights, (fresh,))
        distances.append(float((outputs - expected).abs().max()))
    assert distances[1] < 0.15 * distances[0]
    assert distances[1] < 0.01 * float(
        (expected - functional_call(network.module, start, (fresh,))).abs().max()
    )
