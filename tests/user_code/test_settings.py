"""Each setting that is watched: put back, or refused; also where torch lacks what it does not publish."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import phasediag
from phasediag.user_code import library_settings, process_settings
from phasediag.user_code.process import SETTINGS, SettingError, kept_process
from small_sweeps import write


def lowered(limit: int, to: int) -> Callable[[], Any]:
    return lambda: resource.setrlimit(limit, (to, resource.getrlimit(limit)[1]))


def rights() -> int:
    held = os.umask(0o22)
    os.umask(held)
    return held


BACKENDS: Any = torch.backends
CHANGED: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "rights of new files": (lambda: os.umask(0o777), rights),
    "size of files": (
        lowered(resource.RLIMIT_FSIZE, 100), lambda: resource.getrlimit(resource.RLIMIT_FSIZE),
    ),
    "open files": (
        lowered(resource.RLIMIT_NOFILE, 64), lambda: resource.getrlimit(resource.RLIMIT_NOFILE),
    ),
    "blocked signals": (
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM}),
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    ),
    "full files": (
        lambda: signal.signal(signal.SIGXFSZ, signal.SIG_DFL), lambda: signal.getsignal(signal.SIGXFSZ),
    ),
    "alarms of its own time": (
        lambda: [signal.setitimer(kind, 1000) for kind in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        lambda: [signal.getitimer(kind) for kind in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
    ),
    "garbage, how often": (lambda: gc.set_threshold(1, 1, 1), gc.get_threshold),
    "what is traced": (
        lambda: [each(lambda *given: None) for each in (sys.setprofile, threading.settrace)],
        lambda: (sys.getprofile(), threading.gettrace()),
    ),
    "digits": (lambda: sys.set_int_max_str_digits(640), sys.get_int_max_str_digits),
    "names of temporary files": (lambda: setattr(tempfile, "template", "/"), lambda: tempfile.template),
    "Python's path": (lambda: setattr(sys, "path", []), lambda: list(sys.path)),
    "how processes are begun": (
        lambda: multiprocessing.set_start_method("spawn", force=True),
        lambda: multiprocessing.get_start_method(allow_none=True),
    ),
    "buffers of numpy": (lambda: np.setbufsize(1600), np.getbufsize),
    "determinism that only warns": (
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
        torch.is_deterministic_algorithms_warn_only_enabled,
    ),
    "what empty memory holds": (
        lambda: setattr(torch.utils.deterministic, "fill_uninitialized_memory", False),
        lambda: torch.utils.deterministic.fill_uninitialized_memory,
    ),
    "what becomes of parameters": (
        lambda: torch.__future__.set_swap_module_params_on_conversion(True),
        torch.__future__.get_swap_module_params_on_conversion,
    ),
    "attention": (lambda: BACKENDS.cuda.enable_math_sdp(False), BACKENDS.cuda.math_sdp_enabled),
    "finer convolutions": (
        lambda: setattr(BACKENDS.cudnn, "allow_tf32", False),
        lambda: (BACKENDS.cudnn.allow_tf32, BACKENDS.cudnn.conv.fp32_precision),
    ),
}  # fmt: skip
"""What a file changes of the process, and how to see it."""


@pytest.mark.parametrize("what", CHANGED)
def test_what_a_file_changes_is_put_back(what: str) -> None:
    change, seen = CHANGED[what]
    before = seen()
    with kept_process():
        change()
        changed = seen() != before
    assert changed
    assert seen() == before


def test_a_path_that_is_added_stays() -> None:
    """Modules that a class imports later are found by it."""
    before = list(sys.path)
    try:
        with kept_process():
            sys.path.insert(0, "/of/the/user")
        assert sys.path == ["/of/the/user", *before] or sys.path == [*before, "/of/the/user"]
    finally:
        sys.path[:] = before


SHOWN = """
import os, sys
from phasediag.user_code.process import kept_process

with kept_process():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stderr.reconfigure(encoding="ascii", errors="strict")
os.write(1, b"results")
print("\\u03b5", file=sys.stderr)
"""


def test_standard_output_leads_where_it_led_and_writes_every_letter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOWN], capture_output=True, encoding="utf-8", check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("results", "\u03b5\n")


class Doubling(TorchFunctionMode):
    """Every tanh is twice as large."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        return 2 * made if func is torch.tanh else made


class Passing(TorchDispatchMode):
    """Every operator is as it was."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


REFUSED: dict[str, Callable[[], Any]] = {
    r"mode of torch switched on \(Doubling\)": lambda: Doubling().__enter__(),
    r"mode of torch switched on \(Passing\)": lambda: Passing().__enter__(),
    "hooks of saved tensors": lambda: torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: 2 * tensor, lambda tensor: tensor
    ).__enter__(),
    "products of float32 to 'bf16'": lambda: setattr(BACKENDS.mkldnn.matmul, "fp32_precision", "bf16"),
    "products of float32 to 'tf32'": lambda: setattr(BACKENDS, "fp32_precision", "tf32"),
    "products of float32 to 'high'": lambda: setattr(BACKENDS.cuda.matmul, "allow_tf32", True),
}  # fmt: skip
"""By which other networks of the process would come out otherwise."""


def slope(x: torch.Tensor) -> torch.Tensor:
    return torch.func.grad(lambda y: torch.tanh(y * y))(x)


@pytest.mark.parametrize("words", REFUSED)
def test_what_decides_on_numbers_is_refused_and_put_back(words: str) -> None:
    x = torch.tensor(0.5)
    before, held = slope(x), {setting: setting.read() for setting in SETTINGS if setting.there}
    with pytest.raises(SettingError, match=words), kept_process():
        [REFUSED[words]() for _ in range(2)]  # as a file does that is imported twice
    assert torch.equal(slope(x), before)
    assert [setting.name for setting, value in held.items() if not setting.kept(value)] == []
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(("module", "name"), library_settings._STACKS)
def test_a_torch_without_a_list_of_its_modes(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    """It is not published: such a change is not seen then, and all else is as before."""
    for rest in ((module, f"{name}_no_more"), (f"{module}_no_more", name)):
        monkeypatch.setattr(library_settings, "_STACKS", (rest,))
        with pytest.raises(SettingError, match="gradients switched off"), kept_process():
            torch.set_grad_enabled(False)
        with kept_process():
            assert torch.is_grad_enabled()


NET = """
import os
import signal
import sys

import torch
from phasediag.training.data import Task as Fixed


def change():
    os.umask(0o777)
    os.chdir("/")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(3)


class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.only = torch.nn.Linear(inputs, outputs)

    def forward(self, x):
        {passing}
        return self.only(x)


class Task(Fixed):
    def __init__(self, values, streams):
        super().__init__(values, streams)
        {making}

    @staticmethod
    def sizes(values):
        return 2, 1

    def train_set(self):
        x = torch.from_numpy(self.streams.generator("data").normal(size=(8, 2)))
        {data}
        return x, x[:, :1]

    def test_set(self):
        return self.train_set()

    @staticmethod
    def loss(prediction, target):
        {loss}
        return (prediction - target).square().mean()
"""


@pytest.mark.parametrize("place", ["passing", "making", "data", "loss"])
def test_what_passes_losses_and_data_change_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Files of the sweep could be read by nobody, and SIGTERM ended no launch."""
    monkeypatch.chdir(tmp_path)
    places = dict.fromkeys(("passing", "making", "data", "loss"), "pass") | {place: "change()"}
    write(tmp_path, NET.format(**places), "my_net.py")
    fixed = '{task: "my_net.py:Task", model: "my_net.py:Net", steps: 3, batch_size: 4}'
    grid = write(tmp_path, f"name: g\nfixed: {fixed}\n")

    def state() -> list[Any]:
        handler = signal.getsignal(signal.SIGTERM)
        return [rights(), os.getcwd(), handler, torch.get_num_threads()]

    before = state()
    try:
        outcome = phasediag.launch(grid.name, "sweeps", executor="inline", compile="off")
        after = state()
    finally:
        os.umask(before[0])
        signal.signal(signal.SIGTERM, before[2])
        torch.set_num_threads(before[3])
    assert after == before
    assert outcome.status.ok == 1
    written = [file for file in (tmp_path / "sweeps").rglob("*") if file.is_file()]
    assert [file for file in written if file.stat().st_mode & 0o600 != 0o600] == []


def test_the_rights_of_new_files_are_read_and_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that another thread makes meanwhile has the rights that it should."""
    held = os.umask(0o027)
    try:
        with monkeypatch.context() as patched:
            if sys.platform == "linux":
                patched.delattr(os, "umask")
            assert process_settings._umask() == 0o027
        monkeypatch.setattr(process_settings, "STATUS", tmp_path / "none")
        assert process_settings._umask() == 0o027
        assert process_settings._umask() == 0o027
    finally:
        os.umask(held)
