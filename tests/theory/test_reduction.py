"""Theorems 1 and 3.1: a network in a symmetric state trains as a smaller one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.theory.reduction import DEAD, neuron_classes, reduce, trajectory_distances
from phasediag.training.data import Samples
from phasediag.training.tiles import Tile
from trained_tiles import grid_of, tile_of

STEPS = 200
FIXED: dict[str, Any] = {
    "task": "teacher_student", "inputs": 3, "outputs": 2, "samples": 20, "test_samples": 2, "width": 6,
    "depth": 3, "bias": True, "batch_size": 4, "learning_rate": 0.05, "steps": STEPS, "dtype": "float64",
    "label_noise": 0.2,
}  # fmt: skip
CLONES = {"hidden.1": [0, 1, 0, 2, 0, 1], "hidden.2": [0, 0, 0, 1, 1, 2]}
DEADS = {"hidden.1": [0, 1, 2, DEAD, 3, DEAD], "hidden.2": [0, DEAD, 1, 2, 3, 4]}
BOTH = {"hidden.1": [0, 1, 0, DEAD, 1, 2], "hidden.2": [DEAD, 0, 0, 1, DEAD, 1]}


def batches(tile: Tile) -> list[Samples]:
    drawn = []
    for step in range(STEPS):
        batch = tile.batches.at(step)
        drawn.append(Samples(x=batch.x[0], y=batch.y[0], noise=batch.noise[0]))
    return drawn


def start(tile: Tile) -> dict[str, Tensor]:
    return {name: w[0] for name, w in tile.state.weights.items()}


def moved(tile: Tile, labels: dict[str, list[int]], steps: int = STEPS) -> tuple[Tensor, float]:
    """Distances of the two trajectories, and how far the network itself went."""
    network = tile.program.network
    reduction = reduce(network, labels)
    rates = {name: rate[0] for name, rate in tile.rates.items()}
    weights = reduction.symmetrized(start(tile))
    distances = trajectory_distances(network, reduction, weights, rates, batches(tile)[:steps])
    tile.state.weights.update({name: torch.stack([w, w]) for name, w in weights.items()})
    tile.advance(steps)
    went = max(float((tile.state.weights[n][0] - w).abs().max()) for n, w in weights.items())
    assert neuron_classes({n: w.round(decimals=9) for n, w in start(tile).items()}, network.groups) == labels
    return distances, went


@pytest.mark.parametrize("labels", [CLONES, DEADS, BOTH], ids=["permutation", "sign flip", "both"])
@pytest.mark.parametrize("given", [{"weight_decay": 0.1}, {"momentum": 0.7, "weight_decay": 0.02}])
def test_sgd_with_decay_keeps_the_reduced_trajectory(
    labels: dict[str, list[int]], given: dict[str, Any]
) -> None:
    tile = tile_of(grid_of(FIXED | given, {"init_scale": [0.7, 0.7 + 1e-12]}).trials())
    distances, went = moved(tile, labels)
    assert distances.shape == (STEPS,)
    assert distances.max() < 1e-10
    assert went > 0.1


def test_adam_moves_otherwise_on_the_symmetric_subspace() -> None:
    """The reduction is orthogonal and Adam is not equivariant: the law is no tautology."""
    tile = tile_of(grid_of(FIXED | {"optimizer": "adam", "learning_rate": 0.02}, replicates=2).trials())
    distances, _ = moved(tile, CLONES)
    assert distances[-1] > 1e-3


def test_a_wrong_multiplicity_is_seen() -> None:
    tile = tile_of(grid_of(FIXED, replicates=2).trials())
    network = tile.program.network
    reduction = reduce(network, CLONES)
    control = reduction.network.control
    control.factors["layers.1.weight"] = control.factors["layers.1.weight"] * 1.001  # type: ignore[attr-defined]
    rates = {name: rate[0] for name, rate in tile.rates.items()}
    weights = reduction.symmetrized(start(tile))
    assert trajectory_distances(network, reduction, weights, rates, batches(tile)).max() > 1e-5


def test_the_dimension_is_the_rank_of_the_projection() -> None:
    tile = tile_of(grid_of(FIXED, replicates=2).trials())
    weights = start(tile)
    sizes = [w.numel() for w in weights.values()]
    for labels in (CLONES, DEADS, BOTH):
        reduction = reduce(tile.program.network, labels)
        rows = []
        for unit in torch.eye(sum(sizes), dtype=torch.float64):
            parts = zip(weights.items(), unit.split(sizes), strict=True)
            image = reduction.symmetrized({name: part.reshape(w.shape) for (name, w), part in parts})
            rows.append(torch.cat([part.flatten() for part in image.values()]))
        projection = torch.stack(rows)
        torch.testing.assert_close(projection @ projection, projection)
        torch.testing.assert_close(projection.T, projection)
        assert int(torch.linalg.matrix_rank(projection)) == reduction.dimension < sum(sizes)
        lost = int(torch.linalg.matrix_rank(torch.eye(sum(sizes)) - projection))
        assert reduction.dimension == sum(sizes) - lost


def test_the_reduced_network_is_smaller_and_computes_the_same() -> None:
    tile = tile_of(grid_of(FIXED, replicates=2).trials())
    reduction = reduce(tile.program.network, BOTH)
    assert reduction.network.control.shapes == {
        "layers.0.weight": (3, 3), "layers.0.bias": (3,), "layers.1.weight": (2, 3), "layers.1.bias": (2,),
        "layers.2.weight": (2, 2), "layers.2.bias": (2,),
    }  # fmt: skip
    weights = reduction.symmetrized(start(tile))
    norm = np.sqrt(sum(float(w.square().sum()) for w in weights.values()))
    reduced = np.sqrt(sum(float(w.square().sum()) for w in reduction.coordinates(weights).values()))
    assert reduced == pytest.approx(norm)


def test_what_is_no_symmetric_state_is_refused() -> None:
    tile = tile_of(grid_of(FIXED, replicates=2).trials())
    reduction = reduce(tile.program.network, CLONES)
    with pytest.raises(PhasediagError, match="not in the symmetric subspace"):
        trajectory_distances(tile.program.network, reduction, start(tile), {}, [])
    with pytest.raises(PhasediagError, match=r"hidden\.2 has 6 neurons and 2 labels"):
        reduce(tile.program.network, CLONES | {"hidden.2": [0, 1]})
    gated = tile_of(grid_of(FIXED | {"control": "gate"}, replicates=2).trials())
    with pytest.raises(PhasediagError, match="control: none"):
        reduce(gated.program.network, CLONES)
