"""Padding changes no result: widths and batch sizes that share a program, against each on its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import phasediag
from phasediag.grids.grid import Grid, parse_grid
from phasediag.packing.pack import Pack
from phasediag.running import pack_run
from phasediag.running.job import Job
from phasediag.running.pack_run import PackRun
from phasediag.storage.store import Store
from phasediag.training.data import Batches
from phasediag.training.padding import INSIDE, OWN, PaddedBatches, fits
from phasediag.training.parts import parts_of
from phasediag.training.tiles import Program, Tile
from phasediag.trial import Trials
from small_packs import pack_trials
from small_sweeps import assert_same_rows, grid_text, launched, measurements, trials, write
from trained_tiles import CPU, grid_of, task_of

STEPS = 100
SMALL: dict[str, Any] = {
    "task": "teacher_student", "inputs": 3, "outputs": 2, "samples": 20, "test_samples": 10, "steps": STEPS,
    "learning_rate": 0.02, "label_noise": 0.1, "init_scale": 0.7,
}  # fmt: skip
SIZES = {"width": [3, 8, 5], "batch_size": [4, 7, 6], "weight_decay": [0.0, 0.3]}

COSINE = """
import torch
from torch import nn

from phasediag.symmetry.neurons import NeuronGroup


class Net(nn.Module):
    padded = ("width", "batch_size")

    def __init__(self, inputs: int, outputs: int, width: int = 4):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)
        self.third = nn.Linear(width, outputs)

    def forward(self, x):
        return self.third(torch.sigmoid(self.second(torch.cos(self.first(x)))))

    @property
    def neuron_groups(self):
        return (
            NeuronGroup(name="hidden.1", incoming=("first.weight",), bias=("first.bias",),
                        outgoing=("second.weight",)),
        )
"""
"""A model of the user whose activations are not zero at zero."""


def small(fixed: dict[str, Any], path: Path = Path("grid.yaml")) -> Grid:
    """A grid of several widths, with batch sizes of their own."""
    return grid_of(fixed, SIZES, path, zip=[["width", "batch_size"]])


def together(trials: Trials, folder: Path, envelope: dict[str, int], compiled: bool = False) -> Tile:
    return Program(trials.record(0), folder, CPU, compiled, envelope).tile(trials)


def assert_padding_is_exact(
    grid: Grid, rtol: float, names: tuple[str, ...] = ("width", "batch_size")
) -> None:
    """100 steps of all trials in one tile, against those of every structure in a tile of its own."""
    folder, mixed = grid.path.parent, grid.trials()
    envelope = {name: int(mixed.values(name).max()) for name in names}
    tile = together(mixed, folder, envelope)
    tile.advance(STEPS)
    parts = parts_of(tile, len(mixed))
    assert sorted(row for rows, _ in parts for row in rows) == list(range(len(mixed)))
    for tensors in (tile.state.weights, *tile.state.moments.values()):
        for name, tensor in tensors.items():
            assert not tensor[~tile.rates[INSIDE + name]].any(), f"{name} left its corner"
    for rows, part in parts:
        for size in set(part.trials.values("batch_size")):
            chosen = np.flatnonzero(part.trials.values("batch_size") == size)
            alone = together(mixed.take(rows[chosen]), folder, {})
            alone.advance(STEPS)
            for name, own in alone.weights.items():
                padded = part.weights[name][chosen]
                assert padded.shape == own.shape
                scale = float(own.abs().max())
                torch.testing.assert_close(padded, own, rtol=rtol, atol=rtol * scale)
                assert own.isfinite().all()
            for padded, own in zip(part.losses()[:2], alone.losses()[:2], strict=True):
                torch.testing.assert_close(padded[chosen], own, rtol=10 * rtol, atol=0)


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "swish", "linear", "sin", "square", "cube"])
def test_padding_is_exact_for_every_activation(activation: str) -> None:
    fixed = {"activation": activation, "dtype": "float64", "init_scale": 0.2 if activation == "cube" else 0.7}
    assert_padding_is_exact(small(SMALL | fixed), 1e-12)


@pytest.mark.parametrize(
    "fixed",
    [
        {"optimizer": "adam", "depth": 3, "bias": True, "learning_rate": 0.005},
        {"optimizer": "adamw", "bias": True, "learning_rate": 0.005},
        {"momentum": 0.9, "depth": 3},
        {"depth": 3, "bias": True, "init": "balanced", "noise": "fresh"},
        {"samples": 0, "depth": 4},
        {"gradient_clip": 0.2, "depth": 3},
        {"layer_rates": [1, 0.3, 0], "depth": 3, "optimizer": "adam", "learning_rate": 0.005},
        {"gradient_clip": 0.2, "layer_rates": [0.1, 2], "momentum": 0.9, "schedule": "cosine"},
        {"task": "digits", "samples": 50},
    ],
    ids=str,
)
def test_padding_is_exact_for_other_structures(fixed: dict[str, Any]) -> None:
    base = SMALL | {"dtype": "float64"} | fixed
    if "task" in fixed:
        base = {n: v for n, v in base.items() if n not in ("inputs", "outputs", "test_samples")}
    assert_padding_is_exact(small(base), 1e-12)


def test_padding_is_exact_for_a_full_batch() -> None:
    fixed = SMALL | {"batch_size": 0, "dtype": "float64"}
    assert_padding_is_exact(grid_of(fixed, {"width": [3, 8, 5], "weight_decay": [0, 1]}), 1e-12, ("width",))


def test_padding_is_rounding_in_single_precision() -> None:
    assert_padding_is_exact(small(SMALL | {"depth": 3, "bias": True}), 1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_padding_is_exact_where_the_activation_is_not_zero_at_zero(optimizer: str, tmp_path: Path) -> None:
    write(tmp_path, COSINE, "net.py")
    fixed = {**SMALL, "model": "net.py:Net", "dtype": "float64", "optimizer": optimizer}
    grid = small(fixed, tmp_path / "grid.yaml")
    assert_padding_is_exact(grid, 1e-12)
    free = together(grid.trials(), tmp_path, {"width": 8, "batch_size": 7})
    for name in [name for name in free.rates if name.startswith(INSIDE)]:
        free.rates[name] = torch.ones_like(free.rates[name])
    free.advance(STEPS)
    narrow = grid.trials().values("width") == 3
    assert free.weights["third.weight"][narrow, :, 3:].any(), "it is the mask that keeps it there"


CURIOUS = """
from phasediag.tasks.teacher_student import TeacherStudent

class Task(TeacherStudent):
    def target(self, x):
        return super().target(x) * self.values["width"]
"""
"""A task of the user that looks at what it does not declare."""


def test_a_task_of_the_user_sees_the_record_of_each_trial(tmp_path: Path) -> None:
    write(tmp_path, CURIOUS, "task.py")
    fixed = {**SMALL, "task": "task.py:Task", "dtype": "float64", "learning_rate": 0.002}
    assert_padding_is_exact(small(fixed, tmp_path / "grid.yaml"), 1e-12)


def test_padding_is_exact_for_the_other_models() -> None:
    hermite = {
        "task": "hermite",
        "model": "hermite",
        "steps": STEPS,
        "learning_rate": 0.001,
        "dtype": "float64",
    }
    assert_padding_is_exact(small(hermite | {"init_scale": 0.1}), 1e-12)
    fixed = {
        "task": "in_context", "model": "transformer", "length": 4, "token_size": 3, "heads": 2,
        "head_width": 2, "steps": STEPS, "learning_rate": 0.002, "init_scale": 0.5, "dtype": "float64",
    }  # fmt: skip
    axes = {"stream_width": [3, 4], "feedforward": [5, 2], "batch_size": [7, 4]}
    assert_padding_is_exact(grid_of(fixed, axes, zip=[list(axes)]), 1e-12, tuple(axes))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_program_pads_alike() -> None:
    mixed = small(SMALL | {"depth": 3, "dtype": "float64"}).trials()
    tiles = [together(mixed, Path(), {"width": 8, "batch_size": 7}, compiled) for compiled in (False, True)]
    for tile in tiles:
        tile.advance(STEPS)
    for name, weights in tiles[0].weights.items():
        torch.testing.assert_close(weights, tiles[1].weights[name], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("fixed", [{}, {"samples": 0}, {"noise": "fresh"}], ids=str)
def test_a_padded_batch_begins_with_the_batch_of_the_trial_alone(fixed: dict[str, Any]) -> None:
    mixed = grid_of(SMALL | fixed, {"batch_size": [7, 90, 3000]}).trials()
    worlds = [task_of(mixed, row) for row in range(3)]
    fresh = fixed.get("noise") == "fresh"
    padded = PaddedBatches(worlds, 3000, fresh, torch.float64, CPU)
    assert not padded.constant
    assert padded.steps < 256
    for row, (world, size) in enumerate(zip(worlds, (7, 90, 3000), strict=True)):
        own = Batches([world], size, fresh, torch.float64, CPU)
        for step in (0, 1, padded.steps - 1, padded.steps, 255, 256, 700):
            both = padded.at(step), own.at(step)
            for part in ("x", "y", "noise"):
                one, other = (getattr(batch, part) for batch in both)
                assert one.shape[:2] == (3, 3000)
                assert torch.equal(one[row, :size], other[0])
                assert torch.equal(one[row], other[0][torch.arange(3000) % size])


def test_the_constants_of_padding_depend_on_the_envelope_alone() -> None:
    """So that all tiles of a pack, and what is compiled ahead of it, are one program."""
    mixed = small(SMALL).trials()
    envelope = {"width": 8, "batch_size": 7}
    size = mixed.values("width") * 10 + mixed.values("batch_size")
    seen = set()
    for row in (int(size.argmin()), int(size.argmax())):
        tile = together(mixed.take(np.array([row, row])), Path(), envelope)
        seen.add(tuple((name, tuple(rate.shape)) for name, rate in tile.rates.items()))
        assert tile.rates[OWN].sum(dim=1).tolist() == [mixed.values("batch_size")[row]] * 2
        assert {name: tuple(w.shape[1:]) for name, w in tile.weights.items()} == tile.network.shapes
    assert len(seen) == 1


def test_only_what_lies_in_the_corner_fits() -> None:
    large = {"a": (4, 3), "b": (4,)}
    assert fits(large, large)
    assert fits({"a": (2, 3), "b": (1,)}, large)
    for small in ({"a": (5, 3), "b": (4,)}, {"a": (4, 3)}, {"b": (4,), "a": (4, 3)}, {"a": (4,), "b": (4,)}):
        assert not fits(small, large)


AXES = {
    "width": "[6, 8, 7]", "batch_size": "[7, 8]", "learning_rate": "[0.01, 1000]", "weight_decay": "[0.1, 3]"
}  # fmt: skip
MEASURED = (
    "{observables: [permutation, rank, {observable: classes, layer: hidden.2}], every: 40, distances: all, "
    "losses: true, entropic: true}"
)
FIXED = {"steps": 90, "inputs": 8, "outputs": 2, "depth": 3, "label_noise": 0.2, "dtype": "float64"}


def text(**top: Any) -> str:
    return grid_text(AXES, FIXED, replicates=2, measure=MEASURED, **top)


def apart(structures: Any, seconds: Any) -> list[list[int]]:
    """No buckets."""
    return [[position] for position in range(len(structures))]


def assert_close(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Counts and texts the same, numbers to rounding."""
    assert list(one.columns) == list(other.columns)
    for column in one.columns:
        first, second = one[column], other[column]
        assert first.isna().equals(second.isna()), column
        if pd.api.types.is_float_dtype(first.dtype):
            pairs = (values.dropna().to_numpy(float) for values in (first, second))
            np.testing.assert_allclose(*pairs, rtol=1e-9, atol=1e-12, err_msg=column)
        else:
            assert first.equals(second), column


def test_a_launch_leaves_the_rows_that_it_leaves_without_padding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched(tmp_path / "padded", text())
    packs = phasediag.load_trials(str(tmp_path / "padded" / "g")).groupby("pack_id")
    assert all(packs["width"].nunique() == 3)
    assert all(packs["batch_size"].nunique() == 2)
    monkeypatch.setattr("phasediag.packing.stock.buckets", apart)
    launched(tmp_path / "apart", text())
    packs = phasediag.load_trials(str(tmp_path / "apart" / "g")).groupby("pack_id")
    assert all(packs["width"].nunique() == 1)
    one, other = (tmp_path / name / "g" for name in ("padded", "apart"))
    assert len(trials(one)) == 48
    assert set(trials(one)["status"]) == {"ok", "diverged"}
    assert_close(trials(one), trials(other))
    first, second = measurements(one), measurements(other)
    lengths = set()
    for name in first.column_names:
        if name == "distances":
            for a, b in zip(first[name].to_pylist(), second[name].to_pylist(), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
                lengths.add(len(a))
    assert lengths >= {5, 6, 7, 8}
    others = [name for name in first.column_names if name != "distances"]
    assert_close(*(table.select(others).to_pandas(types_mapper=pd.ArrowDtype) for table in (first, second)))


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    return parse_grid(text(), tmp_path / "grid.yaml")


def padded_pack(grid: Grid) -> Pack:
    (pack,) = pack_trials(grid.trials(), grid.parameters, Path(), workers=1, compile_mode="off")
    assert pack.structure.envelope == {"width": 8, "batch_size": 8}
    return replace(pack, tile_size=10, shared=False)


def job_of(grid: Grid, store: Store) -> Job:
    return Job(sweep=store.folder.uri, measure=grid.measure, parameters=grid.parameters)


def finished(grid: Grid, pack: Pack, store: Store) -> PackRun:
    run = PackRun(pack, job_of(grid, store), store, CPU)
    while not run.done:
        run.advance(60)
    return run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of a padded pack that was trained at a stretch."""
    folder, asked = tmp_path_factory.mktemp("undisturbed"), parse_grid(text(), Path("grid.yaml"))
    finished(asked, padded_pack(asked), Store.at(folder))
    return folder


@pytest.mark.parametrize("steps", [0, 40, 67])
def test_a_padded_pack_goes_on_from_its_checkpoint(
    steps: int, grid: Grid, undisturbed: Path, tmp_path: Path
) -> None:
    parts, padded = Store.at(tmp_path / "parts"), padded_pack(grid)
    run = PackRun(padded, job_of(grid, parts), parts, CPU)
    run.current = pack_run.TileRun(padded, run.job, CPU, run.queue.popleft())
    run.current.advance_to(steps)
    run.checkpoint()
    again = finished(grid, padded, parts)
    assert again.progress().resumed == pytest.approx(10 * steps / 90)
    assert_same_rows(undisturbed, tmp_path / "parts")


def test_a_checkpoint_is_not_continued_with_another_padding(grid: Grid, tmp_path: Path) -> None:
    store, padded = Store.at(tmp_path / "s"), padded_pack(grid)
    run = PackRun(padded, job_of(grid, store), store, CPU)
    run.current = pack_run.TileRun(padded, run.job, CPU, run.queue.popleft())
    run.current.advance_to(30)
    run.checkpoint()
    wider = replace(padded, structure=padded.structure.padded_to({"width": 9, "batch_size": 8}))
    assert wider.pack_id == padded.pack_id
    assert PackRun(wider, run.job, store, CPU).progress().resumed == 0
    assert PackRun(padded, run.job, store, CPU).progress().resumed > 0


def test_tiles_of_a_padded_pack_are_halved_where_memory_is_short(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy, short, padded = Store.at(tmp_path / "roomy"), Store.at(tmp_path / "short"), padded_pack(grid)
    padded = replace(padded, source=padded.trials.take(np.arange(8)))
    finished(grid, padded, roomy)
    train = pack_run.TileRun.advance

    def scarce(run: pack_run.TileRun, deadline: float) -> None:
        if run.work.size > 4:
            raise MemoryError
        train(run, deadline)

    monkeypatch.setattr(pack_run.TileRun, "advance", scarce)
    assert finished(grid, padded, short).progress().failed == 0
    assert_close(trials(tmp_path / "roomy"), trials(tmp_path / "short"))
