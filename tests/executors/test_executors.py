"""One suite for every executor: they leave identical rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

import phasediag
from phasediag.errors import ClusterError, PhasediagError
from phasediag.executors import inline
from phasediag.executors.watch import Watch
from phasediag.storage.folder import Folder
from small_sweeps import SOME_STEPS, assert_same_rows, grid_text, launched, run, trials, write

AXES = {"weight_decay": "[0.01, 0.1]", "learning_rate": "[0.01, 1000]"}
NET = """
import torch
from phasediag.symmetry.neurons import NeuronGroup


class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, hidden: int = 16, skip: bool = False) -> None:
        super().__init__()
        self.first = torch.nn.Linear(inputs, hidden, bias=False)
        self.second = torch.nn.Linear(hidden, outputs, bias=False)
        self.skip = skip
        incoming, outgoing = ("first.weight",), ("second.weight",)
        group = NeuronGroup(name="hidden.1", incoming=incoming, outgoing=outgoing, parity="odd")
        self.neuron_groups = (group,)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)) * SCALE) + (x if self.skip else 0)
"""
TASK = """
import torch
from phasediag.training.data import Task as Base
from phasediag.trial import label_noise_parameters


class Task(Base):
    declares = label_noise_parameters()

    @staticmethod
    def sizes(values):
        return 16, 16

    def train_set(self):
        x = torch.from_numpy(self.streams.generator("data").standard_normal((64, 16)))
        return x, torch.sin(x)

    def test_set(self):
        x = torch.from_numpy(self.streams.generator("test").standard_normal((32, 16)))
        return x, torch.sin(x)
"""


RAISING_LATER = """
    def unit_noise(self, generator, count):
        if 0 < generator.bit_generator.state["state"]["counter"][1] < 2**40:
            raise RuntimeError("sprung")
        return super().unit_noise(generator, count)
"""
"""Of the task, whose later blocks of fresh noise cannot be drawn: no dry step shows it."""


RULES = """
from phasediag.columns import Column
from phasediag.observables.observable import NumberObservable


class Descent:
    def update(self, weights, gradient, moments, rates, step):
        decay, rate = rates["weight_decay"], rates["learning_rate"]
        return {n: w - rate * (gradient[n] + decay * w) for n, w in weights.items()}, moments


class Falling:
    def factor(self, step, steps):
        return 1 - 0.5 * step / steps


class Largest(NumberObservable):
    columns = (Column(name="largest", meaning="The largest weight."),)

    def measure(self, network):
        return network.raw.incoming.abs().max().reshape(1)
"""


def users_grid(
    folder: Path, scale: str = "1.0", steps: int = 60, more: dict[str, Any] | None = None, **top: Any
) -> str:
    """A grid of the user's own task and model, one of them above the grid's folder."""
    write(folder, "SCALE = " + scale + NET, "my_net.py")
    write(folder.parent, TASK, "my_task.py")
    fixed = {"task": "../my_task.py:Task", "model": "my_net.py:Net", "steps": steps, **(more or {})}
    text = grid_text({"weight_decay": "[0.01, 0.1]", "skip": "[false, true]"}, fixed, replicates=2, **top)
    kept = ("inputs", "outputs", "samples", "test_samples", "teacher_width", "width")
    return "\n".join(line for line in text.split("\n") if line.strip().split(":")[0] not in kept)


COUNTING = """
import sys

import psutil

from phasediag.sweeps import sweep

WORKERS = ("ray::IDLE", "ray::PlaceTrainable")
seen = []


def name(process):
    try:
        return process.cmdline()[0]
    except (psutil.Error, IndexError):
        return ""


def look(watch):
    if watch.trials_done:
        names = [name(process) for process in psutil.Process().children(recursive=True)]
        seen.append(sum(each.startswith(WORKERS) for each in names))


outcome = sweep.launch(sys.argv[1], sys.argv[2], observer=look)
assert outcome.exit_code == 0
print(max(seen))
"""


@pytest.fixture(scope="module", params=["inline", "ray"])
def executor(request: pytest.FixtureRequest) -> Any:
    if request.param == "inline":
        yield "inline"
        return
    from phasediag.executors.ray_tune.connection import connected

    with connected(None, None):
        yield "ray"


def test_sigterm_keeps_the_handler_it_had(executor: Any) -> None:
    """Ray's own would end the process before the packs are set aside."""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_to_the_group_of_the_launch_reaches_none_of_its_ray(executor: Any) -> None:
    """Else it would end Ray before the packs are set aside."""
    processes = psutil.Process().children(recursive=True)
    assert (executor == "ray") == any("raylet" in process.name() for process in processes)
    assert all(os.getpgid(process.pid) != os.getpgrp() for process in processes)


def test_rows_are_those_of_one_pack_inline(executor: Any, tmp_path: Path) -> None:
    text = grid_text(AXES, {"steps": 100}, replicates=2, measure="{every: 40, distances: all}")
    launched(tmp_path / "here", text)
    outcome = launched(tmp_path / "there", f"{text}resources: {{trials_per_pack: 3}}\n", executor=executor)
    assert (outcome.exit_code, outcome.trained, outcome.status.diverged) == (0, 8, 4)
    assert_same_rows(tmp_path / "here" / "g", tmp_path / "there" / "g")


def test_users_files_reach_the_workers_by_content(executor: Any, tmp_path: Path) -> None:
    """Of every kind: a task, a model, an optimizer, a schedule, an observable."""
    here, there = tmp_path / "a" / "here", tmp_path / "b" / "there"
    own = {"optimizer": "my_rules.py:Descent", "schedule": "my_rules.py:Falling"}
    for folder, how in ((here, "inline"), (there, executor)):
        write(folder, RULES, "my_rules.py")
        measured = '{observables: [permutation, "my_rules.py:Largest"]}'
        outcome = launched(folder, users_grid(folder, more=own, measure=measured), executor=how)
        assert (outcome.exit_code, outcome.status.ok) == (0, 8)
    assert_same_rows(here / "g", there / "g")
    loaded = phasediag.load_trials(str(there / "g"))
    sources = ("task_source", "model_source", "optimizer_source", "schedule_source")
    assert all(loaded[source].iloc[0] for source in sources)
    assert loaded["largest"].nunique() == 8
    assert loaded["degree_of_symmetry"].between(0, 15).all()
    assert loaded["train_loss"].nunique() == 8


def test_a_failing_trial_is_reported(executor: Any, tmp_path: Path) -> None:
    text = users_grid(tmp_path / "grid", steps=300)
    write(tmp_path, TASK + RAISING_LATER, "my_task.py")
    outcome = launched(
        tmp_path / "grid", text.replace("  steps", "  noise: fresh\n  steps"), executor=executor
    )
    assert (outcome.exit_code, outcome.status.failed) == (1, 8)
    assert "sprung" in outcome.first_error


def test_a_drain_leaves_a_checkpoint_that_is_continued(
    executor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack is longer than the time to its first report, which is a slice."""
    monkeypatch.setattr(inline, "SLICE_SECONDS", SOME_STEPS)
    steps = 1_000 if executor == "inline" else 6_000
    text = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": steps}, resources="{trials_per_pack: 2}")
    stopped = launched(
        tmp_path, text, executor=executor, observer=lambda w: w.drain("told to") if w.trials_done else None
    )
    assert (stopped.exit_code, stopped.status.done) == (130, 0)
    assert len(list((tmp_path / "g" / "checkpoints").iterdir())) == 1
    seen: list[float] = []
    launched(
        tmp_path, text, executor=executor,
        observer=lambda w: seen.append(w.resumed),
    )  # fmt: skip
    assert 0 < seen[-1] < 2
    launched(tmp_path / "whole", text)
    assert_same_rows(tmp_path / "g", tmp_path / "whole" / "g")


def test_the_content_of_a_users_file_is_part_of_the_identity(tmp_path: Path) -> None:
    launched(tmp_path / "grid", users_grid(tmp_path / "grid"))
    first = trials(tmp_path / "grid" / "g")
    grid = write(tmp_path / "grid", users_grid(tmp_path / "grid", "2.0"))
    again = run("launch", grid, "--storage", grid.parent, "--executor", "inline", "--compile", "off")
    assert (again.returncode, again.stdout) == (0, f"{grid.parent / 'g'}\n"), again.stderr
    second = trials(tmp_path / "grid" / "g")
    assert len(second) == 16
    assert second.loc[first.index, "train_loss"].equals(first["train_loss"])
    assert second["train_loss"].nunique() == 16
    counts = phasediag.status(str(tmp_path / "grid" / "g"))
    assert (counts.total, counts.done, counts.earlier) == (8, 8, 8)


def test_a_file_that_changes_within_a_process_is_noticed(tmp_path: Path) -> None:
    launched(tmp_path / "grid", users_grid(tmp_path / "grid"))
    assert launched(tmp_path / "grid", users_grid(tmp_path / "grid", "2.0")).trained == 8


def test_a_users_file_is_never_written(tmp_path: Path) -> None:
    """Old grids are read with their own copies of the files, and those lie elsewhere."""
    folder = tmp_path / "grid"
    launched(folder, users_grid(folder))
    write(tmp_path, TASK + "\n# changed\n", "my_task.py")
    assert phasediag.status(str(folder / "g")).done == 8
    assert (tmp_path / "my_task.py").read_text().endswith("# changed\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grid", "my_task.py"]


def test_an_absolute_path_is_refused(tmp_path: Path) -> None:
    text = users_grid(tmp_path / "grid").replace("my_net.py", str(tmp_path / "grid" / "my_net.py"))
    with pytest.raises(PhasediagError, match="relative to the grid"):
        launched(tmp_path / "grid", text)


def test_a_storage_that_a_node_does_not_see_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes of which one reads nothing: one machine cannot have two filesystems."""
    from phasediag.executors.ray_tune import connection

    class Reader:
        def options(self, scheduling_strategy: Any) -> Reader:
            self.node = scheduling_strategy.node_id
            return self

        def remote(self, uri: str, name: str) -> str:
            return Folder.at(uri).read(name).decode() if self.node == "aa" * 28 else ""

    monkeypatch.setattr(connection, "_read_token", Reader())
    monkeypatch.setattr(connection.ray, "get", lambda reads, timeout: reads)
    nodes = [
        {"NodeID": c * 28, "NodeManagerAddress": address} for c, address in (("aa", "one"), ("bb", "two"))
    ]
    folder = Folder.at(tmp_path / "g")
    with pytest.raises(ClusterError, match="not shared with the node two"):
        connection.check_shared(folder, nodes)
    connection.check_shared(folder, nodes[:1])
    assert folder.files() == []


def test_a_ray_that_does_not_come_up_in_time_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray raises a plain Exception on a busy machine."""
    from phasediag.executors.ray_tune import connection

    def init(**options: Any) -> None:
        raise Exception("The current node timed out during startup.\nThe GCS has become overloaded.")

    monkeypatch.setattr(connection.ray, "init", init)
    monkeypatch.setattr(connection.ray, "is_initialized", lambda: False)
    with pytest.raises(ClusterError) as caught, connection.connected(None, None):
        pass
    assert str(caught.value) == (
        "Ray did not start on this machine: The current node timed out during startup. The GCS has become "
        "overloaded.; it gives up where the machine is too busy or short of memory: launch again when there "
        "is less to do, or with --executor inline, which trains in one process without Ray"
    )


def test_sigterm_while_ray_starts_ends_as_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    from phasediag.executors.ray_tune import connection

    def init(**options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(connection.ray, "init", init)
    monkeypatch.setattr(connection.ray, "is_initialized", lambda: False)
    with pytest.raises(SystemExit) as ended, connection.connected(None, None):
        pass
    assert ended.value.code == 130
    assert signal.getsignal(signal.SIGTERM) is before


def test_nodes_that_do_not_answer_are_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.exceptions import GetTimeoutError

    from phasediag.executors.ray_tune import connection

    class Reader:
        def options(self, scheduling_strategy: Any) -> Reader:
            return self

        def remote(self, uri: str, name: str) -> None:
            pass

    def get(reads: list[None], timeout: float) -> list[str]:
        raise GetTimeoutError("Get timed out")

    monkeypatch.setattr(connection, "_read_token", Reader())
    monkeypatch.setattr(connection.ray, "get", get)
    folder = Folder.at(tmp_path / "g")
    with pytest.raises(ClusterError, match=r"not all of the 1 nodes .* within 120 s"):
        connection.check_shared(folder, [{"NodeID": "aa" * 28, "NodeManagerAddress": "one"}])
    assert folder.files() == []


@pytest.mark.parametrize(
    ("devices", "gpus", "workers"), [(1, 1, 1), (1, 0.5, 2), (2, 0.4, 4), (2, 0.6, 2), (4, 2, 2), (0, 0.5, 0)]
)
def test_a_worker_has_its_share_of_one_gpu(devices: int, gpus: float, workers: int) -> None:
    assert inline.workers_on(devices, gpus) == workers


@pytest.mark.parametrize(("devices", "workers"), [(0, 2), (1, 2), (3, 6)])
def test_a_machine_has_workers_on_all_its_gpus(
    devices: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline.torch.cuda, "device_count", lambda: devices)
    monkeypatch.setattr(inline, "allowed_cores", lambda: 64)
    assert inline.local_workers(1.0, 0.5) == workers
    assert inline.local_workers(64.0, 0.5) == 1  # each wants all the cores


@pytest.mark.skipif(inline.torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_told(tmp_path: Path) -> None:
    notices: list[str] = []

    def observe(watch: Watch) -> None:
        notices.append(watch.notice)

    text = grid_text(AXES, {"steps": 5}, resources="{gpus: 0.5, tf32: true}")
    assert launched(tmp_path, text, observer=observe).exit_code == 0
    assert "no CUDA device" in notices[-1]
    assert set(phasediag.load_trials(tmp_path / "g")["device"]) == {"cpu"}


@pytest.mark.slow
def test_the_workers_that_a_local_ray_starts_by_itself_are_those_that_train(tmp_path: Path) -> None:
    """Others would load torch besides, on the same cores."""
    axis = f"{{linspace: [0.01, 0.1], num: {8 * (os.cpu_count() or 1)}}}"
    grid = write(tmp_path, grid_text({"weight_decay": axis}, {"steps": 50}))
    command = [sys.executable, "-c", COUNTING, str(grid), str(tmp_path)]
    environment = os.environ | {"RAY_ADDRESS": "", "RAY_OVERRIDE_RESOURCES": '{"CPU": 2}'}
    counted = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert counted.stdout.split() == ["2"], counted.stderr
