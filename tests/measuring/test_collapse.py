"""The data's own collapse threshold against numpy and against training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from phasediag.measuring.collapse import collapse_weight_decay
from phasediag.trial import Streams
from trained_tiles import grid_of, task_of, tile_of

BASE: dict[str, Any] = {
    "task": "teacher_student", "inputs": 4, "outputs": 2, "samples": 30, "test_samples": 2, "width": 6,
    "activation": "tanh", "depth": 2, "bias": False, "batch_size": 0, "learning_rate": 0.05, "steps": 1,
    "dtype": "float64",
}  # fmt: skip


def by_numpy(trials: Any, row: int) -> float:
    """2 * the largest singular value of mean(y x^T), by power iteration on the data drawn anew."""
    task = task_of(trials, row)
    x, y = (part.numpy() for part in task.train_set())
    noise = Streams(int(trials.seed[row])).generator("noise", position=2**40).standard_normal(y.shape)
    quenched = trials.record(row)["noise"] == "quenched"
    correlation = (y + quenched * trials.values("label_noise")[row] * noise).T @ x / len(x)
    v = np.ones(x.shape[1])
    for _ in range(2000):
        v = correlation.T @ (correlation @ v)
        v /= np.linalg.norm(v)
    return float(2 * np.linalg.norm(correlation @ v))


@pytest.mark.parametrize("noise", ["quenched", "fresh"])
@pytest.mark.parametrize("activation", ["tanh", "linear", "sin"])
def test_the_threshold_is_the_correlation_of_the_training_set(noise: str, activation: str) -> None:
    axes = {"label_noise": [0.0, 1.5]}
    trials = grid_of(BASE | {"noise": noise, "activation": activation}, axes, replicates=2).trials()
    thresholds = collapse_weight_decay(tile_of(trials))
    np.testing.assert_allclose(thresholds, [by_numpy(trials, row) for row in range(4)], rtol=1e-9)
    with_noise = thresholds[trials.values("label_noise") > 0]
    without = thresholds[trials.values("label_noise") == 0]
    assert np.allclose(with_noise, without) == (noise == "fresh")


def test_it_does_not_depend_on_the_weights_and_covers_mini_batches() -> None:
    trials = grid_of(BASE | {"batch_size": 4, "steps": 20}, replicates=2).trials()
    tile = tile_of(trials)
    before = collapse_weight_decay(tile)
    tile.advance(20)
    np.testing.assert_array_equal(collapse_weight_decay(tile), before)
    full = collapse_weight_decay(tile_of(grid_of(BASE, replicates=2).trials()))
    np.testing.assert_array_equal(before, full)


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "relu"}, {"activation": "square"}, {"depth": 3}, {"depth": 1}, {"bias": True},
        {"samples": 0, "batch_size": 4}, {"optimizer": "adamw"},
    ],
)  # fmt: skip
def test_it_is_told_only_where_it_is_exact(change: dict[str, Any]) -> None:
    """AdamW has no such threshold (`docs/physics.md` E13); relu's is not a matter of the linear slope."""
    assert np.isnan(collapse_weight_decay(tile_of(grid_of(BASE | change).trials()))).all()
    assert np.isfinite(collapse_weight_decay(tile_of(grid_of(BASE | {"optimizer": "adam"}).trials()))).all()


def test_a_task_with_another_loss_has_no_known_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    task = tile_of(grid_of(BASE).trials()).program.network.task
    monkeypatch.setattr(
        task, "loss", staticmethod(lambda prediction, target: (prediction - target).abs().mean())
    )
    tile = tile_of(grid_of(BASE).trials())
    assert np.isnan(collapse_weight_decay(tile)).all()


@pytest.mark.parametrize("activation", ["tanh", "linear"])
@pytest.mark.parametrize("label_noise", [0.0, 2.0])
def test_training_collapses_just_above_it_and_not_just_below(activation: str, label_noise: float) -> None:
    fixed = BASE | {"activation": activation, "label_noise": label_noise, "data_seed": 1, "init_scale": 1e-3}
    (threshold,) = collapse_weight_decay(tile_of(grid_of(fixed).trials()))[:1]
    axes = {"weight_decay": [round(float(share * threshold), 9) for share in (0.93, 0.98, 1.02, 1.07)]}
    if label_noise:
        fixed |= {"noise": "quenched"}
    trials = grid_of(fixed | {"steps": 700, "learning_rate": 0.3}, axes).trials()
    tile = tile_of(trials)
    norms = []
    for step in (350, 700):
        tile.advance(step)
        squares = [w.square().sum((1, 2)) for w in tile.state.weights.values()]
        norms.append(torch.stack(squares).sum(0).sqrt().numpy())
    grown = norms[1] / norms[0]
    assert (grown[2:] < 0.9).all()
    assert (norms[1][2:] < 1e-3).all()
    assert (norms[1][0] > 30 * norms[1][2:]).all()
    assert grown[1] > 1.1 or norms[1][1] > 0.05
