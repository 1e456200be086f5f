"""What a process has once for all of it, and a user's code may change: put back without a word.

A launch is more than one file: by these settings its sweep would lie elsewhere, it could not be ended or
would end by itself, would train on fewer cores, or show its results and its errors nowhere.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class ProcessSetting:
    """Something of the process that can be read and put back."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    library: str = ""
    """What has it, where that need not be loaded."""

    def kept(self, before: Any) -> bool:
        """Whether it is as it was."""
        return bool(self.read() == before)


def _attribute(owner: Any, name: str) -> ProcessSetting:
    return ProcessSetting(lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def _finders(name: str) -> ProcessSetting:
    """A list of `sys` by which modules are found: what is taken out is put back, what libraries add stays."""

    def write(before: tuple[Any, ...]) -> None:
        finders = getattr(sys, name)
        finders[:] = [*before, *(each for each in finders if each not in before)]

    return _Growing(lambda: tuple(getattr(sys, name)), write)


@dataclass(frozen=True, slots=True)
class _Growing(ProcessSetting):
    """What may become more, and not less."""

    def kept(self, before: Any) -> bool:
        """Whether nothing is missing."""
        now = self.read()
        return all(any(each is other for other in now) for each in before)


def _handlers() -> list[logging.Handler]:
    """The handlers of the log, but for those of blocks of `library_messages`, which come and go."""
    return [h for h in logging.root.handlers if not type(h).__module__.startswith("phasediag.")]


def _handle(before: list[logging.Handler]) -> None:
    for handler in _handlers():
        if handler not in before:
            logging.root.removeHandler(handler)
    for handler in before:
        logging.root.addHandler(handler)


def _of_torch(read: str, write: str) -> ProcessSetting:
    """A setting with a function to read it and one to write it, dotted from `torch`."""

    def part_of_torch(name: str) -> Any:
        thing: Any = sys.modules["torch"]
        for part in name.split("."):
            thing = getattr(thing, part)
        return thing

    return ProcessSetting(lambda: part_of_torch(read)(), lambda value: part_of_torch(write)(value), "torch")


def _of_backend(path: str, name: str) -> ProcessSetting:
    """A flag of one of torch's backends."""
    return ProcessSetting(
        lambda: getattr(sys.modules[path], name), lambda value: setattr(sys.modules[path], name, value), path
    )


def _flushes() -> bool:
    """Whether the smallest numbers are taken for zero; torch has no function that tells."""
    torch = sys.modules["torch"]
    return float(torch.full((), 1e-310, dtype=torch.float64, device="cpu") * 1) == 0


def _cores() -> set[int] | None:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def _allow(cores: set[int] | None) -> None:
    if cores is not None:
        os.sched_setaffinity(0, cores)


def _go(folder: str) -> None:
    if folder:
        os.chdir(folder)


def _current() -> str:
    """The current folder; empty where it is gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


SETTINGS: Final = (
    *(_attribute(sys, name) for name in (
        "stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook", "argv",
    )),
    _finders("meta_path"),
    _finders("path_hooks"),
    ProcessSetting(_handlers, _handle),
    _attribute(threading, "excepthook"),
    _attribute(warnings, "formatwarning"),
    _attribute(tempfile, "tempdir"),
    ProcessSetting(sys.getrecursionlimit, sys.setrecursionlimit),
    ProcessSetting(sys.getswitchinterval, sys.setswitchinterval),
    ProcessSetting(threading.stack_size, threading.stack_size),
    ProcessSetting(gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    ProcessSetting(_current, _go),
    ProcessSetting(_cores, _allow),
    ProcessSetting(socket.getdefaulttimeout, socket.setdefaulttimeout),
    ProcessSetting(
        lambda: locale.setlocale(locale.LC_ALL), lambda held: locale.setlocale(locale.LC_ALL, held)
    ),
    ProcessSetting(lambda: logging.root.level, logging.root.setLevel),
    ProcessSetting(lambda: logging.root.manager.disable, logging.disable),
    ProcessSetting(logging.getLoggerClass, logging.setLoggerClass),
    ProcessSetting(
        lambda: sys.modules["numpy"].geterr(), lambda held: sys.modules["numpy"].seterr(**held), "numpy",
    ),
    ProcessSetting(
        lambda: sys.modules["numpy"].get_printoptions(),
        lambda held: sys.modules["numpy"].set_printoptions(**held), "numpy",
    ),
    _of_torch("get_num_threads", "set_num_threads"),
    _of_torch("are_deterministic_algorithms_enabled", "use_deterministic_algorithms"),
    _of_torch("is_anomaly_enabled", "autograd.set_detect_anomaly"),
    ProcessSetting(_flushes, lambda held: sys.modules["torch"].set_flush_denormal(held), "torch"),
    *(_of_backend("torch.backends.cudnn", name) for name in ("enabled", "benchmark", "deterministic")),
    _of_backend("torch.backends.mkldnn", "enabled"),
)  # fmt: skip


HANDLED: Final = tuple(
    getattr(signal, name)
    for name in (
        "SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGCHLD", "SIGPIPE", "SIGALRM",
    )
    if hasattr(signal, name)
)  # fmt: skip
"""Signals by which a launch is ended, told of its children and of pipes, or that end it."""


@contextmanager
def kept_process() -> Iterator[None]:
    """Put back what is changed of the process within a block; alarms end with the block that sets them."""
    before = [(s, s.read()) for s in SETTINGS if not s.library or s.library in sys.modules]
    of_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in HANDLED} if of_main else {}
    timed = any(signal.getitimer(signal.ITIMER_REAL))
    try:
        yield
    finally:
        if not timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        for setting, value in before:
            if not setting.kept(value):
                with suppress(OSError, ValueError):  # a folder, or cores, that are gone by now
                    setting.write(value)


@contextmanager
def kept_environment() -> Iterator[None]:
    """Put back environment variables that are changed or removed within a block.

    New ones stay: code of the user's may read them later.
    """
    environment, before = os.environ, dict(os.environ)
    try:
        yield
    finally:
        os.environ = environment  # noqa: B003  # the same object, where another was put in its place
        for name, value in before.items():
            if environment.get(name) != value:
                environment[name] = value
