"""What a user's file changes of the process that imports it is put back: a launch is more than that file."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

import phasediag
from small_sweeps import grid_text, write

CHANGES = """
import os
import signal

import torch


def change():
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
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = (os.getcwd(), torch.get_num_threads(), [signal.getsignal(number) for number in numbers])
    outcome = phasediag.launch(grid.name, "sweeps", executor="inline", compile="off")
    after = (os.getcwd(), torch.get_num_threads(), [signal.getsignal(number) for number in numbers])
    assert after == before
    assert outcome.status.ok == 2
    assert len(phasediag.load_trials(str(tmp_path / "sweeps" / "g"))) == 2
