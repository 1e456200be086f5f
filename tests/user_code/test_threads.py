"""Looks at the user's code beside other threads of the process, as a notebook has them."""

from __future__ import annotations

import faulthandler
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import phasediag
from phasediag import library_messages
from phasediag.library_messages import quiet
from phasediag.user_code import apart as looks
from phasediag.user_code import variables
from phasediag.user_code.apart import apart
from phasediag.user_code.variables import variables_read

NET = """
import torch
from beside import SCALE
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return SCALE * self.second(torch.{activation}(self.first(x)))
"""
SWEEPS = {"one": ("tanh", 1.0), "two": ("relu", 2.0), "three": ("sin", 0.5)}


@contextmanager
def held_for_a_while(lock: Any) -> Iterator[None]:
    """Another thread has a lock as the block begins, and gives it back soon after."""
    has, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            has.set()
            over.wait(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    has.wait()
    yield
    over.set()
    thread.join()


def within_messages() -> int:
    with quiet(None):
        return os.getpid()


def within_variables() -> int:
    with variables_read():
        return os.getpid()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("lock", "look"),
    [(library_messages._changing, within_messages), (variables._changing, within_variables)],
    ids=["messages", "variables"],
)
def test_a_lock_of_another_thread_is_free_in_the_child(lock: Any, look: Callable[[], int]) -> None:
    with held_for_a_while(lock):
        assert apart(look) != os.getpid()


@pytest.mark.timeout(60)
def test_a_look_that_waits_for_another_thread_is_taken_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child of a process with threads waits for, such as a module that one of them imports."""
    monkeypatch.setattr(looks, "STUCK_S", 0.3)
    lock, here = threading.Lock(), os.getpid()

    def look() -> int:
        if os.getpid() != here:
            with lock:
                pass
        return os.getpid()

    with lock:
        assert apart(look) == here


@pytest.mark.timeout(60)
def test_a_timer_of_faulthandler_is_the_parents() -> None:
    """A file that sets one when it is imported was waited for without end, once this process had it."""

    def look() -> int:
        faulthandler.dump_traceback_later(3600)
        return os.getpid()

    faulthandler.dump_traceback_later(3600)
    try:
        assert apart(look) != os.getpid()
    finally:
        faulthandler.cancel_dump_traceback_later()


def launched(folder: Path, storage: str, compile: str) -> pd.DataFrame:
    outcome = phasediag.launch(
        folder / "grid.yaml", str(folder / storage), executor="inline", compile=compile
    )
    assert outcome.exit_code == 0
    return phasediag.load_trials(folder / storage / "own").set_index("trial_id").sort_index()


@pytest.mark.slow
@pytest.mark.parametrize("compile", ["off", "on"])
def test_launches_in_threads_train_each_its_own_files(tmp_path: Path, compile: str) -> None:
    """Files of the same names, in three folders, at the same time."""
    fixed = {"task": "teacher_student", "model": "net.py:Net", "steps": 100, "samples": 64, "batch_size": 16,
             "learning_rate": 0.05}  # fmt: skip
    grid = {"name": "own", "fixed": fixed, "axes": {"weight_decay": [0.0, 0.1], "width": [4, 6]}}
    for name, (activation, scale) in SWEEPS.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "net.py").write_text(NET.format(activation=activation))
        (folder / "beside.py").write_text(f"SCALE = {scale}\n")
        (folder / "grid.yaml").write_text(json.dumps(grid))
    frames: dict[str, pd.DataFrame] = {}

    def launch(name: str) -> None:
        frames[name] = launched(tmp_path / name, "at-once", compile)

    threads = [threading.Thread(target=launch, args=(name,)) for name in SWEEPS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in SWEEPS:
        alone = launched(tmp_path / name, "alone", compile)
        columns = ["train_loss", "test_loss", "model_source"]
        pd.testing.assert_frame_equal(frames[name][columns], alone[columns], check_exact=True)
    assert len({frame["model_source"].iloc[0] for frame in frames.values()}) == len(SWEEPS)
