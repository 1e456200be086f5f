"""Every architecture of the paper trains in a pack as alone, and as plain PyTorch trains it (law 1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import functional_call

import phasediag
from phasediag.errors import PhasediagError
from phasediag.models.resnet18 import ResNet18
from phasediag.models.unequal_mlp import UnequalMLP
from phasediag.training.steps import Native
from small_sweeps import assert_same_rows, launched, trials
from trained_tiles import grid_of, tile_of

SIXTEENS: dict[str, Any] = {
    "task": "teacher_student", "inputs": 16, "outputs": 16, "samples": 64, "test_samples": 32,
    "teacher_width": 4, "batch_size": 16, "learning_rate": 0.002, "steps": 30,
}  # fmt: skip
FULLY_CONNECTED: dict[str, dict[str, Any]] = {
    "five layers": {"model": "unequal_mlp", "widths": [64, 32, 16, 48], "activation": "swish"},
    "six layers": {"model": "unequal_mlp", "widths": [32, 48, 16, 32, 16], "activation": "linear"},
    "quadratic": {"model": "mlp", "depth": 2, "width": 32, "activation": "square"},
    "cubic": {"model": "mlp", "depth": 2, "width": 32, "activation": "cube", "learning_rate": 2e-5},
    "sinusoidal": {"model": "mlp", "depth": 2, "width": 32, "activation": "sin"},
}
RESNET: dict[str, Any] = {
    "task": "digits", "samples": 64, "model": "resnet18", "channels": 2, "batch_size": 16, "steps": 4,
    "learning_rate": 0.02, "dtype": "float64", "loss": "cross_entropy",
}  # fmt: skip


def launched_in_packs(folder: Path, fixed: dict[str, Any], per_pack: int, **options: Any) -> Path:
    axes = {"weight_decay": [0.0, 0.01], "init_scale": [0.5, 0.8]}
    grid = {"name": "g", "fixed": fixed, "axes": axes, "resources": {"trials_per_pack": per_pack}}
    outcome = launched(folder, json.dumps(grid), **options)
    assert (outcome.exit_code, outcome.status.ok) == (0, 4)
    return folder / "g"


@pytest.mark.parametrize("name", FULLY_CONNECTED)
def test_law_1_bit_by_bit(name: str, tmp_path: Path) -> None:
    fixed = SIXTEENS | FULLY_CONNECTED[name]
    together, alone = (launched_in_packs(tmp_path / str(n), fixed, n) for n in (4, 1))
    assert_same_rows(together, alone)
    assert trials(together)["train_loss"].nunique() == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", FULLY_CONNECTED)
def test_law_1_natively(name: str, tmp_path: Path) -> None:
    fixed = SIXTEENS | FULLY_CONNECTED[name]
    tile = tile_of(grid_of(fixed, {"weight_decay": [0.0, 0.01]}).trials(), compiled=True)
    tile.advance(1)
    assert isinstance(tile.program.steps, Native)
    together, alone = (launched_in_packs(tmp_path / str(n), fixed, n, compile="on") for n in (4, 1))
    assert_same_rows(together, alone)


def test_a_resnet_trains_in_a_pack_as_alone(tmp_path: Path) -> None:
    """Convolutions of a pack are grouped: their sums may round otherwise."""
    together, alone = (launched_in_packs(tmp_path / str(n), RESNET, n) for n in (4, 1))
    packed, single = trials(together), trials(alone)
    assert packed["train_loss"].nunique() == 4
    for column in ("train_loss", "test_loss"):
        np.testing.assert_allclose(packed[column], single[column], rtol=1e-7)
    assert (packed["degree_of_symmetry"] == single["degree_of_symmetry"]).all()


def test_a_resnet_trains_as_a_plain_loop_trains_it() -> None:
    """Weights, gains and running statistics of two trials against torch.optim.SGD on the same batches."""
    rows = grid_of(RESNET | {"steps": 3}, {"weight_decay": [0.0, 0.05]}).trials()
    tile = tile_of(rows)
    starts = {name: tensor.clone() for name, tensor in tile.weights.items()}
    batches = [tile.batches.at(step) for step in range(3)]
    tile.advance(3)
    for row in range(2):
        module = ResNet18(inputs=64, outputs=10, channels=2).double()
        module.load_state_dict({name: tensor[row] for name, tensor in starts.items()})
        decay = float(tile.rates["weight_decay"][row])
        optimizer = torch.optim.SGD(module.parameters(), lr=0.02, weight_decay=decay)
        for batch in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(batch.x[0]), batch.y[0]).backward()
            optimizer.step()
        left = {name: tensor[row] for name, tensor in tile.weights.items()}
        assert left["norm.num_batches_tracked"] == 3
        for name, tensor in module.state_dict().items():
            torch.testing.assert_close(left[name], tensor, rtol=1e-9, atol=1e-11)


def test_gains_start_at_one_and_init_scale_leaves_them() -> None:
    tile = tile_of(grid_of(RESNET, {"init_scale": [0.5, 2.0]}).trials())
    for name, tensor in tile.weights.items():
        if "norm" in name and name.endswith(".weight"):
            assert (tensor == 1).all()
        if "norm" in name and name.endswith(".bias"):
            assert (tensor == 0).all()
    torch.testing.assert_close(4 * tile.weights["stem.weight"][0], tile.weights["stem.weight"][1])


def random_resnet() -> tuple[ResNet18, dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    module = ResNet18(inputs=3 * 8 * 8, outputs=5, channels=4).double().eval()
    values = {
        name: torch.rand(p.shape, generator=generator).double() - (0.4 if p.dim() > 1 else -0.5)
        for name, p in module.named_parameters()
    }
    values |= {name: buffer.clone() for name, buffer in module.named_buffers()}
    return module, values, torch.randn(6, 192, generator=generator).double()


def test_channels_of_blocks_and_of_streams_may_be_permuted() -> None:
    """Also between training passes, whose statistics are of the batch: nothing of a channel is left out."""
    module, values, x = random_resnet()
    module.train()
    before = functional_call(module, {n: v.clone() for n, v in values.items()}, (x,))
    names = [group.name for group in module.neuron_groups]
    assert names == [*(f"hidden.{n}" for n in range(1, 9)), *(f"stage.{n}" for n in range(1, 5))]
    for group in module.neuron_groups:
        order = torch.randperm(len(values[group.incoming[0]]), generator=torch.Generator().manual_seed(1))
        moved = {name: value.clone() for name, value in values.items()}
        for name in (*group.incoming, *group.bias):
            moved[name] = moved[name][order]
        halfway = functional_call(module, {n: v.clone() for n, v in moved.items()}, (x,))
        assert not torch.allclose(halfway, before), group.name
        for name in group.outgoing:
            moved[name] = moved[name][:, order]
        torch.testing.assert_close(functional_call(module, moved, (x,)), before, rtol=1e-7, atol=1e-7)


def test_it_is_resnet18() -> None:
    """11,173,962 parameters at 64 channels and ten classes, as is known of the one for CIFAR-10."""
    with torch.device("meta"):
        module = ResNet18(inputs=3072, outputs=10, channels=64)
    assert sum(p.numel() for p in module.parameters()) == 11_173_962


def test_images_that_are_none_are_refused() -> None:
    with pytest.raises(PhasediagError, match="square images of one or three colours, and 20 inputs are none"):
        ResNet18(inputs=20, outputs=2, channels=2)


def test_unequal_widths_are_an_axis(tmp_path: Path) -> None:
    axes = {"widths": {"values": [[4, 3], [3, 4, 5]]}, "weight_decay": [0.0, 0.1]}
    fixed = {"task": "linear_map", "model": "unequal_mlp", "activation": "linear", "steps": 5, "inputs": 3,
             "outputs": 2, "singular_values": [1.0, 0.5], "init": "balanced"}  # fmt: skip
    launched(tmp_path, json.dumps({"name": "g", "fixed": fixed, "axes": axes}))
    frame = phasediag.load_trials(tmp_path / "g")
    assert set(frame["widths"]) == {(4, 3), (3, 4, 5)}
    with torch.device("meta"):
        module = UnequalMLP(inputs=3, outputs=2, widths=(4, 5, 6), activation="tanh", bias=True)
    assert [tuple(p.shape) for p in module.parameters() if p.dim() > 1] == [(4, 3), (5, 4), (6, 5), (2, 6)]
    assert [group.name for group in module.neuron_groups] == ["hidden.1", "hidden.2", "hidden.3"]
