"""Arguments of a user's constructor that change numbers alone: one program, each trial its own value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import phasediag
from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid, read_grid
from phasediag.packing.structure import structures
from phasediag.training.tiles import Program
from phasediag.trial import Role
from small_packs import pack_trials
from small_sweeps import grid_text, write
from trained_tiles import CPU

Sort = tuple[str, float, str, str]
"""Of an argument: its name, its default, what the constructor makes of it, and what forward does."""
HEAD = """
import torch
from torch import nn

class Net(nn.Module):
    {stated}

    def __init__(self, inputs, outputs, {argument}: float = {default}, width: int = 16):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        {made}

    def forward(self, x):
        {passed}
"""
SORTS: dict[str, Sort] = {
    "temperature": ("temperature", 1.0, "self.temperature = temperature",
                    "return self.second(torch.tanh(self.first(x) / self.temperature))"),
    "derived": ("gain", 1.0, "self.twice = 2 * gain",
                "return self.second(torch.tanh(self.twice * self.first(x)))"),
    "slope": ("slope", 0.2, "self.slope = slope",
              "h = self.first(x); return self.second(torch.where(h > 0, h, self.slope * h))"),
    "buffer": ("shift", 0.5, "self.register_buffer('shift', torch.full((width,), shift))",
               "return self.second(torch.tanh(self.first(x) + self.shift))"),
    "parameter": ("start", 0.5, "self.gain = nn.Parameter(torch.full((width,), start))",
                  "return self.second(self.gain * torch.tanh(self.first(x)))"),
    "dropout": ("p", 0.0, "self.drop = nn.Dropout(p)",
                "return self.second(self.drop(torch.tanh(self.first(x))))"),
}  # fmt: skip
PLAIN = "return self.second(self.first(x))"


def grid_of(folder: Path, sort: Sort, values: list[float], batched: bool = True) -> Grid:
    argument, default, made, passed = sort
    stated = f"batched = ('{argument}',)" if batched else "pass"
    text = HEAD.format(stated=stated, argument=argument, default=default, made=made, passed=passed)
    write(folder, text, "net.py")
    fixed: dict[str, Any] = {
        "steps": 12, "inputs": 16, "outputs": 16, "samples": 32, "batch_size": 16, "model": "net.py:Net",
        "weight_decay": 0.01, "width": 16,
    }  # fmt: skip
    return read_grid(write(folder, grid_text({argument: str(values)}, fixed)))


def weights_of(grid: Grid, row: int) -> dict[str, torch.Tensor]:
    """A trial trained alone."""
    trials = grid.trials().take(np.array([row, row]))
    tile = Program(trials.record(0), grid.folder, CPU, False).tile(trials)
    tile.advance(12)
    return {name: weight[0] for name, weight in tile.weights.items()}


@pytest.mark.parametrize("sort", SORTS)
def test_values_share_a_program_and_train_as_each_by_its_own(sort: str, tmp_path: Path) -> None:
    """The plan compares with plain PyTorch; here the pack with programs of one value, built as constants."""
    values = [0.3, 0.7, 0.4]
    one = grid_of(tmp_path, SORTS[sort], values)
    phasediag.plan(one.path, str(tmp_path / "sweeps"))
    assert one.parameters[SORTS[sort][0]].role is Role.BATCHED
    assert len(pack_trials(one.trials(), one.parameters, tmp_path, workers=1)) == 1
    tile = Program(one.trials().record(0), tmp_path, CPU, False).tile(one.trials())
    tile.advance(12)
    (tmp_path / "apart").mkdir()
    apart = grid_of(tmp_path / "apart", SORTS[sort], values, batched=False)
    assert len(structures(apart.trials(), apart.parameters)[0]) == len(values)
    for row in range(len(one.trials())):
        for name, weight in weights_of(apart, row).items():
            weights = tile.weights[name][row]
            torch.testing.assert_close(weights, weight, rtol=1e-5, atol=1e-6, msg=f"{name} of row {row}")
    assert not torch.equal(tile.weights["second.weight"][0], tile.weights["second.weight"][-1])


def test_law_1_a_value_does_not_depend_on_its_mates(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, SORTS["dropout"], [0.0, 0.3, 0.7])
    trials = grid.trials()
    tile = Program(trials.record(0), tmp_path, CPU, False).tile(trials)
    tile.advance(12)
    for row in range(len(trials)):
        alone = weights_of(grid, row)
        assert all(torch.equal(tile.weights[name][row], weight) for name, weight in alone.items())


@pytest.mark.parametrize(
    ("sort", "message"),
    [
        (("sizes", 0.5, "self.third = nn.Linear(width, int(100 * sizes))", PLAIN), "third.out_features"),
        (("flag", 0.5, "self.deep = flag > 0.3", PLAIN), "deep"),
        (("slope", 0.1, "self.act = nn.LeakyReLU(slope)", "return self.second(self.act(self.first(x)))"),
         "net.py"),
        (("late", 0.5, "self.mode = 'a' if late < 5 else 'b'", PLAIN), "mode"),
        (("listed", 0.5, "self.both = [listed]", "return self.second(self.both[0] * self.first(x))"),
         "leave 'listed' out of `batched`"),
    ],
)  # fmt: skip
def test_what_cannot_be_batched_is_refused(sort: Sort, message: str, tmp_path: Path) -> None:
    grid = grid_of(tmp_path, sort, [0.2, 9.0])
    with pytest.raises(PhasediagError, match=message) as refused:
        phasediag.plan(grid.path, str(tmp_path / "sweeps"))
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("stated", ["batched = ('width',)", "batched = ('nothing',)", "batched = 'p'"])
def test_a_statement_must_name_floats(stated: str, tmp_path: Path) -> None:
    grid = grid_of(tmp_path, SORTS["dropout"], [0.0, 0.3])
    text = (tmp_path / "net.py").read_text().replace("batched = ('p',)", stated)
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(PhasediagError, match=r"names of arguments that are floats, which here are p"):
        read_grid(grid.path)
