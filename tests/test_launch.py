"""Law 2 by kills of real launches on a local Ray; drains, limits, progress, refusals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import pytest

import phasediag
from phasediag.executors.drain import ONE_SIGNAL
from phasediag.executors.signals import STOPPING
from small_sweeps import (
    assert_same_rows,
    command,
    ended,
    fragments,
    grid_text,
    launched,
    pack_workers,
    run,
    write,
)

AXES = {"weight_decay": "[0.01, 0.1, 1]", "init_scale": "[0.5, 2]"}
STEPS = {"steps": 6000}
LONG = grid_text(AXES, STEPS, replicates=2, resources="{trials_per_pack: 2}")
"""12 trials in 6 packs, each of more seconds than a slice between two results: two workers are busy for three
rounds, in step, and a drain finds packs in training."""
PACKS = 6
BRIEF = LONG.replace("steps: 6000", "steps: 1500")
"""As many packs, shorter than a slice: where nothing has to be found in the middle of one."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _inline(tmp_path_factory.mktemp("undisturbed"), LONG)


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _inline(tmp_path_factory.mktemp("brief"), BRIEF)


def _inline(folder: Path, text: str) -> Path:
    """The sweep of a grid that was launched inline, in one pack."""
    assert launched(folder, text.replace("resources: {trials_per_pack: 2}\n", "")).exit_code == 0
    return folder / "g"


@contextmanager
def launching(grid: Path, *wrapper: str) -> Iterator[subprocess.Popen[bytes]]:
    """`phasediag launch` on a local Ray, in a process group of its own; ended with the block.

    With a wrapper, the command that runs it.

    Its messages go to a file: Ray's processes would keep a pipe open after it was killed.
    """
    arguments = [*wrapper, *command("launch", grid, "--storage", grid.parent, "--compile", "off")]
    environment = {**os.environ, "RAY_ADDRESS": ""}
    with (
        (grid.parent / "stderr").open("wb") as stderr,
        subprocess.Popen(arguments, stderr=stderr, env=environment, start_new_session=True) as started,
    ):
        try:
            yield started
        finally:
            if started.poll() is None:
                descendants = psutil.Process(started.pid).children(recursive=True)
                started.kill()
                started.wait()
                for process in descendants:
                    with suppress(psutil.Error):
                        process.kill()


def said(grid: Path) -> str:
    """What the launch of a grid wrote to stderr."""
    return (grid.parent / "stderr").read_text()


def wait_for(condition: Callable[[], object], driver: subprocess.Popen[bytes], within: float = 240) -> None:
    """Wait until something is true of a launch that still runs."""
    deadline = time.monotonic() + within
    while not condition():
        assert driver.poll() is None, f"the launch ended early, with {driver.returncode}"
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def started_at(sweep: Path, packs: Iterable[str]) -> dict[str, str]:
    """When the training of the trials in these packs began."""
    rows = phasediag.load_trials(str(sweep)).query("pack_id in @packs", local_dict={"packs": list(packs)})
    return dict(zip(rows["trial_id"], rows["started_at"].astype(str), strict=True))


def relaunch(grid: Path, undisturbed: Path, kept: dict[str, int], *, executor: str = "ray") -> None:
    """Launch once more: what was committed stays as it is, the rows are those of an undisturbed run."""
    sweep = grid.parent / "g"
    trained = started_at(sweep, kept)
    again = run("launch", grid, "--storage", grid.parent, "--compile", "off", "--executor", executor)
    assert again.returncode == 0, again.stderr
    assert {pack: written for pack, written in fragments(sweep).items() if pack in kept} == kept
    assert started_at(sweep, kept) == trained
    assert not list((sweep / "checkpoints").glob("*"))
    assert_same_rows(sweep, undisturbed)


def _more_than(committed: Collection[str], sweep: Path) -> bool:
    return len(fragments(sweep)) > len(committed)


def drained(
    grid: Path, undisturbed: Path, stop: Callable[[subprocess.Popen[bytes]], None], *wrapper: str,
    executor: str = "ray",
) -> str:  # fmt: skip
    """Drain a launch after a commit, until one finds packs in training; gives back its stderr.

    Such packs are continued, not begun again. Between two packs a worker has nothing to keep.
    """
    sweep = grid.parent / "g"
    unfinished = set[str]()
    while not unfinished:
        committed = fragments(sweep)
        assert len(committed) < PACKS - 1
        with launching(grid, *wrapper) as driver:
            wait_for(partial(_more_than, committed, sweep), driver)
            descendants = psutil.Process(driver.pid).children(recursive=True)
            stop(driver)
            assert driver.wait(timeout=120) == 130, said(grid)
            ended(descendants)
        unfinished = {path.name for path in (sweep / "checkpoints").glob("*")}
    relaunched = time.time()
    relaunch(grid, undisturbed, fragments(sweep), executor=executor)
    rows = phasediag.load_trials(str(sweep)).groupby("pack_id")["started_at"].min()
    assert all(rows[pack].timestamp() < relaunched for pack in unfinished)
    return said(grid)


def test_a_launch_on_ray_equals_one_inline_and_says_only_what_concerns_the_user(
    brief: Path, tmp_path: Path
) -> None:
    grid = write(tmp_path, BRIEF)
    outcome = run(
        "launch", grid, "--storage", tmp_path, "--compile", "off", env={**os.environ, "RAY_ADDRESS": ""}
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout == f"{tmp_path / 'g'}\n"
    lines = outcome.stderr.splitlines()
    assert re.fullmatch(
        r"12 of 12 trials done \(0 diverged\), 0 failed, 0 missing; 12 trained in \d+ (s|min)", lines[-1]
    )
    for line in lines[:-1]:
        pace = r"starting workers and compiling|\d+\.\d+ trials/s"
        assert re.match(rf"\d+/12 trials, ({pace}), 0 failed", line), outcome.stderr
    assert_same_rows(tmp_path / "g", brief)


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPPING)
def test_law_2_a_signal_drains(number: signal.Signals, undisturbed: Path, tmp_path: Path) -> None:
    grid = write(tmp_path, LONG)
    stderr = drained(grid, undisturbed, lambda driver: driver.send_signal(number))
    assert f"drained: {number.name}" in stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_law_2_a_signal_to_the_whole_process_group_drains(
    number: signal.Signals, undisturbed: Path, tmp_path: Path
) -> None:
    """Ctrl-C in a terminal, or a supervisor that ends a group."""
    grid = write(tmp_path, LONG)
    drained(grid, undisturbed, lambda driver: os.killpg(driver.pid, number), executor="inline")


@pytest.mark.slow
def test_law_2_gnu_timeout_drains(undisturbed: Path, tmp_path: Path) -> None:
    """It signals its child and then its process group, when its time is over as when it is told to end."""
    timeout = ("timeout", "--signal=TERM", "600")
    grid = write(tmp_path, LONG)
    stderr = drained(grid, undisturbed, lambda driver: driver.terminate(), *timeout, executor="inline")
    assert "drained: SIGTERM" in stderr


HELD = """
import inspect
import os
import time

from phasediag.tasks.linear_map import LinearMap


class Task(LinearMap):
    def train_set(self):
        held = os.environ.get("PD_HELD", "")
        if os.path.exists(held) and not any("rehearsal" in frame.filename for frame in inspect.stack()):
            with open(held, "ab") as begun:
                begun.write(b"x")
                begun.flush()
                free = begun.tell() <= 2
            while not free and os.path.exists(held):
                time.sleep(0.05)
        return super().train_set()
"""
"""A task whose first two packs are trained, while the others wait for a file to be gone."""


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A grid of which two packs are trained as long as PD_HELD names a file, and its undisturbed sweep."""
    fixed = {"task": "my_task.py:Task", "singular_values": "[1, 0.5]", "steps": 20}
    axes = {"weight_decay": f"{{linspace: [0.01, 1], num: {2 * PACKS}}}"}
    text = grid_text(axes, fixed, resources="{trials_per_pack: 2}").replace("  teacher_width: 4\n", "")
    for folder in (tmp_path, tmp_path / "undisturbed"):
        write(folder, HELD, "my_task.py")
    undisturbed = _inline(tmp_path / "undisturbed", text)
    (tmp_path / "held").touch()
    monkeypatch.setenv("PD_HELD", str(tmp_path / "held"))
    return write(tmp_path, text), undisturbed


def test_law_2_a_killed_driver(held: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The next launch starts at once, beside what Ray has left running."""
    grid, undisturbed = held
    sweep = grid.parent / "g"
    with launching(grid) as driver:
        wait_for(lambda: fragments(sweep), driver)
        workers = pack_workers(driver.pid)
        assert workers
        driver.kill()
        driver.wait()
        kept = fragments(sweep)
    assert 0 < len(kept) <= 2
    monkeypatch.delenv("PD_HELD")
    relaunch(grid, undisturbed, kept)
    ended(workers)


@pytest.mark.slow
def test_law_2_a_killed_worker(undisturbed: Path, tmp_path: Path) -> None:
    grid = write(tmp_path, LONG)
    sweep = tmp_path / "g"
    with launching(grid) as driver:
        wait_for(lambda: fragments(sweep), driver)
        worker = pack_workers(driver.pid)[0]
        kept = fragments(sweep)
        worker.kill()
        assert driver.wait(timeout=120) == 0, said(grid)
    assert "0 failed, 0 missing" in said(grid)
    assert "Traceback" not in said(grid)
    relaunch(grid, undisturbed, kept, executor="inline")


@pytest.mark.slow
def test_a_second_signal_stops_at_once(held: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one drains, and that lasts: its workers do not come to an end."""
    grid, undisturbed = held
    with launching(grid) as driver:
        wait_for(lambda: fragments(grid.parent / "g"), driver)
        workers = pack_workers(driver.pid)
        driver.send_signal(signal.SIGTERM)
        wait_for(lambda: "draining: SIGTERM" in said(grid), driver)
        time.sleep(2 * ONE_SIGNAL)
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(timeout=120) == 130
        ended(workers)
    assert "drained: " not in said(grid)
    monkeypatch.delenv("PD_HELD")
    relaunch(grid, undisturbed, fragments(grid.parent / "g"))


@pytest.mark.slow
def test_a_ray_that_does_not_start_exits_2_and_says_what_to_do(tmp_path: Path) -> None:
    grid = write(tmp_path, LONG)
    environment = {**os.environ, "RAY_ADDRESS": "", "RAY_TMPDIR": "/proc/nowhere"}
    outcome = run("launch", grid, "--storage", tmp_path, "--compile", "off", env=environment)
    assert outcome.returncode == 2, outcome.stderr
    assert "error: Ray did not start on this machine: " in outcome.stderr
    assert "--executor inline" in outcome.stderr
    assert "Traceback" not in outcome.stderr


DEADLY = """
import os
import sys
from phasediag.tasks.linear_map import LinearMap
from phasediag.trial import FiniteFloat, Parameter, Role

class Task(LinearMap):
    declares = (*LinearMap.declares, Parameter(name="trap", type=FiniteFloat, default=0.0, neutral=0.0,
                role=Role.BATCHED, meaning="Kills its worker at 1."))

    def train_set(self):
        if self.values["trap"] == 1 and "worker" in sys.argv[0]:
            os._exit(1)
        return super().train_set()
"""
"""Dies where it trains alone: a look at its data from `plan` or `launch` shows nothing."""


@pytest.mark.slow
def test_law_5_a_trial_that_kills_its_worker_fails_alone(tmp_path: Path) -> None:
    fixed = {"task": "my_task.py:Task", "singular_values": "[1, 0.5]", "steps": 40}
    for folder, traps in (("with", "[0, 1, 2, 3]"), ("without", "[0, 2, 3]")):
        write(tmp_path / folder, DEADLY, "my_task.py")
        text = grid_text({"trap": traps}, fixed, resources="{trials_per_pack: 4}")
        write(tmp_path / folder, text.replace("  teacher_width: 4\n", ""))
    grid = tmp_path / "with" / "grid.yaml"
    outcome = run("launch", grid, "--storage", grid.parent, "--compile", "off", timeout=280)
    assert outcome.returncode == 1, outcome.stderr
    assert "3 of 4 trials done (0 diverged), 1 failed, 0 missing; 4 trained" in outcome.stderr
    assert "first error: its worker died" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    calm = launched(tmp_path / "without", (tmp_path / "without" / "grid.yaml").read_text())
    assert calm.exit_code == 0
    mates = phasediag.load_trials(str(tmp_path / "without" / "g"))["trial_id"]
    assert_same_rows(tmp_path / "with" / "g", tmp_path / "without" / "g", only=pd.Index(mates))
