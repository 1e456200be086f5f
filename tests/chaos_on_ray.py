"""Sweeps on a Ray of this machine, launched again and again while parts of it die."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from chaos import HANGS_S, trials_that_are
from phasediag.executors.signals import STOPPING
from small_sweeps import assert_same_rows, command, ended, grid_text, write

TASK: Final = """
import inspect
import os

from phasediag.tasks.linear_map import LinearMap


class Task(LinearMap):
    def train_set(self):
        frames = [each.frame for each in inspect.stack()]
        if not any("rehearsal" in frame.f_code.co_filename for frame in frames):
            selves = (frame.f_locals.get("self") for frame in frames)
            tile = next(each for each in selves if type(each).__name__ == "TileRun")
            with open(os.environ["PD_LOG"], "a") as log:
                log.write("".join(f"{each}\\n" for each in tile.trials.trial_id.tolist()))
        return super().train_set()
"""
"""Tells which trials are begun."""
TRIALS: Final = 16
FIXED: Final = {"task": "my_task.py:Task", "singular_values": "[1, 0.5]", "steps": 2500}
GRID: Final = grid_text(
    {"weight_decay": f"{{linspace: [0.01, 1], num: {TRIALS}}}"}, FIXED,
    resources="{trials_per_pack: 2}",
).replace("  teacher_width: 4\n", "")  # fmt: skip
"""8 packs, each of some seconds, for as many workers as there are cores."""
PARTS: Final = {"worker": "ray::PlaceTrainable", "raylet": "raylet/raylet", "gcs": "gcs_server"}
"""What the command lines of Ray's processes begin with, or hold."""
MOST_DISTURBED: Final = 4
LEFT_S: Final = 120.0
"""Within so long nothing that a launch has started is there any more."""


class RayRound:
    """One sweep, launched until it is complete."""

    def __init__(self, number: int, folder: Path) -> None:
        self.rng, self.folder, self.sweep = np.random.default_rng([19, 8, 1, number]), folder, folder / "g"
        self.number, self.launches = number, 0
        write(folder, TASK, "my_task.py")
        self.grid = write(folder, GRID)
        self.faults, self.met = list[str](), Counter[str]()

    def run(self, undisturbed: Path) -> None:
        """Launch the sweep until it is complete; `faults` tells what does not hold."""
        for _ in range(MOST_DISTURBED):
            name = str(self.rng.choice(["driver", "storm", "storage", *PARTS]))
            self._launch(name)
            if self.faults or len(self._done()) == TRIALS:
                break
        if self.faults:
            return
        self._launch("nothing")
        if len(self._done()) != TRIALS:
            self.faults.append(f"{len(self._done())} of {TRIALS} trials done")
            return
        try:
            assert_same_rows(self.sweep, undisturbed)
        except AssertionError as error:
            self.faults.append(f"other rows: {error}")

    def _launch(self, name: str) -> None:
        log, committed = self.folder / f"begun-{self.launches}", self._done()
        with self._launching(log) as driver:
            if name != "nothing":
                self._wait_for(log.exists, driver)
                time.sleep(self.rng.uniform(0.0, 5.0))
            family = _family(driver.pid)
            if driver.poll() is None and name != "nothing":
                self.met[name] += 1
                self._disturb(name, driver)
            code = driver.wait(timeout=HANGS_S)
        said = (self.folder / f"said-{self.launches}").read_text()
        self.launches += 1
        expected = {
            "nothing": {0}, "driver": {-9, 0}, "worker": {0}, "storm": {130, 0}, "storage": {2, 3, 0},
            "raylet": {3, 0}, "gcs": {3, 0},
        }[name]  # fmt: skip
        begun = set(log.read_text().split()) if log.exists() else set()
        checks = {
            f"exit {code}": code in expected, "a traceback": "Traceback" not in said,
            f"{len(begun & committed)} committed trials were trained again": not begun & committed,
            "committed trials are gone": not committed - self._done(),
            "trials failed": not trials_that_are(self.sweep, ("failed",)),
        }  # fmt: skip
        with suppress(AssertionError):
            ended(family, within=LEFT_S)
            family = []
        checks[f"still there after {LEFT_S} s: {family}"] = not family
        self.faults += [
            f"ray round {self.number}, {name}: {what}\n{said}" for what, ok in checks.items() if not ok
        ]

    @contextmanager
    def _launching(self, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        arguments = command("launch", self.grid, "--storage", self.folder, "--compile", "off")
        environment = {**os.environ, "RAY_ADDRESS": "", "PD_LOG": str(log)}
        with (self.folder / f"said-{self.launches}").open("wb") as said:
            driver = subprocess.Popen(
                arguments, stdout=said, stderr=said, env=environment, start_new_session=True
            )
        try:
            yield driver
        finally:
            if driver.poll() is None:
                family = _family(driver.pid)
                driver.kill()
                driver.wait(timeout=10)
                with suppress(AssertionError):
                    ended(family, within=0)

    def _disturb(self, name: str, driver: subprocess.Popen[bytes]) -> None:
        if name == "driver":
            driver.kill()
        elif name == "storm":
            for _ in range(self.rng.integers(1, 4)):
                with suppress(ProcessLookupError):
                    os.killpg(driver.pid, STOPPING[self.rng.integers(len(STOPPING))])
                time.sleep(self.rng.choice([0.0, 0.5]))
        elif name == "storage":
            away = self.folder / "away"
            self.sweep.rename(away)
            with suppress(subprocess.TimeoutExpired):
                driver.wait(timeout=10)
            if self.sweep.exists():
                self.faults.append(f"ray round {self.number}: made anew: {sorted(self.sweep.rglob('*'))}")
            else:
                away.rename(self.sweep)
        else:
            for process in _family(driver.pid):
                with suppress(psutil.Error):
                    if PARTS[name] in " ".join(process.cmdline()):
                        process.kill()
                        return

    def _wait_for(self, condition: Callable[[], object], driver: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + HANGS_S
        while not condition() and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)

    def _done(self) -> set[str]:
        return trials_that_are(self.sweep, ("ok", "diverged"))


def _family(pid: int) -> list[psutil.Process]:
    """All that a process has started."""
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []
