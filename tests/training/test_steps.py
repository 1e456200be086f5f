"""Only what torch computes is done natively: a step that leaves it is found out, whatever it does there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from native_calls import NATIVE
from phasediag.native.lowering import UnsupportedError
from phasediag.training.steps import Native
from phasediag.training.tiles import Program, Tile
from trained_tiles import grid_of

MODEL = """
import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs: int = 3, outputs: int = 2) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, 5), nn.Linear(5, outputs)

    def forward(self, x):
        hidden = self.first(x)
        return self.second({expression})
"""
FOLLOWED = ["torch.tanh(hidden)", "hidden / (1 + hidden.abs())", "hidden * torch.arange(5)"]
LEAVING = [
    "hidden / float(np.abs(hidden.detach().numpy()).max())",
    "hidden * torch.from_numpy(np.sign(hidden.detach().numpy()))",
    "hidden * (1 + np.mean(x.numpy()))",
    "hidden * float(np.asarray(self.first.bias.detach())[0] + 1)",
]


def tile_of_model(folder: Path, expression: str, **fixed: object) -> Tile:
    folder.joinpath("net.py").write_text(MODEL.format(expression=expression))
    values = {
        "task": "teacher_student", "inputs": 3, "outputs": 2, "samples": 16, "model": "net.py:Net",
        "steps": 5, "batch_size": 4, "learning_rate": 1e-4,
    }  # fmt: skip
    trials = grid_of(values | fixed, {"weight_decay": [0.0, 0.1]}, path=folder / "grid.yaml").trials()
    return Program(trials.record(0), folder, torch.device("cpu"), compiled=True).tile(trials)


def native(tile: Tile) -> Native:
    return Native(tile.network, tile.state, tile.rates, tile.batches.run(0, 1))


@NATIVE
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("expression", FOLLOWED)
def test_a_model_of_torch_is_followed(tmp_path: Path, expression: str, optimizer: str) -> None:
    tile = tile_of_model(tmp_path, expression, optimizer=optimizer)
    assert native(tile)
    assert tile.program.losses is not None
    data = tile.batches.test_set()
    losses = tile.program.losses.of(tile.weights, tile.rates["label_noise"], tile.world, data)
    assert losses is not None
    tile.program.losses = None
    torch.testing.assert_close(losses, tile.losses()[1], rtol=1e-5, atol=1e-6)


@NATIVE
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("expression", LEAVING)
def test_a_model_that_leaves_torch_is_not(tmp_path: Path, expression: str, optimizer: str) -> None:
    tile = tile_of_model(tmp_path, expression, optimizer=optimizer)
    with pytest.raises(UnsupportedError, match="leaves torch"):
        native(tile)
    assert tile.program.losses is not None
    data = tile.batches.test_set()
    assert tile.program.losses.of(tile.weights, tile.rates["label_noise"], tile.world, data) is None


@NATIVE
def test_why_steps_are_not_native_is_told(tmp_path: Path) -> None:
    tile = tile_of_model(tmp_path, LEAVING[0])
    with pytest.raises(RuntimeError, match="data pointer"):
        tile.advance(1)
    assert "leaves torch" in tile.program.notice
