"""Optimizers, schedules, clipping, losses and rates of layers, against a loop of plain PyTorch."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    SequentialLR,
    StepLR,
)

from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid
from phasediag.packing.structure import structures
from phasediag.training.data import Batches
from phasediag.training.network import network_of
from phasediag.training.pace import mean_rates
from phasediag.training.tiles import Program, Tile
from small_packs import pack_trials
from trained_tiles import grid_of, task_of

STEPS = 50
FIXED: dict[str, Any] = {
    "task": "digits", "samples": 64, "model": "mlp", "depth": 2, "width": 6, "bias": True, "batch_size": 8,
    "steps": STEPS, "dtype": "float64", "learning_rate": 0.02, "weight_decay": 0.05, "label_noise": 0.2,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "adam": {"optimizer": "adam", "beta1": 0.8, "beta2": 0.95, "adam_epsilon": 1e-5},
    "adamw": {"optimizer": "adamw"},
    "cosine": {"schedule": "cosine", "schedule_final": 0.1},
    "linear": {"schedule": "linear", "schedule_final": 0.3, "optimizer": "adamw"},
    "step": {"schedule": "step", "step_every": 7, "step_factor": 0.6},
    "warm-up": {"warmup_steps": 12},
    "warm-up of a cosine": {"schedule": "cosine", "warmup_steps": 12, "momentum": 0.5},
    "warm-up of stairs": {"schedule": "step", "step_every": 5, "warmup_steps": 1},
    "clipped": {"gradient_clip": 0.4},
    "clipped adam": {"gradient_clip": 0.4, "optimizer": "adam"},
    "cross entropy": {"loss": "cross_entropy"},
    "layers": {"layer_rates": [0.1, 3]},
    "frozen layer": {"layer_rates": [1, 0], "optimizer": "adamw"},
    "layers of adamw": {"layer_rates": [2, 0.3], "optimizer": "adamw", "schedule": "cosine"},
    "all": {
        "optimizer": "adamw", "schedule": "linear", "warmup_steps": 5, "gradient_clip": 1.0,
        "loss": "cross_entropy", "layer_rates": [0.5, 1],
    },
}  # fmt: skip
COMPILED = ("warm-up of stairs", "clipped adam", "all")
"""Cases that between them have everything, for a native program of each takes seconds to compile."""


def program_of(grid: Grid, compiled: bool = False) -> Tile:
    trials = grid.trials()
    program = Program(trials.record(0), grid.folder, torch.device("cpu"), compiled)
    return program.tile(trials.take(np.arange(max(2, len(trials))) % len(trials)), shared=False)


def scheduler_of(optimizer: torch.optim.Optimizer, values: dict[str, Any]) -> LRScheduler:
    """What `torch.optim.lr_scheduler` has for these values; a `StepLR` of factor 1 for a constant rate."""
    warm = values["warmup_steps"]
    kinds: dict[str, Any] = {
        "constant": partial(StepLR, step_size=1, gamma=1.0),
        "cosine": lambda o: CosineAnnealingLR(
            o, T_max=STEPS - warm, eta_min=values["schedule_final"] * values["learning_rate"]
        ),
        "linear": lambda o: LinearLR(
            o, start_factor=1.0, end_factor=values["schedule_final"], total_iters=STEPS - warm
        ),
        "step": lambda o: StepLR(o, step_size=values["step_every"], gamma=values["step_factor"]),
    }
    if not warm:
        made: LRScheduler = kinds[values["schedule"]](optimizer)
        return made
    rising = LinearLR(optimizer, start_factor=1 / warm, end_factor=1.0, total_iters=max(1, warm - 1))
    return SequentialLR(optimizer, [rising, kinds[values["schedule"]](optimizer)], milestones=[warm])


def optimizer_of(module: nn.Module, values: dict[str, Any]) -> torch.optim.Optimizer:
    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    rates = values["layer_rates"] or [1.0] * len(layers)
    groups: Any = [
        {"params": list(layer.parameters()), "lr": values["learning_rate"] * rate}
        for layer, rate in zip(layers, rates, strict=True)
    ]
    if values["optimizer"] == "sgd":
        return torch.optim.SGD(groups, momentum=values["momentum"], weight_decay=values["weight_decay"])
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[values["optimizer"]]
    return kind(
        groups, betas=(values["beta1"], values["beta2"]), eps=values["adam_epsilon"],
        weight_decay=values["weight_decay"],
    )  # fmt: skip


def plain(grid: Grid, row: int, tile: Tile) -> dict[str, np.ndarray]:
    """The weights after a loop as one writes it, from the same start and on the same batches."""
    trials = grid.trials()
    values: dict[str, Any] = trials.record(row)
    task = task_of(trials, row)
    batches = Batches([task], values["batch_size"], False, torch.float64, torch.device("cpu"))
    network = network_of(values, grid.folder)
    module = network.construction.module(int(trials.seed[row]))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(tile.weights[name][row])
    optimizer = optimizer_of(module, values)
    scheduler = scheduler_of(optimizer, values)
    entropy = nn.CrossEntropyLoss()
    for step in range(STEPS):
        batch = batches.at(step)
        redrawn = batch.noise[0][:, :1] < values["label_noise"]
        target = torch.where(redrawn, batch.noise[0][:, 1:], batch.y[0])
        prediction = module(batch.x[0])
        squared = (prediction - target).square().sum(-1).mean()
        loss = entropy(prediction, target) if values["loss"] == "cross_entropy" else squared
        optimizer.zero_grad()
        loss.backward()
        if values["gradient_clip"] is not None:
            nn.utils.clip_grad_norm_(module.parameters(), values["gradient_clip"])
        optimizer.step()
        scheduler.step()
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


@pytest.mark.filterwarnings("ignore:.*scheduler.step:UserWarning")
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
@pytest.mark.parametrize(
    ("case", "compiled"), [*((case, False) for case in CASES), *((case, True) for case in COMPILED)]
)
def test_fifty_steps_are_those_of_a_plain_loop(case: str, compiled: bool) -> None:
    grid = grid_of(FIXED | CASES[case], {}, replicates=2)
    tile = program_of(grid, compiled)
    expected = [plain(grid, row, tile) for row in (0, 1)]
    start = {name: weight.clone() for name, weight in tile.weights.items()}
    tile.advance(STEPS)
    assert not (compiled and tile.program.notice)
    for name, weight in tile.weights.items():
        for row in (0, 1):
            np.testing.assert_allclose(weight[row].numpy(), expected[row][name], rtol=0, atol=1e-9)
    moved = {name: not torch.equal(weight, start[name]) for name, weight in tile.weights.items()}
    frozen = case == "frozen layer"
    assert moved == {name: not (frozen and name.startswith("layers.1")) for name in moved}


DIFFERING = {
    "gradient_clip": [0.1, 0.5, 3.0],
    "warmup_steps": [3, 10, 20],
    "layer_rates": [[1, 0.1], [0, 2], [0.5, 0.5]],
    "schedule_final": [0.0, 0.4, 1.0],
    "steps": [20, 30, 50],
}


@pytest.mark.parametrize("name", DIFFERING)
def test_mates_in_a_program_do_not_matter(name: str) -> None:
    """Law 1, bit by bit: trials that differ in a number of their own share a program, and are as alone."""
    fixed = FIXED | {"width": 16, "samples": 64, "schedule": "cosine", "dtype": "float32", "bias": False}
    grid = grid_of(fixed, {name: {"values": DIFFERING[name]}})
    trials = grid.trials()
    assert len(structures(trials, grid.parameters)[0]) == 1
    together = program_of(grid)
    together.advance(STEPS)
    for row in range(len(trials)):
        alone = Program(trials.record(row), grid.folder, torch.device("cpu"), False).tile(
            trials.take(np.array([row, row])), shared=False
        )
        alone.advance(STEPS)
        for weights, own in zip(together.weights.values(), alone.weights.values(), strict=True):
            assert torch.equal(weights[row], own[0])


@pytest.mark.parametrize(
    ("name", "values"),
    [("gradient_clip", [None, 0.1, 0.5]), ("warmup_steps", [0, 3, 10])],
)
def test_what_is_switched_off_has_a_program_without(name: str, values: list[Any]) -> None:
    grid = grid_of(FIXED, {name: {"values": values}})
    trials = grid.trials()
    first, group = structures(trials, grid.parameters)
    assert len(first) == 2
    assert group.tolist() == [0, *[1] * (len(values) - 1)]
    packs = pack_trials(trials, grid.parameters, grid.folder, workers=1)
    assert sorted(len(pack.trials) for pack in packs) == sorted([1, len(values) - 1])


def test_a_constant_rate_adds_nothing_to_a_program() -> None:
    names = set(program_of(grid_of(FIXED, {})).rates)
    assert names == {"learning_rate", "weight_decay", "label_noise", "steps"}


@pytest.mark.parametrize("case", ["cosine", "step", "warm-up of a cosine", "layers", "all", "sgd"])
def test_the_mean_rate_is_that_of_the_steps(case: str) -> None:
    """Of all steps, of those that were done, and, for a warning beforehand, of some of them."""
    tile = program_of(grid_of(FIXED | CASES[case], {}))
    descent, values = tile.network.descent, tile.trials.record(0)
    rates = {name: rate[0] for name, rate in tile.rates.items()}
    each = torch.ones(STEPS, dtype=torch.float64)
    if descent.scheduled:
        each = torch.stack([descent.factor(rates, torch.tensor(step + 1)) for step in range(STEPS)])
    slowest = min(rate for rate in values["layer_rates"] or [1.0] if rate > 0)  # type: ignore[union-attr]
    for done in (1, 30, STEPS):
        expected = 0.02 * slowest * float(each[:done].mean())
        means = mean_rates(descent, tile.rates, np.array([done, done]))
        assert means == pytest.approx([expected] * 2, rel=1e-12)
    sampled = mean_rates(descent, tile.rates, np.array([STEPS]), most=25)
    assert sampled == pytest.approx([expected], rel=0.1)


def test_layer_rates_must_fit_the_network() -> None:
    grid = grid_of(FIXED, {"layer_rates": {"values": [[1, 0.1, 2]]}})
    with pytest.raises(PhasediagError, match=r"3 rates.* has 2 layers here; .*: layers.0; layers.1"):
        network_of(grid.trials().record(0), grid.folder)


def test_rates_of_layers_keep_their_digits() -> None:
    """A fast layer beside a tiny learning rate: its steps are not differences of nearly equal weights."""
    tiny = {"learning_rate": 1e-9, "layer_rates": [1e7, 1.0], "dtype": "float32", "weight_decay": 0.0}
    fast = program_of(grid_of(FIXED | tiny, {}))
    plain = program_of(grid_of(FIXED | {"dtype": "float32", "learning_rate": 1e-2, "weight_decay": 0.0}, {}))
    start = fast.weights["layers.0.weight"].clone()
    fast.advance(1), plain.advance(1)
    change, expected = (t.weights["layers.0.weight"] - start for t in (fast, plain))
    torch.testing.assert_close(change, expected, rtol=1e-3, atol=1e-7)
