"""Law 2 by kills of real launches on a local Ray; drains, limits, progress, refusals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

import phasediag
from sweeps import assert_same_rows, command, fragments, grid_text, launched, pack_workers, run, write

AXES = {"weight_decay": "[0.01, 0.1, 1]", "init_scale": "[0.5, 2]"}
STEPS = {"steps": 2500}
LONG = grid_text(AXES, STEPS, replicates=2, resources="{trials_per_pack: 2}")
"""12 trials in 6 packs of some seconds each: two workers are busy for three rounds."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert launched(folder, grid_text(AXES, STEPS, replicates=2)).exit_code == 0
    return folder / "g"


@contextmanager
def launching(grid: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`phasediag launch` on a local Ray, in a process group of its own; ended with the block."""
    environment = {**os.environ, "RAY_ADDRESS": ""}
    started = subprocess.Popen(
        command("launch", grid, "--storage", grid.parent, "--compile", "off", *options),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        yield started
    finally:
        if started.poll() is None:
            descendants = psutil.Process(started.pid).children(recursive=True)
            started.kill()
            ended(descendants)
        started.communicate(timeout=30)


def ended(processes: list[psutil.Process], within: float = 20) -> None:
    """Wait until processes are gone; those that stay are killed, and the test fails."""
    _, alive = psutil.wait_procs(processes, timeout=within)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    assert not alive, f"still there after {within} s: {alive}"


def wait_for(condition: Callable[[], object], driver: subprocess.Popen[str], within: float = 90) -> None:
    """Wait until something is true of a launch that still runs."""
    deadline = time.monotonic() + within
    while not condition():
        assert driver.poll() is None, f"the launch ended early: {driver.communicate()}"
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def started_at(sweep: Path) -> dict[str, str]:
    """When the training of every committed trial began."""
    rows = phasediag.load_trials(str(sweep))
    return dict(zip(rows["trial_id"], rows["started_at"].astype(str), strict=True))


def finish(grid: Path, undisturbed: Path, kept: dict[str, int], trained: dict[str, str]) -> None:
    """Relaunch: what was committed stays as it is, and the rows are those of an undisturbed run."""
    again = run("launch", grid, "--storage", grid.parent, "--compile", "off")
    assert again.returncode == 0, again.stderr
    sweep = grid.parent / "g"
    assert {pack: written for pack, written in fragments(sweep).items() if pack in kept} == kept
    after = started_at(sweep)
    assert {trial: after[trial] for trial in trained} == trained
    assert not list((sweep / "checkpoints").glob("*"))
    assert_same_rows(sweep, undisturbed)


def drained(grid: Path, undisturbed: Path, stop: Callable[[subprocess.Popen[str]], None]) -> str:
    """Drain a launch after its first commit; it is continued, not begun again. Gives back its stderr."""
    sweep = grid.parent / "g"
    with launching(grid) as driver:
        wait_for(lambda: fragments(sweep), driver)
        descendants = psutil.Process(driver.pid).children(recursive=True)
        stop(driver)
        _, stderr = driver.communicate(timeout=40)
        assert driver.returncode == 130, stderr
        ended(descendants, within=10)
    kept, trained = fragments(sweep), started_at(sweep)
    unfinished = {path.name for path in (sweep / "checkpoints").iterdir()}
    assert unfinished
    relaunched = time.time()
    finish(grid, undisturbed, kept, trained)
    rows = phasediag.load_trials(str(sweep)).groupby("pack_id")["started_at"].min()
    assert all(rows[pack].timestamp() < relaunched for pack in unfinished)
    return stderr


def test_a_launch_on_ray_equals_one_inline_and_says_only_what_concerns_the_user(
    undisturbed: Path, tmp_path: Path
) -> None:
    grid = write(tmp_path, LONG)
    found = run(
        "launch", grid, "--storage", tmp_path, "--compile", "off", env={**os.environ, "RAY_ADDRESS": ""}
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout == f"{tmp_path / 'g'}\n"
    lines = found.stderr.splitlines()
    assert re.fullmatch(
        r"12 of 12 trials done \(0 diverged\), 0 failed, 0 missing; 12 trained in \d+ (s|min)", lines[-1]
    )
    for line in lines[:-1]:
        assert re.match(r"\d+/12 trials, \d+\.\d trials/s, 0 failed", line), found.stderr
    assert_same_rows(tmp_path / "g", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_law_2_a_signal_drains(number: signal.Signals, undisturbed: Path, tmp_path: Path) -> None:
    grid = write(tmp_path, LONG)
    stderr = drained(grid, undisturbed, lambda driver: driver.send_signal(number))
    assert f"drained: {number.name}" in stderr


def test_law_2_ctrl_c_in_a_terminal_reaches_the_whole_process_group(
    undisturbed: Path, tmp_path: Path
) -> None:
    drained(write(tmp_path, LONG), undisturbed, lambda driver: os.killpg(driver.pid, signal.SIGINT))


def test_law_2_a_killed_driver(undisturbed: Path, tmp_path: Path) -> None:
    grid = write(tmp_path, LONG)
    sweep = tmp_path / "g"
    with launching(grid) as driver:
        wait_for(lambda: fragments(sweep), driver)
        descendants = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
        driver.wait(timeout=10)
        kept, trained = fragments(sweep), started_at(sweep)
        assert 0 < len(kept) < 6
        finish(grid, undisturbed, kept, trained)
        ended(descendants, within=1)


def test_law_2_a_killed_worker(undisturbed: Path, tmp_path: Path) -> None:
    grid = write(tmp_path, LONG)
    sweep = tmp_path / "g"
    with launching(grid) as driver:
        wait_for(lambda: fragments(sweep) and pack_workers(driver.pid), driver)
        kept, trained = fragments(sweep), started_at(sweep)
        pack_workers(driver.pid)[0].kill()
        _, stderr = driver.communicate(timeout=120)
        assert driver.returncode == 0, stderr
        assert "0 failed, 0 missing" in stderr
    finish(grid, undisturbed, kept, trained)
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_a_second_signal_stops_at_once(undisturbed: Path, tmp_path: Path) -> None:
    grid = write(tmp_path, LONG)
    with launching(grid) as driver:
        wait_for(lambda: pack_workers(driver.pid), driver)
        descendants = psutil.Process(driver.pid).children(recursive=True)
        driver.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(timeout=3) == 130
        ended(descendants)
    finish(grid, undisturbed, {}, {})
