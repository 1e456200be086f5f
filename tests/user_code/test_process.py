"""What a user's file changes of the process that imports it is put back: a launch is more than that file."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import torch

import phasediag
from phasediag.user_code.defaults import kept_defaults
from small_sweeps import grid_text, write

CHANGES = """
import argparse
import io
import os
import signal
import sys

import torch

options = argparse.ArgumentParser()
options.add_argument("--storage", default="none")
assert options.parse_args().storage == "none"


def change():
    sys.stdout = io.StringIO()
    sys.setrecursionlimit(sys.getrecursionlimit() + 7)
    sys.excepthook = lambda *error: None
    os.chdir("/")
    torch.set_num_threads(3)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(inputs, width), torch.nn.Linear(width, outputs)
        {constructing}

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


{importing}
"""


def state_of_process() -> list[object]:
    """What is looked at of the process."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    streams = [id(sys.stdout), id(sys.stderr)]
    process = [os.getcwd(), torch.get_num_threads(), sys.argv, sys.getrecursionlimit(), sys.excepthook]
    return [*process, handlers, streams]


@pytest.mark.parametrize(("importing", "constructing"), [("change()", "pass"), ("", "change()")])
def test_folder_threads_and_signals_are_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, importing: str, constructing: str
) -> None:
    """The storage is named from the current folder: a sweep would lie below / without a word."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, CHANGES.format(importing=importing, constructing=constructing), "my_net.py")
    grid = write(
        tmp_path, grid_text({"weight_decay": "[0, 0.1]"}, {"model": "my_net.py:Net", "steps": 3, "width": 8})
    )
    monkeypatch.setattr(sys, "argv", ["phasediag", "launch", grid.name, "--storage", "sweeps"])
    before = state_of_process()
    outcome = phasediag.launch(grid.name, "sweeps", executor="inline", compile="off")
    assert state_of_process() == before
    assert outcome.status.ok == 2
    assert len(phasediag.load_trials(str(tmp_path / "sweeps" / "g"))) == 2


def test_an_alarm_that_a_file_sets_does_not_end_the_command() -> None:
    """A launch ended by itself with "Alarm clock"."""
    held = signal.setitimer(signal.ITIMER_REAL, 0)  # of a test's own time limit
    try:
        with kept_defaults():
            signal.setitimer(signal.ITIMER_REAL, 1000, 1000)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        signal.setitimer(signal.ITIMER_REAL, 1000)
        with kept_defaults():
            pass
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
    finally:
        signal.setitimer(signal.ITIMER_REAL, *held)
