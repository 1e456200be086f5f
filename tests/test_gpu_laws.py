"""What needs a CUDA device: the same results as on the CPU, whatever is compiled, recorded or cut smaller."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import gpu
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import phasediag
from phasediag.packing.machine import device_of, room
from phasediag.packing.pack import cost_of
from phasediag.training import graphs
from phasediag.training.compilation import Compiled
from phasediag.training.network import network_of
from phasediag.training.tiles import Program, Tile
from phasediag.trial import Trials
from small_sweeps import MAY_DIFFER, SIXTEENS, grid_text, launched
from trained_tiles import CPU, grid_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
SMALL: dict[str, Any] = {
    "task": "teacher_student", "width": 12, "steps": 100, "batch_size": 8, "samples": 64, "dtype": "float64",
    "learning_rate": 0.05,
}  # fmt: skip
AXES: dict[str, Any] = {"weight_decay": [0.0, 0.01, 0.1], "label_noise": [0.0, 0.5]}
KINDS: list[dict[str, Any]] = [
    {}, {"optimizer": "adam"}, {"optimizer": "adamw", "samples": 0}, {"control": "dcs"}, {"control": "gate"},
    {"activation": "gelu", "noise": "fresh"},
]  # fmt: skip
AXES_OF_ROWS = {"weight_decay": "[0.01, 0.1, 1]", "learning_rate": "[0.01, 0.02, 1000]"}
"""SGD diverges at the last rate, within a few steps: there is no chaos that would blow rounding up."""
MEASURED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "mlp": (
        SIXTEENS,
        ["permutation", "sign_flip", "classes", "rank", "effective_rank", "sharpness", "escape", "loss"],
    ),
    "homogeneous": (
        SIXTEENS | {"activation": "relu"}, ["rescaling", "directions", "norm_order", "permutation", "rank"],
    ),
    "attention": (
        {
            "model": "transformer", "task": "in_context", "samples": 32, "batch_size": 16,
            "learning_rate": 1e-4,
        },
        ["double_rotation", "rotation", "rescaling", "rank"],
    ),
}  # fmt: skip


@pytest.fixture
def cuda() -> torch.device:
    return device_of(1.0)


def trained(trials: Trials, device: torch.device, compiled: bool, steps: int = 100) -> Tile:
    program = Program(trials.record(0), Path(), device, compiled)
    tile = program.tile(trials)
    tile.advance(steps)
    assert not program.notice
    return tile


def assert_equal_tiles(one: Tile, other: Tile, rtol: float = 1e-8, atol: float = 1e-10) -> None:
    for name, tensor in one.state.tensors().items():
        torch.testing.assert_close(other.state.tensors()[name].cpu(), tensor.cpu(), rtol=rtol, atol=atol)


@pytest.mark.parametrize(("kind", "compiled"), list(product(KINDS, [False, True])))
def test_a_gpu_trains_what_the_cpu_trains(kind: dict[str, Any], compiled: bool, cuda: torch.device) -> None:
    """In double precision, to rounding: data, noise and starts are drawn on the CPU for both."""
    trials = grid_of(SMALL | kind, AXES, replicates=2).trials()
    assert_equal_tiles(trained(trials, CPU, False), trained(trials, cuda, compiled))


def test_replayed_graphs_leave_what_calls_leave(cuda: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = graphs.recorded
    calls: list[object] = []
    monkeypatch.setattr(graphs, "recorded", lambda call: calls.append(call) or recorded(call))
    trials = grid_of(SMALL | {"optimizer": "adam", "dtype": "float32"}, AXES, replicates=2).trials()
    replayed = trained(trials, cuda, True)
    assert calls
    monkeypatch.setattr(graphs.Replayed, "__call__", lambda self, *arguments: self.run(*arguments))
    assert_equal_tiles(replayed, trained(trials, cuda, True), rtol=0.0, atol=0.0)


def test_a_tile_that_ends_gives_its_memory_back(cuda: torch.device) -> None:
    trials = grid_of(SMALL | {"width": 64, "depth": 4, "dtype": "float32"}, AXES, replicates=50).trials()
    program = Program(trials.record(0), Path(), cuda, True)
    held = []
    for _ in range(4):
        tile = program.tile(trials)
        tile.advance(60)
        del tile
        torch.cuda.empty_cache()
        held.append(torch.cuda.memory_reserved())
    assert held[3] <= held[1]


@pytest.mark.parametrize("trials", [8, 600])
def test_memory_is_projected_above_what_is_measured(trials: int, tmp_path: Path, cuda: torch.device) -> None:
    fixed = {"width": 128, "depth": 4, "optimizer": "adam", "steps": 40, "dtype": "float32"}
    axes = {"weight_decay": f"{{linspace: [0.01, 0.1], num: {trials}}}"}
    launched(tmp_path, grid_text(axes, fixed, resources="{gpus: 1}"), compile="on")
    rows = phasediag.load_trials(tmp_path / "g")
    assert (rows["measured_bytes"] <= rows["projected_bytes"]).all()
    assert (rows["measured_bytes"] > rows["projected_bytes"] / 20).all()
    assert set(rows["device"]) == {torch.cuda.get_device_name()}


def test_memory_that_runs_out_halves_the_tile(
    tmp_path: Path, cuda: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device itself refuses: the process is left less than the tile takes."""
    fixed = {"width": 256, "depth": 5, "optimizer": "adam", "steps": 3}
    text = grid_text({"weight_decay": "{linspace: [0.01, 0.1], num: 1000}"}, fixed, resources="{gpus: 1}")
    torch.cuda.empty_cache()
    small = (torch.cuda.memory_reserved() + 2**31) / torch.cuda.mem_get_info()[1]
    monkeypatch.setattr("phasediag.running.pack_run.room", lambda device: float("inf"))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part: None)
    torch.cuda.memory.set_per_process_memory_fraction(small)
    notices: list[str] = []
    try:
        outcome = launched(tmp_path, text, observer=lambda watch: notices.append(watch.notice))
    finally:
        torch.cuda.memory.set_per_process_memory_fraction(1.0)
    assert outcome.exit_code == 0
    assert "out of memory" in notices[-1]
    assert set(phasediag.load_trials(tmp_path / "g")["status"]) == {"ok"}


def on_both(tmp_path: Path, text: str) -> list[Path]:
    """The sweep of the CPU and that of the GPU."""
    sweeps = []
    for place, gpus in (("cpu", 0), ("gpu", 1)):
        assert launched(tmp_path / place, f"{text}resources: {{gpus: {gpus}}}\n").exit_code == 0
        sweeps.append(tmp_path / place / "g")
    return sweeps


def assert_equal_frames(cpu: pd.DataFrame, gpu: pd.DataFrame, keys: list[str], rtol: float) -> None:
    """But for what tells how they were made."""
    one, other = (frame.sort_values(keys).reset_index(drop=True) for frame in (cpu, gpu))
    columns = [name for name in one if name not in MAY_DIFFER]
    pd.testing.assert_frame_equal(one[columns], other[columns], rtol=rtol, atol=1e-9)


def test_rows_are_those_of_the_cpu(tmp_path: Path, cuda: torch.device) -> None:
    """Whole launches: degrees counted, losses, diverged trials among them."""
    fixed = {"steps": 120, "dtype": "float64"}
    measure = "{observables: [permutation, rank], every: 25, distances: all}"
    cpu, gpu = on_both(tmp_path, grid_text(AXES_OF_ROWS, fixed, replicates=2, measure=measure))
    rows = phasediag.load_trials(cpu)
    assert set(rows["status"]) == {"ok", "diverged"}
    assert_equal_frames(rows, phasediag.load_trials(gpu), ["trial_id"], 1e-6)
    keys = ["trial_id", "step", "layer", "observable"]
    cpu_measured, gpu_measured = (phasediag.load_measurements(each) for each in (cpu, gpu))
    assert_equal_frames(cpu_measured, gpu_measured, keys, 1e-6)


@pytest.mark.parametrize("kind", MEASURED)
def test_every_observable_measures_what_it_does_on_the_cpu(
    kind: str, tmp_path: Path, cuda: torch.device
) -> None:
    own, observables = MEASURED[kind]
    fixed = {"steps": 40, "dtype": "float64", "optimizer": "adam", **own}
    text = f"name: g\nfixed: {fixed}\naxes: {{weight_decay: [0.01, 0.1]}}\nreplicates: 2\n"
    layer = "head.1.1" if kind == "attention" else "hidden.1"
    measure = f"measure: {{layer: {layer}, observables: {observables}, every: 20, distances: all}}\n"
    cpu, gpu = on_both(tmp_path, text + measure)
    frames = [phasediag.load_measurements(each) for each in (cpu, gpu)]
    assert set(observables) <= set(frames[0]["observable"])
    assert_equal_frames(frames[0], frames[1], ["trial_id", "step", "layer", "observable"], 1e-5)
    assert_equal_frames(phasediag.load_trials(cpu), phasediag.load_trials(gpu), ["trial_id"], 1e-5)


def test_what_a_model_makes_on_the_host_is_computed_on_the_device(cuda: torch.device) -> None:
    table = torch.tensor([3.0, 4.0])

    def step(x: Tensor) -> Tensor:
        share = torch.arange(2).sum() / torch.tensor(4.0)
        return x * torch.tensor([1.0, 2.0]).to(x.device) + share.to(x.device) * table.to(x.device)

    x = torch.rand(3, 2, device=cuda)
    torch.testing.assert_close(Compiled(step)(x), step(x))


def test_two_workers_have_half_of_the_memory_each(cuda: torch.device) -> None:
    undivided = room(cuda)
    try:
        assert room(device_of(0.5)) <= 0.5 * torch.cuda.mem_get_info()[1] < undivided
        values = grid_of(SMALL).trials().record(0)
        assert cost_of(network_of(values, Path()), values).bytes < room(cuda)
    finally:
        device_of(1.0)


def test_tf32_only_when_asked() -> None:
    """Ones and a little: TF32 drops the little."""
    a = torch.full((64, 64), 1 + 2.0**-12)
    exact = a.double() @ a.double()
    for asked in (False, True):
        device = device_of(1.0, tf32=asked)
        error = float(((a.to(device) @ a.to(device)).double().cpu() - exact).abs().max() / exact.max())
        if torch.cuda.get_device_capability() >= (8, 0):
            assert (error > 1e-5) is asked
        else:
            assert error < 1e-5
    device_of(1.0)


def test_the_benchmark_runs() -> None:
    command = ["--width", "16", "--tile", "256", "--seconds", "0.1", "--copied", str(2**26)]
    result = CliRunner().invoke(gpu.main, command, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    for words in (gpu.PLAIN, "the same, as a CUDA graph", "phasediag without CUDA graphs", "of the roof"):
        assert words in result.output
