"""What follows from the process that makes it is another one for each worker, and refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import phasediag
from phasediag.errors import PhasediagError
from phasediag.rehearsal.dry_process import _lines_of
from small_sweeps import write

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        generator = torch.Generator().manual_seed({seed})
        self.first = nn.Linear(inputs, outputs)
        self.first.weight.data = torch.randn(outputs, inputs, generator=generator)

    def forward(self, x):
        return self.first(x)
"""
TASK = """
import numpy as np
import torch
from phasediag.training.data import Task

class Named(Task):
    declares = ()

    @staticmethod
    def sizes(values):
        return 3, 1

    def made(self, stream):
        teacher = np.random.default_rng({seed}).standard_normal((3, 1))
        x = self.streams.generator(stream).standard_normal((16, 3))
        return torch.from_numpy(x), torch.from_numpy(x @ teacher)

    def train_set(self):
        return self.made("data")

    def test_set(self):
        return self.made("test")
"""
GRID = """
name: process
fixed: {task: "my_task.py:Named", model: "my_net.py:Net", init: own, steps: 4}
axes: {weight_decay: [0.0, 0.1]}
"""
BY_HASH = "hash('teacher') % 2**31"


def grid_of(folder: Path, net: str = "3", task: str = "4") -> Path:
    write(folder, NET.format(seed=net), "my_net.py")
    write(folder, TASK.format(seed=task), "my_task.py")
    return write(folder, GRID)


def test_a_seed_from_a_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PhasediagError, match=r"my_net\.py:8: .*another process.*first\.weight") as refusal:
        phasediag.plan(grid_of(tmp_path, net=BY_HASH), str(tmp_path))
    assert refusal.value.exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [BY_HASH, "int(__import__('time').time())", "__import__('os').getpid()"])
def test_data_of_a_process_are_refused(seed: str, tmp_path: Path) -> None:
    with pytest.raises(PhasediagError, match=r"my_task\.py:1\d: .*(another process|makes other data)"):
        phasediag.plan(grid_of(tmp_path, task=seed), str(tmp_path))


@pytest.mark.slow
def test_what_another_process_cannot_make_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed of hashes is another one there."""
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    there = "__import__('os').environ.get('PYTHONHASHSEED') == '1'"
    with pytest.raises(PhasediagError, match=r"in another process.*my_net\.py:8: ZeroDivisionError"):
        phasediag.plan(
            grid_of(tmp_path, net=f"(1 // 0 if {there} else int(hash('a') is None))"), str(tmp_path)
        )


@pytest.mark.parametrize(
    ("executable", "words"), [("/bin/false", "it ended with 1"), ("/nowhere/python", "it could not be begun")]
)
def test_a_second_process_that_fails_is_told(
    executable: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may be at fault, so that nothing is refused; what may differ is named with its line."""
    monkeypatch.setattr(sys, "executable", executable)
    plan = phasediag.plan(grid_of(tmp_path, net="len({'teacher'})"), str(tmp_path))
    (sentence,) = [note for note in (*plan.warnings, *plan.notes) if "another process" in note]
    assert words in sentence
    assert "my_net.py:8" in sentence


@pytest.mark.slow
def test_what_only_looks_so_is_planned(tmp_path: Path) -> None:
    phasediag.plan(grid_of(tmp_path, task="len(set('teacher'))"), str(tmp_path))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("seed = hash('a')", [1]),
        ("import os\nseed = os.getpid()", [2]),
        ("for name in {'a', 'b'}:\n    pass", [1]),
        ("names = list(set(words))", [1]),
        ("known = {w for w in words}", [1]),
        ("if name in {'a', 'b'} or name not in {'c'}:\n    pass", []),
        ("table = {'a': 1}\nhashed = hashlib.sha256(b'a')\nmodule.set_width(3)", []),
    ],
)
def test_the_lines_by_which_processes_differ(text: str, lines: list[int]) -> None:
    assert list(_lines_of(Path("my_net.py"), text.encode())) == lines
