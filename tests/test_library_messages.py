"""Libraries speak to a file; a user reads warnings of her own code, once, and one line of everything else."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from phasediag import library_messages
from phasediag.library_messages import quiet
from small_sweeps import command, grid_text, write

NET = """
import warnings

import torch
import torch.nn.functional as F


class Mixed(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(inputs, width), torch.nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)).double())


class Attention(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8) -> None:
        super().__init__()
        self.into, self.out = torch.nn.Linear(inputs // 4, width), torch.nn.Linear(width, outputs)

    def forward(self, x):
        warnings.warn("this one is mine")
        each = self.into(x.view(x.shape[0], 4, -1)).unsqueeze(1)
        return self.out(F.scaled_dot_product_attention(each, each, each).mean((1, 2)))
"""


def said(folder: Path, model: str, compiled: str) -> list[str]:
    """What a launch writes to the terminal, without its progress."""
    write(folder, NET, "my_net.py")
    fixed = {"model": f"my_net.py:{model}", "batch_size": 0, "steps": 3, "width": 8}
    grid = write(folder, grid_text({"weight_decay": "[0, 0.01]"}, fixed, replicates=4))
    asked = ("launch", grid, "--storage", folder, "--executor", "inline", "--compile", compiled)
    environment = os.environ | {"CXX": "no-such-compiler"}  # the noise is that of tracing
    outcome = subprocess.run(
        command(*asked), env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert outcome.stdout.strip() in ("", str(folder / "g"))
    return [line for line in outcome.stderr.splitlines() if "/8 trials," not in line]


def test_warnings_of_torch_go_to_the_log_and_the_users_own_are_shown_once(tmp_path: Path) -> None:
    lines = said(tmp_path, "Attention", "off")
    assert [line for line in lines if line.startswith("warning: ")] == [
        "warning: my_net.py:23: UserWarning: this one is mine"
    ]
    assert "8 of 8 trials done" in lines[-1]
    assert "file us an issue" in (tmp_path / "g" / "phasediag.log").read_text()


ANNOUNCED = """
import warnings

import torch

warnings.warn("when it is imported")
print("imported")


class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8) -> None:
        super().__init__()
        warnings.warn("when it is made")
        print("made", width)
        self.register_buffer("scale", torch.tensor(torch.ones(1)))  # of which torch warns
        self.first, self.second = torch.nn.Linear(inputs, width), torch.nn.Linear(width, outputs)

    def forward(self, x):
        print("passed")
        return self.second(torch.tanh(self.first(x)) * self.scale)
"""


def test_what_a_users_code_warns_of_and_prints_is_shown_once_beside_the_results(tmp_path: Path) -> None:
    """A plan imports and builds from the grid's folder and from copies of it, for several replicates."""
    write(tmp_path, ANNOUNCED, "my_net.py")
    fixed = {"model": "my_net.py:Net", "steps": 3, "width": 8}
    grid = write(tmp_path, grid_text({"weight_decay": "[0, 0.01]"}, fixed, replicates=4))
    asked = command("plan", grid, "--json")
    planned = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=True)
    lines = [line for line in planned.stderr.splitlines() if "UserWarning" in line]
    assert [line.partition(" UserWarning: ")[0] for line in lines] == [
        "warning: my_net.py:6:", "warning: my_net.py:13:", "warning: my_net.py:15:"
    ]  # fmt: skip
    assert "warnings.warn" not in planned.stderr
    assert json.loads(planned.stdout)["missing"] == 8
    assert [planned.stderr.splitlines().count(line) for line in ("imported", "made 8", "passed")] == [1, 1, 1]


def test_a_model_that_does_not_run_is_one_error(tmp_path: Path) -> None:
    text = "\n".join(said(tmp_path, "Mixed", "on"))
    assert "Float but found Double" in text or "Double" in text
    assert "Traceback" not in text
    assert '  File "' not in text
    assert len(text.splitlines()) < 8


def test_loggers_are_as_before(tmp_path: Path) -> None:
    loggers = [logging.getLogger(name) for name in ("torch._inductor", "ray.tune", "another")]
    before = [(list(each.handlers), each.propagate) for each in (*loggers, logging.getLogger())]
    with quiet(tmp_path / "log"):
        logging.getLogger("torch._inductor.graph").error("of torch")
        logging.getLogger("ray.tune.late").error("of ray")
    assert [(list(each.handlers), each.propagate) for each in (*loggers, logging.getLogger())] == before
    written = (tmp_path / "log").read_text()
    assert ("of torch" in written, "of ray" in written) == (True, True)


@pytest.mark.filterwarnings("default")
def test_warnings_are_told_apart_by_whose_code_warned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library_messages._shown.cache_clear()
    with quiet(tmp_path / "log"):
        for _ in range(3):
            warnings.warn_explicit("mine", UserWarning, str(tmp_path / "net.py"), 7)
        warnings.warn_explicit("theirs", FutureWarning, os.__file__, 1)
        warnings.warn_explicit("x (Triggered internally at a.cpp)", UserWarning, str(tmp_path / "net.py"), 8)
    assert capsys.readouterr().err == "warning: net.py:7: UserWarning: mine\n"
    assert [line.split(" WARNING ")[1] for line in (tmp_path / "log").read_text().splitlines()] == [
        "FutureWarning: theirs", "UserWarning: x (Triggered internally at a.cpp)"
    ]  # fmt: skip


@pytest.mark.parametrize("log", ["no/such/folder/log", "/dev/full"])
def test_a_log_that_cannot_be_written_is_no_fault(
    tmp_path: Path, log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with quiet(tmp_path / log):
        logging.getLogger("torch").error("lost")
    assert capsys.readouterr().err == ""


def test_blocks_of_several_threads_may_overlap(tmp_path: Path) -> None:
    """The first to begin may be the first to end: before, everybody's output was closed after that."""
    logger = logging.getLogger("torch._inductor")

    def state() -> list[object]:
        roots = [logging.getLogger(), logging.getLogger("torch"), logger]
        return [sys.stdout, warnings.showwarning, *((list(each.handlers), each.propagate) for each in roots)]

    before, (first, second) = state(), (quiet(tmp_path / name) for name in ("first", "second"))
    first.__enter__()
    second.__enter__()
    logger.error("of both")
    first.__exit__(None, None, None)
    logger.error("of one")
    print("printed")
    second.__exit__(None, None, None)
    assert state() == before
    written = (tmp_path / "second").read_text()
    assert ("of both" in written, "of one" in written) == (True, True)
