"""What a user's file changes of the process that imports it is put back: a launch is more than that file."""

from __future__ import annotations

import builtins
import gc
import json
import logging
import math
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import phasediag
import phasediag.sweeps.sweep
from phasediag.errors import PhasediagError
from phasediag.user_code.process import SettingError, kept_process
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
        with kept_process():
            signal.setitimer(signal.ITIMER_REAL, 1000, 1000)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        signal.setitimer(signal.ITIMER_REAL, 1000)
        with kept_process():
            pass
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
    finally:
        signal.setitimer(signal.ITIMER_REAL, *held)


NET = """
import torch
{importing}


class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        {constructing}
        self.only = torch.nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.only(x)
"""
REPLACED: dict[str, tuple[Any, str]] = {
    "import json; json.dumps = None": (json, "dumps"),
    "import os; os.path.join = lambda *parts: parts[0]": (os.path, "join"),
    "import builtins; builtins.open = None": (builtins, "open"),
    "import math; math.pi = 3.0": (math, "pi"),
    "torch.manual_seed = lambda seed: None": (torch, "manual_seed"),
    "torch.nn.Linear.forward = lambda self, x: 2 * x": (torch.nn.Linear, "forward"),
    "torch.nn.Linear = None": (torch.nn, "Linear"),
    "torch.Tensor.square = torch.abs": (torch.Tensor, "square"),
    "setattr(torch.nn.functional, 'linear', None)": (torch.nn.functional, "linear"),
    "vars(torch)['tanh'] = torch.sigmoid": (torch, "tanh"),
    "import json; json.__dict__.update(dumps=None)": (json, "dumps"),
    "import json; [setattr(json, n, None) for n in ('dumps',)]": (json, "dumps"),
    "import sys; sys.platform = 'win32'": (sys, "platform"),
    "torch.float32 = torch.float64": (torch, "float32"),
    "from unittest.mock import patch; patch('os.replace', None).start()": (os, "replace"),
    "import phasediag.sweeps.sweep as s; s.launch = None": (phasediag.sweeps.sweep, "launch"),
}
"""What a file replaces for all of the process."""


def own_grid(folder: Path, importing: str = "", constructing: str = "pass") -> Path:
    write(folder, NET.format(importing=importing, constructing=constructing), "my_net.py")
    return write(folder, 'name: g\nfixed: {task: teacher_student, model: "my_net.py:Net", steps: 3}\n')


@pytest.mark.parametrize("statement", REPLACED)
def test_what_a_file_replaces_of_a_library_is_refused_with_its_line(statement: str, tmp_path: Path) -> None:
    """`json.dumps` ended a launch with a traceback; by `torch.tanh` the teacher's data were others."""
    owner, name = REPLACED[statement]
    before = getattr(owner, name)
    with pytest.raises(PhasediagError, match=rf"my_net\.py:3: it replaces \S+\.{name} for all") as refusal:
        phasediag.plan(own_grid(tmp_path, statement), str(tmp_path))
    assert refusal.value.exit_code == 2
    assert getattr(owner, name) is before


def test_what_a_function_is_made_of_is_put_back_and_refused(tmp_path: Path) -> None:
    before = torch.nn.functional.layer_norm.__defaults__
    with pytest.raises(PhasediagError, match=r"my_net\.py:3: it replaces torch\.nn\.functional\.layer_norm"):
        phasediag.plan(
            own_grid(tmp_path, "torch.nn.functional.layer_norm.__defaults__ = (None, None, 0.5)"),
            str(tmp_path),
        )
    assert torch.nn.functional.layer_norm.__defaults__ is before


def test_operators_of_torch_that_a_file_gives_another_meaning_are_refused(tmp_path: Path) -> None:
    """By it `tanh` was another function for all networks of the process, without a word."""
    statement = "torch.library.Library('aten', 'IMPL').impl('tanh', lambda x: 2 * x, 'CPU')"
    with pytest.raises(PhasediagError, match=r"my_net\.py:3: it gives operators of torch's own \(aten\)"):
        phasediag.plan(own_grid(tmp_path, statement), str(tmp_path))
    assert torch.tanh(torch.tensor(0.5)) < 0.5


@pytest.mark.parametrize(
    "statement",
    [
        "sys.stdout.reconfigure(encoding='utf-8')",
        "sys.stdout.buffer.write('ε of the user'.encode())",
    ],
)
def test_a_file_may_give_what_it_prints_an_encoding(
    statement: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As public code does for systems whose terminals have another."""
    phasediag.plan(own_grid(tmp_path, f"import io, sys; {statement}; print('ε of the user')"), str(tmp_path))
    shown = capsys.readouterr()
    assert "ε of the user" in shown.err
    assert shown.out == ""


def test_what_a_constructor_replaces_is_refused_with_its_line(tmp_path: Path) -> None:
    before = torch.tanh
    with pytest.raises(PhasediagError, match=r"my_net\.py:9: it replaces torch\.tanh"):
        phasediag.plan(own_grid(tmp_path, constructing="torch.tanh = torch.sigmoid"), str(tmp_path))
    assert torch.tanh is before


def test_names_that_a_file_adds_are_its_own(tmp_path: Path) -> None:
    """As public code does for what older versions had."""
    added = "import numpy; numpy.own_float = float; torch.Tensor.own_halves = lambda self: self / 2"
    try:
        phasediag.plan(own_grid(tmp_path, added), str(tmp_path))
    finally:
        for owner, name in ((np, "own_float"), (torch.Tensor, "own_halves")):
            if hasattr(owner, name):
                delattr(owner, name)


def test_a_file_that_can_be_imported_once_alone_is_one_error(tmp_path: Path) -> None:
    """As by `torch.set_num_interop_threads`; copies of it are imported too, and ended with a traceback."""
    once = "assert 'sources' not in __file__, 'once'"
    with pytest.raises(PhasediagError, match=r"copies .*my_net\.py cannot be imported: AssertionError: once"):
        phasediag.plan(own_grid(tmp_path, once), str(tmp_path))


def keeps_the_smallest() -> bool:
    """Whether numbers below those of full precision are kept."""
    return bool(torch.full((), 1e-310, dtype=torch.float64) * 1)


PUT_BACK: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "numpy's errors": (lambda: np.seterr(all="raise"), np.geterr),
    "how numpy prints": (lambda: np.set_printoptions(precision=1), np.get_printoptions),
    "handlers of the log": (
        lambda: logging.root.addHandler(logging.NullHandler()), lambda: list(logging.root.handlers),
    ),
    "level of the log": (lambda: logging.root.setLevel(1), lambda: logging.root.level),
    "what is logged": (lambda: logging.disable(50), lambda: logging.root.manager.disable),
    "ended children": (
        lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN), lambda: signal.getsignal(signal.SIGCHLD),
    ),
    "the folder for temporary files": (
        lambda: setattr(tempfile, "tempdir", "/nowhere"), lambda: tempfile.tempdir,
    ),
    "waiting for a connection": (lambda: socket.setdefaulttimeout(0.001), socket.getdefaulttimeout),
    "garbage": (gc.disable, gc.isenabled),
    "finders": (sys.meta_path.clear, lambda: list(sys.meta_path)),
    "the smallest numbers": (
        lambda: torch.set_flush_denormal(keeps_the_smallest()),
        lambda: keeps_the_smallest(),
    ),
    "anomalies": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "determinism": (
        lambda: torch.use_deterministic_algorithms(True), torch.are_deterministic_algorithms_enabled,
    ),
    "cores": (
        lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}), lambda: os.sched_getaffinity(0),
    ),
    "a variable": (lambda: os.environ.update(PATH="/nowhere"), lambda: os.environ["PATH"]),
    "all variables": (os.environ.clear, lambda: dict(os.environ)),
}  # fmt: skip
"""What a file changes of the process, and how to see it."""


@pytest.mark.parametrize("what", PUT_BACK)
def test_what_a_file_changes_of_the_process_is_put_back(what: str) -> None:
    change, seen = PUT_BACK[what]
    before = seen()
    with kept_process():
        change()
        assert seen() != before or what == "cores"
    assert seen() == before


def test_a_finder_that_a_library_adds_stays() -> None:
    """As `six.moves` adds one when it is imported."""
    finder, before = object(), list(sys.meta_path)
    try:
        with kept_process():
            sys.meta_path.append(finder)  # type: ignore[arg-type]
        assert sys.meta_path == [*before, finder]
    finally:
        sys.meta_path[:] = before


def test_a_variable_that_is_new_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Her own code may read it later."""
    monkeypatch.setenv("OWN_NEW", "1")
    monkeypatch.delenv("OWN_NEW")
    with kept_process():
        os.environ["OWN_NEW"] = "2"
    assert os.environ["OWN_NEW"] == "2"


MODE = torch.inference_mode()
CHANGED_DEFAULTS: dict[str, Callable[[], Any]] = {
    "dtype: float64": lambda: torch.set_default_dtype(torch.float64),
    "gradients switched off": lambda: torch.set_grad_enabled(False),
    "inference mode switched on": lambda: MODE.__enter__(),
    "autocast switched on": lambda: torch.autocast("cpu", dtype=torch.bfloat16).__enter__(),
    "products of float32 to 'medium'": lambda: torch.set_float32_matmul_precision("medium"),
    "a hook for all modules": lambda: torch.nn.modules.module.register_module_forward_hook(
        lambda module, given, made: 2 * made
    ),
}


@pytest.mark.parametrize("words", CHANGED_DEFAULTS)
def test_a_setting_of_torch_for_all_networks_is_refused_and_put_back(words: str) -> None:
    """Other networks of the sweep would come out otherwise, too."""
    layer, x = torch.nn.Linear(2, 2), torch.ones(1, 2)
    before = layer(x)
    with pytest.raises(SettingError, match=words), kept_process():
        CHANGED_DEFAULTS[words]()
    after = layer(x)
    assert torch.equal(after, before)
    assert (after.requires_grad, after.is_inference(), torch.get_default_dtype()) == (
        True,
        False,
        torch.float32,
    )
    assert torch.get_float32_matmul_precision() == "highest"


def elsewhere(**held: Any) -> ModuleType:
    """The file of torch's in which it keeps hooks for all modules, of another release."""
    module = ModuleType("torch.nn.modules.module")
    vars(module).update(held)
    return module


@pytest.mark.parametrize(
    "file", [None, elsewhere(), elsewhere(_global_forward_hooks=None), elsewhere(_all={})]
)
def test_a_torch_that_keeps_hooks_for_all_modules_elsewhere_is_not_asked_for_them(
    monkeypatch: pytest.MonkeyPatch, file: ModuleType | None
) -> None:
    """They are then not watched; what torch publishes is."""
    if file is None:
        monkeypatch.delitem(sys.modules, "torch.nn.modules.module")
    else:
        monkeypatch.setitem(sys.modules, "torch.nn.modules.module", file)
    with kept_process():
        pass
    with pytest.raises(SettingError, match="dtype: float64"), kept_process():
        torch.set_default_dtype(torch.float64)
    assert torch.get_default_dtype() == torch.float32
