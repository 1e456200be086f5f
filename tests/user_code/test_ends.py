"""A user's class that ends the process where it is looked at: one error, nothing recorded, exit 2."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from phasediag.errors import PhasediagError
from phasediag.user_code.apart import EndedError, apart
from phasediag.user_code.work import at_work
from small_sweeps import grid_text, run, write

PART: Final = """
import ctypes
import os
import sys

import torch
from phasediag.columns import Column
from phasediag.observables.observable import NumberObservable
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.tasks.linear_map import LinearMap


def fall(depth):
    return fall(depth + 1)


class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 16):
        super().__init__()
        {constructor}
        self.first, self.second = torch.nn.Linear(inputs, width), torch.nn.Linear(width, outputs)

    def forward(self, x):
        {forward}
        return self.second(torch.tanh(self.first(x)))

    @property
    def neuron_groups(self):
        {groups}
        return (NeuronGroup(name="hidden.1", incoming=("first.weight",), outgoing=("second.weight",)),)


class Task(LinearMap):
    def __init__(self, values, streams):
        super().__init__(values, streams)
        {task}

    @classmethod
    def sizes(cls, values):
        {sizes}
        return super().sizes(values)

    def train_set(self):
        {data}
        return super().train_set()


class Sgd:
    def __init__(self):
        {optimizer}

    def update(self, weights, gradient, moments, rates, step):
        {update}
        return {{n: w - rates["learning_rate"] * gradient[n] for n, w in weights.items()}}, moments


class Falling:
    def __init__(self):
        {schedule}

    def factor(self, step, steps):
        {factor}
        return 1 - 0.5 * step / steps


class Largest(NumberObservable):
    columns = (Column(name="largest", meaning="The largest weight."),)

    def __init__(self):
        {observable}

    def measure(self, specimen):
        {measure}
        return specimen.weights["first.weight"].abs().max().reshape(1)


{importing}
"""
PLACES: Final = {
    "constructor": ("Net", "its constructor"),
    "forward": ("Net", "a first pass"),
    "data": ("Task", "its data"),
    "update": ("Sgd", "its update"),
    "factor": ("Falling", "its factor"),
    "measure": ("Largest", "measuring"),
    "importing": ("my.py", "its import"),
    "task": ("Task", "its data"),
    "sizes": ("Task", "its sizes"),
    "groups": ("Net", "its neuron_groups"),
    "optimizer": ("Sgd", "its constructor"),
    "schedule": ("Falling", "its constructor"),
    "observable": ("Largest", "its constructor"),
}
"""Where code of the user's may end the process: the class or the file, and what it is asked for then."""
ENDS: Final = {
    "os._exit(7)": "the process ended with exit code 7",
    "os._exit(0)": "the process ended with exit code 0",
    "sys.exit(3)": "SystemExit: 3",
    "raise SystemExit": "SystemExit:",
    "raise KeyboardInterrupt": "KeyboardInterrupt:",
    "ctypes.string_at(0)": "the process was ended by signal 11 (SIGSEGV)",
    "os.abort()": "the process was ended by signal 6 (SIGABRT)",
    "os.kill(os.getpid(), 9)": "the process was ended by signal 9 (SIGKILL)",
    "fall(0)": "RecursionError:",
}
"""How it may end it, and what is said of it."""
ASKED: Final = """
import sys
from pathlib import Path
from phasediag.errors import PhasediagError
from phasediag.sweeps.sweep import launch, plan

for asked in sys.argv[1:]:
    ask, grid = asked.split(":")
    try:
        if ask == "plan":
            plan(Path(grid), str(Path(grid).parent))
        else:
            launch(Path(grid), str(Path(grid).parent), executor="inline", compile="off")
        print("nothing")
    except PhasediagError as error:
        print(f"{error.exit_code} {error}")
"""
"""What plan or launch say of each grid, a line each."""


def _written(folder: Path, place: str, end: str) -> Path:
    """A grid of one trial whose class ends the process."""
    parts = {name: end if name == place else "pass" for name in PLACES}
    write(folder, PART.format(**parts), "my.py")
    named = {
        "task": "my.py:Task", "model": "my.py:Net", "optimizer": "my.py:Sgd", "schedule": "my.py:Falling",
        "singular_values": "[1, 0.5]", "steps": 8,
    }  # fmt: skip
    text = grid_text({"weight_decay": "[0.1]"}, named, measure='{observables: ["my.py:Largest"]}')
    return write(folder, text.replace("  teacher_width: 4\n", ""))


def _said(folder: Path, cases: list[tuple[str, str, str]]) -> None:
    """Let plan or launch look at all cases, in one other process, and check what they say."""
    grids = [_written(folder / str(n), place, end) for n, (_, place, end) in enumerate(cases)]
    asked = subprocess.run(
        [sys.executable, "-c", ASKED, *(f"{c[0]}:{grid}" for c, grid in zip(cases, grids, strict=True))],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr[-2000:]
    lines = asked.stdout.splitlines()
    assert len(lines) == len(cases), asked.stdout
    for (_, place, end), grid, line in zip(cases, grids, lines, strict=True):
        cls, doing = PLACES[place]
        text = (grid.parent / "my.py").read_text().splitlines()
        last = "return fall(depth + 1)" if end == "fall(0)" else end
        at = next(n for n, code in enumerate(text, 1) if code.strip() == last)
        assert line.startswith("2 "), (place, end, line)
        assert f"my.py:{at}" in line, (place, end, line)
        assert ENDS[end] in line, (place, end, line)
        if end != "fall(0)":
            assert re.search(rf"\[(my\.py:)?{cls}: {doing}", line), (place, end, line)
        assert not (grid.parent / "g").exists(), "a launch that is refused leaves nothing"


def test_whatever_ends_the_process_is_one_error(tmp_path: Path) -> None:
    """Each place and each end once, by plan and by launch in turn."""
    ends = list(ENDS)
    asks = ("plan", "launch")
    _said(tmp_path, [(asks[n % 2], place, ends[n % len(ends)]) for n, place in enumerate(PLACES)])


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_every_end_in_every_place(place: str, tmp_path: Path) -> None:
    _said(tmp_path, [(ask, place, end) for end in ENDS for ask in ("plan", "launch")])


def test_what_is_no_fault_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    """The result, what was printed, and an error with all that it says."""

    def look() -> dict[str, int]:
        print("printed")
        return {"pid": os.getpid()}

    assert apart(look)["pid"] != os.getpid()
    assert "printed\n" in capsys.readouterr().err

    def refuses() -> None:
        raise PhasediagError("so it is")

    with pytest.raises(PhasediagError, match=r"^so it is$"):
        apart(refuses)


def test_what_no_child_can_do_the_process_does_itself() -> None:
    """As where a model computes on a GPU that this process has used."""
    parent = os.getpid()

    def look() -> int:
        if os.getpid() != parent:
            raise RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use CUDA with ...")
        return os.getpid()

    assert apart(look) == parent


def test_a_child_that_leaves_a_process_behind_ends_the_look(tmp_path: Path) -> None:
    """Its pipe stays open in a process that it forked; the end is seen all the same."""

    def look() -> None:
        with at_work(Path, "my.py:Net", "its step"):
            if os.fork():
                os._exit(5)
            time.sleep(3)

    with pytest.raises(EndedError, match=r"exit code 5 \[my.py:Net: its step\]"):
        apart(look)


def _own_model(folder: Path, outputs: str = "outputs", more: str = "") -> Path:
    """A grid of one trial of a model whose output has a width of its own."""
    lines = (
        "import torch\n", more, "class Net(torch.nn.Module):",
        "    def __init__(self, inputs: int, outputs: int):",
        "        super().__init__()", f"        self.only = torch.nn.Linear(inputs, {outputs})",
        "    def forward(self, x):", "        return self.only(x)",
    )  # fmt: skip
    write(folder, "\n".join(lines), "net.py")
    text = 'name: g\nfixed: {task: teacher_student, model: "net.py:Net", steps: 8}\n'
    return write(folder, text)


def test_a_refused_launch_takes_its_folders_away(tmp_path: Path) -> None:
    grid = _own_model(tmp_path, outputs="outputs + 1")
    refused = run("launch", grid, "--storage", tmp_path / "a" / "b")
    assert (refused.returncode, "one number an output" in refused.stderr) == (2, True)
    assert not (tmp_path / "a").exists()


def test_what_is_printed_at_the_end_is_no_part_of_the_result(tmp_path: Path) -> None:
    more = 'import atexit\natexit.register(print, "the end")\n'
    planned = run("plan", _own_model(tmp_path, more=more), "--json")
    assert json.loads(planned.stdout)["trials"] == 1
    assert "the end" in planned.stderr
