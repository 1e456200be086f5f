"""Places that come, go and fail: real launches on Ray nodes of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from phasediag.storage.store import Store
from small_sweeps import SLOW, assert_same_rows, command, fragments, grid_text, launched, trials, write

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]

TASK = """
import inspect
import os
import time

from phasediag.tasks.linear_map import LinearMap


class Task(LinearMap):
    def train_set(self):
        if not any("rehearsal" in frame.filename for frame in inspect.stack()):
            if os.environ.get("PD_LOG"):
                with open(os.environ["PD_LOG"], "a") as log:
                    log.write(f"{os.getppid()} {time.time()}\\n")
            time.sleep(float(os.environ.get("PD_SLEEP", "0")))
            if os.environ.get("PD_BROKEN"):
                raise RuntimeError("CUDA error: unspecified launch failure")
        return super().train_set()
"""
"""Takes time without taking a core, tells where, and raises on some nodes."""


def grid_of(folder: Path, packs: int, gpus: float = 0.0, steps: int = 20, **top: str) -> Path:
    """A grid of so many packs of two trials."""
    write(folder, TASK, "my_task.py")
    fixed = {"task": "my_task.py:Task", "singular_values": "[1, 0.5]", "steps": steps}
    axes = {"weight_decay": f"{{linspace: [0.01, 1], num: {2 * packs}}}"}
    text = grid_text(axes, fixed, resources=f"{{cpus: 1, gpus: {gpus}, trials_per_pack: 2}}", **top)
    return write(folder, text.replace("  teacher_width: 4\n", ""))


class Nodes:
    """A cluster of nodes on this machine, with a head that trains nothing."""

    def __init__(self, folder: str) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": folder}
        self.cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)

    def add(self, gpus: int = 0, **environment: str) -> Any:
        """A node with one core; its workers see these variables."""
        before = dict(os.environ)
        os.environ.update({"PD_SLEEP": "4", **environment})
        try:
            return self.cluster.add_node(num_cpus=1, num_gpus=gpus)
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """Ray puts sockets below its folder, and their paths may have 107 characters: pytest's are too long."""
    with tempfile.TemporaryDirectory(prefix="pd-", ignore_cleanup_errors=True) as folder:
        made = Nodes(folder)
        try:
            yield made
        finally:
            made.cluster.shutdown()


class Launch:
    """A launch on a cluster, in a process of its own."""

    def __init__(self, started: subprocess.Popen[bytes], grid: Path) -> None:
        self.started, self.sweep, self.stderr = started, grid.parent / "g", grid.parent / "stderr"

    @property
    def said(self) -> str:
        return self.stderr.read_text()

    def wait_for(self, condition: Callable[[], object], within: float = 120) -> None:
        deadline = time.monotonic() + within
        while not condition():
            assert self.started.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)

    def end(self, code: int = 0) -> None:
        assert self.started.wait(timeout=300) == code, self.said

    def statuses(self) -> dict[str, int]:
        return dict(Counter(trials(self.sweep)["status"]))


@contextmanager
def launching(nodes: Nodes, grid: Path, *options: str) -> Iterator[Launch]:
    address = ("--address", nodes.cluster.address)
    arguments = command("launch", grid, "--storage", grid.parent, "--compile", "off", *address, *options)
    with (grid.parent / "stderr").open("wb") as stderr:
        started = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        yield Launch(started, grid)
    finally:
        if started.poll() is None:
            started.kill()
            started.wait(timeout=10)


def begun(log: Path) -> dict[str, int]:
    """How often training began on each node, by the process of the node."""
    lines = log.read_text().splitlines() if log.exists() else []
    return dict(Counter(line.split()[0] for line in lines))


def test_a_node_that_joins_late_trains(nodes: Nodes, tmp_path: Path) -> None:
    """Packs are shorter than a worker's start, and end all the time while it starts."""
    log = tmp_path / "log"
    nodes.add(PD_LOG=str(log))
    with launching(nodes, grid_of(tmp_path / "cluster", 16)) as launch:
        launch.wait_for(lambda: fragments(launch.sweep))
        nodes.add(PD_LOG=str(log))
        launch.end()
    launched(tmp_path / "inline", grid_of(tmp_path / "inline", 16).read_text())
    assert_same_rows(tmp_path / "inline" / "g", launch.sweep)
    packs = begun(log)
    assert sum(packs.values()) == 16
    assert len(packs) == 2
    assert min(packs.values()) >= 3


def test_a_node_that_raises_on_everything_costs_no_trial(nodes: Nodes, tmp_path: Path) -> None:
    """Whatever it is given it gives back, until it is given nothing more."""
    nodes.add()
    nodes.add(PD_BROKEN="1", PD_SLEEP="1")
    with launching(nodes, grid_of(tmp_path, 8)) as launch:
        launch.end()
    assert launch.statuses() == {"ok": 16}
    assert "trains nothing more: RuntimeError: CUDA error" in launch.said


def test_trials_that_raise_everywhere_have_failed(nodes: Nodes, tmp_path: Path) -> None:
    for _ in range(2):
        nodes.add(PD_BROKEN="1", PD_SLEEP="0.5")
    with launching(nodes, grid_of(tmp_path, 8)) as launch:
        launch.end(1)
    assert launch.statuses() == {"failed": 16}


def test_a_node_that_is_lost_costs_what_it_had_not_kept(nodes: Nodes, tmp_path: Path) -> None:
    """Its pack goes on elsewhere; the user is told in a line."""
    log = tmp_path / "log"
    first, _ = (nodes.add(PD_LOG=str(log)) for _ in range(2))
    with launching(nodes, grid_of(tmp_path, 10)) as launch:
        launch.wait_for(lambda: fragments(launch.sweep) and len(begun(log)) == 2)
        nodes.cluster.remove_node(first, allow_graceful=False)
        launch.end()
    assert launch.statuses() == {"ok": 20}
    assert launch.said.count(" was lost; its pack of 2 trials goes on from its checkpoint") == 1
    assert sum(begun(log).values()) == 11


def test_a_node_is_killed_and_another_one_joins(nodes: Nodes, tmp_path: Path) -> None:
    """Old and new places train to the end, the rows are the same, only what was unfinished is repeated."""
    log, packs = tmp_path / "log", 40
    asked = {"PD_LOG": str(log), "PD_SLEEP": "6"}
    first, _ = (nodes.add(**asked) for _ in range(2))
    with launching(nodes, grid_of(tmp_path / "cluster", packs), "--profile") as launch:
        launch.wait_for(lambda: len(fragments(launch.sweep)) >= 2)
        nodes.add(**asked)
        launch.wait_for(lambda: len(begun(log)) == 3)
        nodes.cluster.remove_node(first, allow_graceful=False)
        launch.end()
    launched(tmp_path / "inline", grid_of(tmp_path / "inline", packs).read_text())
    assert_same_rows(tmp_path / "inline" / "g", launch.sweep)
    assert sum(begun(log).values()) == packs + 1
    last = [line.split()[0] for line in log.read_text().splitlines()[-4:]]
    assert len(set(last)) == 2
    print(re.findall(r"idle .*%\)", launch.said))  # wanted below 10 %; a time, so that it decides nothing


def test_a_launch_waits_for_the_gpus_of_workers_that_come_late(nodes: Nodes, tmp_path: Path) -> None:
    log = tmp_path / "log"
    waiting = "no node has cpus: 1, gpus: 0.5 yet; 1 node, 0 CPUs, 0 GPUs; waiting for the autoscaler"
    with launching(nodes, grid_of(tmp_path, 8, gpus=0.5)) as launch:
        launch.wait_for(lambda: waiting in launch.said)
        for _ in range(2):
            nodes.add(gpus=1, PD_LOG=str(log))
        launch.end()
    assert launch.statuses() == {"ok": 16}
    assert len(begun(log)) == 2


def test_a_cluster_that_is_gone_is_told_in_a_line(nodes: Nodes, tmp_path: Path) -> None:
    nodes.add()
    with launching(nodes, grid_of(tmp_path, 30)) as launch:
        launch.wait_for(lambda: fragments(launch.sweep))
        nodes.cluster.head_node.kill_gcs_server()
        launch.end(3)
    assert "is gone; all that was recorded is kept: launch the same grid again" in launch.said
    assert launch.said.count("Traceback") == 0


OFTEN = """
import sys
from importlib.machinery import PathFinder


class Often(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "phasediag.running.pack_run":
            return None
        spec = super().find_spec(name, path, target)
        load = spec.loader.exec_module

        def load_and_set(module):
            load(module)
            module.CHECKPOINT_SECONDS, module.CHECKPOINT_SHARE = 0.5, 1.0

        spec.loader.exec_module = load_and_set
        return spec


sys.meta_path.insert(0, Often)
"""
"""What Python runs as it starts on a node: there is a checkpoint at every slice of time."""


def test_a_trial_whose_worker_is_killed_again_and_again_is_trained(nodes: Nodes, tmp_path: Path) -> None:
    """Each time it has got further before."""
    write(tmp_path / "starts", OFTEN, "sitecustomize.py")
    slow = write(tmp_path, "", "slow")
    folders = [str(tmp_path / "starts"), *filter(None, [os.environ.get("PYTHONPATH")])]
    nodes.add(PD_SLEEP="0", PD_PAUSE="0.5", PD_SLOW=str(slow), PYTHONPATH=os.pathsep.join(folders))
    write(tmp_path, SLOW, "slow.py")
    grid = grid_of(tmp_path, 1, steps=4000, measure="{every: 20, observables: [permutation, 'slow.py:Slow']}")
    grid.write_text(grid.read_text().replace("{linspace: [0.01, 1], num: 2}", "[0.01]"))
    seen, before = set[int](), Store.at(tmp_path / "g")

    def states() -> set[int]:
        return {path.stat().st_mtime_ns for path in (tmp_path / "g" / "checkpoints").glob("*/*")}

    with launching(nodes, grid) as launch:
        for _ in range(5):
            launch.wait_for(lambda: not states() <= seen)
            seen.update(states())
            for process in places():
                process.kill()
        slow.unlink()
        launch.end()
    assert launch.statuses() == {"ok": 1}
    assert before.checkpoints() == []
    assert launch.said.count("a worker on ") == 5


def places() -> list[psutil.Process]:
    """The processes that train on the nodes of this test's cluster."""
    made = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::PlaceTrainable"):
                made.append(process)
    return made
