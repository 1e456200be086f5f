"""What a process has once for all its files: torch's defaults and threads, signals, the current folder."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Defaults = tuple[torch.dtype, torch.device, bool]


ENDING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
"""Signals by which a launch is ended."""


@contextmanager
def kept_defaults() -> Iterator[None]:
    """Put back what a user's code changes of the process, and refuse the change of torch's defaults.

    By these other networks of the process would be built too, in an order that nobody promises. The current
    folder, the number of torch's threads, what signals do, alarms, where is printed to, how an error is shown
    and how deep calls may go are as before without a word: by them a storage that is named from the current
    folder would lie elsewhere, a launch could not be ended or would end by itself, and its results or its
    error would be shown nowhere.

    Raises
    ------
    RuntimeError
        Where the default type or device is another one afterwards, or gradients are switched on or off.
    """
    before = _defaults() if "torch" in sys.modules else None
    try:
        with _kept_process():
            yield
    except BaseException:
        _restore(before)
        raise
    if fault := _restore(before):
        raise RuntimeError(fault)


@contextmanager
def _kept_process() -> Iterator[None]:
    folder = _current()
    of_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in ENDING} if of_main else {}
    streams, deepest = (sys.stdout, sys.stderr), sys.getrecursionlimit()
    hook, timed = sys.excepthook, any(signal.getitimer(signal.ITIMER_REAL))
    threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        sys.excepthook = hook
        sys.setrecursionlimit(deepest)
        if not timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if folder and _current() != folder:
            os.chdir(folder)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        if threads is not None and sys.modules["torch"].get_num_threads() != threads:
            sys.modules["torch"].set_num_threads(threads)


def _current() -> str:
    """The current folder; empty where it is gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def _restore(before: Defaults | None) -> str:
    """Put defaults back; what was changed, in words, and what to do instead."""
    if "torch" not in sys.modules:
        return ""

    import torch

    dtype, device, gradients = before or (torch.float32, torch.device("cpu"), True)
    now = _defaults()
    if now[0] != dtype:
        torch.set_default_dtype(dtype)
        remedy = "leave that out, and write dtype: float64 in the grid"
        return f"it sets torch's default dtype to {now[0]}: {remedy}"
    if now[1] != device:
        torch.set_default_device(None if device == torch.device("cpu") else device)
        return f"it sets torch's default device to {now[1]}: leave that out; the grid's resources say where"
    if now[2] != gradients:
        torch.set_grad_enabled(gradients)
        return f"it leaves gradients switched {'on' if now[2] else 'off'}: use a with statement"
    return ""


def _defaults() -> Defaults:
    import torch

    return torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
