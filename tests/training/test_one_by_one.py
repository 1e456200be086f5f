"""Networks of large convolutions are trained one after the other, as they would be side by side."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from phasediag.training.one_by_one import OneByOne
from phasediag.training.steps import Vmapped
from phasediag.training.tiles import Tile
from phasediag.trial import Trials
from trained_tiles import CPU, grid_of, pair, tile_of

SMALL: dict[str, Any] = {
    "task": "digits", "samples": 64, "model": "resnet18", "channels": 2, "batch_size": 8, "steps": 4,
    "learning_rate": 0.02, "momentum": 0.9, "dtype": "float64", "loss": "cross_entropy",
}  # fmt: skip
LARGE: dict[str, Any] = {
    "task": "teacher_student", "inputs": 3072, "outputs": 2, "samples": 8, "test_samples": 2,
    "teacher_width": 2, "model": "resnet18", "channels": 8, "batch_size": 4, "learning_rate": 1e-3,
    "steps": 2,
}  # fmt: skip


def trials_of(fixed: dict[str, Any]) -> Trials:
    return grid_of(fixed, {"weight_decay": [0.0, 0.05, 0.1]}).trials()


def one_by_one(trials: Trials) -> Tile:
    tile = tile_of(trials)
    tile.program.steps = OneByOne(tile.network)
    return tile


def assert_close(tile: Tile, expected: Tile) -> None:
    assert tile.state.steps_done.tolist() == expected.state.steps_done.tolist()
    for name, tensor in expected.state.tensors().items():
        torch.testing.assert_close(tile.state.tensors()[name], tensor, rtol=1e-8, atol=1e-10)


def test_as_side_by_side() -> None:
    """Weights, moments and running statistics, also of a trial that ends before the others."""
    trials = trials_of(SMALL)
    alone, expected = one_by_one(trials), tile_of(trials)
    expected.program.steps = Vmapped(expected.network, CPU, compiled=False)
    for tile in (alone, expected):
        tile.rates["steps"][1] = 1
        tile.advance(2)
    assert_close(alone, expected)
    assert alone.state.steps_done.tolist() == [2, 1, 2]
    assert "one network after the other" in alone.program.notice


def test_large_convolutions_are_and_a_trial_has_the_same_bits_in_any_company() -> None:
    trials = trials_of(LARGE)
    together, alone = tile_of(trials, compiled=True), tile_of(pair(trials, 1))
    for tile in (together, alone):
        tile.advance(2)
        assert isinstance(tile.program.steps, OneByOne)
    for name, tensor in together.state.tensors().items():
        assert torch.equal(tensor[1], alone.state.tensors()[name][0])
    assert together.state.weights["stem.weight"].unique(dim=0).shape[0] == 3


@pytest.mark.parametrize("fixed", [SMALL, LARGE | {"model": "mlp", "width": 64, "channels": None}])
def test_others_are_not(fixed: dict[str, Any]) -> None:
    tile = tile_of(trials_of({name: value for name, value in fixed.items() if value is not None}))
    tile.advance(1)
    assert isinstance(tile.program.steps, Vmapped)
