"""The layers of everyday networks: each trains packed as it trains alone (law 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from phasediag.grids.grid import Grid
from phasediag.rehearsal.dry_step import dry_step
from phasediag.training.tiles import Program, Tile
from trained_tiles import CPU, grid_of

NETWORKS = """
import torch
import torch.nn.functional as F
from torch import nn

class BatchNorm(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(nn.Linear(inputs, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, outputs))

class LayerNorm(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(nn.Linear(inputs, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, outputs))

class Dropout(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(nn.Linear(inputs, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, outputs))

class ConvolutionAndPooling(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 16, 3, padding=1), nn.Linear(64, outputs)

    def forward(self, x):
        return self.head(F.max_pool2d(torch.relu(self.conv(x.view(-1, 1, 4, 4))), 2).flatten(1))

class Tied(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first, self.again, self.head = nn.Linear(inputs, 16), nn.Linear(16, 16), nn.Linear(16, outputs)
        self.again.weight = self.first.weight

    def forward(self, x):
        return self.head(torch.tanh(self.again(torch.tanh(self.first(x)))))

class Attention(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.attend, self.head = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, outputs)
        self.embed = nn.Linear(4, 16)

    def forward(self, x):
        h = self.embed(x.view(-1, 4, 4))
        return self.head(self.attend(h, h, h, need_weights=False)[0].mean(dim=1))

class Recurrent(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, 16), nn.Linear(16, outputs)

    def forward(self, x):
        h = x.new_zeros(len(x), 16)
        for token in x.view(-1, 4, 4).unbind(dim=1):
            h = self.cell(token, h)
        return self.head(h)

class Embedding(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.table, self.head = nn.Embedding(4, 16), nn.Linear(16, outputs)

    def forward(self, x):
        return self.head(torch.tanh(self.table((2 * x).long().clamp(-2, 1) + 2).sum(dim=1)))

class LongShort(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.memory, self.head = nn.LSTM(4, 16, batch_first=True), nn.Linear(16, outputs)

    def forward(self, x):
        return self.head(self.memory(x.view(-1, 4, 4))[0][:, -1])
"""
LAYERS = [
    "BatchNorm", "LayerNorm", "Dropout", "ConvolutionAndPooling", "Tied", "Attention", "Recurrent",
    "Embedding",
]  # fmt: skip
BITWISE = {"BatchNorm", "LayerNorm", "Dropout", "Tied", "Embedding"}
"""Of matrices of multiples of 16; elsewhere kernels differ with the size of a tile, by rounding."""
FIXED: dict[str, Any] = {
    "task": "teacher_student", "inputs": 16, "outputs": 16, "samples": 32, "test_samples": 16,
    "batch_size": 16, "steps": 8, "learning_rate": 0.005,
}  # fmt: skip


def grid_with(network: str, folder: Path) -> Grid:
    (folder / "nets.py").write_text(NETWORKS)
    fixed = {**FIXED, "model": f"nets.py:{network}"}
    return grid_of(fixed, {"weight_decay": [0.0, 0.1]}, folder / "grid.yaml", replicates=2)


def trained(grid: Grid, rows: list[int]) -> Tile:
    trials = grid.trials().take(np.array(rows))
    tile = Program(trials.record(0), grid.folder, CPU, False).tile(trials)
    tile.advance(8)
    return tile


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # GRUCell, one by one
@pytest.mark.parametrize("network", LAYERS)
def test_a_layer_trains_packed_as_alone(network: str, tmp_path: Path) -> None:
    grid = grid_with(network, tmp_path)
    dry_step(grid.trials(), grid.measure, tmp_path)
    together, alone = trained(grid, [0, 1, 2, 3]), trained(grid, [2, 2])
    assert together.weights.keys() == alone.weights.keys()
    exact = {"rtol": 0, "atol": 0} if network in BITWISE else {"rtol": 1e-4, "atol": 1e-5}
    for name, weight in together.weights.items():
        torch.testing.assert_close(alone.weights[name][0], weight[2], **exact)
    torch.testing.assert_close(alone.losses()[0][0], together.losses()[0][2], **exact)
    assert together.losses()[0].isfinite().all()
    assert len({float(loss) for loss in together.losses()[0]}) == 4


def test_a_layer_that_vmap_does_not_know_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"LSTM, which torch\.func\.vmap does not know; use nn\.GRUCell"):
        trained(grid_with("LongShort", tmp_path), [0, 1])
