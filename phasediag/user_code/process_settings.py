"""What is watched of a process while a user's code runs in it, and what a setting is.

A launch is more than one file: by settings of Python's and of the system's its sweep would lie elsewhere,
could not be read or ended, would end by itself, would train on fewer cores, or show its results nowhere.
These are put back without a word. Those of libraries are in `library_settings.py`.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProcessSetting:
    """Something of the process that can be read and put back."""

    name: str
    """In words."""
    read: Callable[[], Any]
    write: Callable[[Any], object]
    library: str = ""
    """The module that has it, where that need not be loaded."""
    grows: bool = False
    """Whether more of it is no change: what libraries add stays, what is missing is put back."""
    loaded: Callable[[], Any] | None = None
    """What it is where its library was loaded just now; None: nobody asks."""
    fault: Callable[[Any], str] | None = None
    """Why it is refused, of the value that is found, and what to do instead; None, or '': it is put back."""

    @property
    def there(self) -> bool:
        """Whether the process has it by now."""
        return not self.library or self.library in sys.modules

    def kept(self, before: Any) -> bool:
        """Whether it is as it was."""
        now = self.read()
        if self.grows:
            return all(any(each is other for other in now) for each in before)
        return bool(now == before)


def attribute_of(owner: Any, name: str, words: str = "") -> ProcessSetting:
    """An attribute of a module that is loaded."""
    return ProcessSetting(
        name=words or f"{owner.__name__}.{name}", read=lambda: getattr(owner, name),
        write=lambda value: setattr(owner, name, value),
    )  # fmt: skip


def _finders(name: str) -> ProcessSetting:
    """A list of `sys` by which modules are found."""

    def write(before: tuple[Any, ...]) -> None:
        finders = getattr(sys, name)
        finders[:] = [*before, *(each for each in finders if each not in before)]

    return ProcessSetting(name=f"sys.{name}", read=lambda: tuple(getattr(sys, name)), write=write, grows=True)


def _handlers() -> list[logging.Handler]:
    """The handlers of the log, but for those of blocks of `library_messages`, which come and go."""
    return [h for h in logging.root.handlers if not type(h).__module__.startswith("phasediag.")]


def _handle(before: list[logging.Handler]) -> None:
    for handler in _handlers():
        if handler not in before:
            logging.root.removeHandler(handler)
    for handler in before:
        logging.root.addHandler(handler)


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


STATUS: Final = Path("/proc/self/status")
"""Where Linux tells of a process."""


def _umask() -> int:
    """Which rights new files lack.

    Elsewhere than on Linux the system tells it only to who sets it; a file that another thread made just then
    could not be read by others.
    """
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    held = os.umask(0o077)
    os.umask(held)
    return held


LIMITS: Final = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
"""What the system limits a process in."""


def _limits() -> list[tuple[int, int]]:
    return [resource.getrlimit(limit) for limit in LIMITS]


def _set_limits(before: list[tuple[int, int]]) -> None:
    """Lift limits to what they were; a hard one that was lowered only who may can raise."""
    for limit, (soft, hard) in zip(LIMITS, before, strict=True):
        now = resource.getrlimit(limit)[1]
        try:
            resource.setrlimit(limit, (soft, hard))
        except ValueError:
            resource.setrlimit(limit, (now if soft == resource.RLIM_INFINITY else min(soft, now), now))


HANDLED: Final = tuple(
    getattr(signal, name)
    for name in (
        "SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGCHLD", "SIGPIPE", "SIGALRM",
        "SIGXFSZ", "SIGCONT", "SIGTSTP",
    )
    if hasattr(signal, name)
)  # fmt: skip
"""Signals by which a launch is ended, halted, told of its children, of pipes and of full files."""
TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
"""Alarms, by the clock and by the time that the process takes."""


class _Descriptors:
    """Copies of what standard output and standard error lead to; closed when nobody holds them."""

    def __init__(self) -> None:
        self.copies: dict[int, int] = {}
        for number in (1, 2):
            with suppress(OSError):  # closed before anything of the user's ran
                self.copies[number] = os.dup(number)

    def __del__(self) -> None:
        for copy in self.copies.values():
            os.close(copy)

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, _Descriptors)
        return self.copies.keys() == other.copies.keys() and all(
            os.path.sameopenfile(copy, other.copies[number]) for number, copy in self.copies.items()
        )

    __hash__ = None  # type: ignore[assignment]


def _lead(before: _Descriptors) -> None:
    for number, copy in before.copies.items():
        os.dup2(copy, number)


class _Environment:
    """Environment variables, and the object by which they are asked for; new ones stay, to be read later."""

    def __init__(self) -> None:
        self.owner, self.variables = os.environ, dict(os.environ)

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, _Environment)
        return self.owner is other.owner and not self._changed(other.variables)

    __hash__ = None  # type: ignore[assignment]

    def _changed(self, before: Mapping[str, str]) -> list[str]:
        return [name for name, value in before.items() if self.variables.get(name) != value]

    def put_back(self) -> None:
        """Change and add what is not as it was; the time zone is read from one of them."""
        os.environ = self.owner  # noqa: B003  # the same object, where another was put in its place
        changed = _Environment()._changed(self.variables)
        for name in changed:
            self.owner[name] = self.variables[name]
        if "TZ" in changed:
            time.tzset()


def _encodings() -> list[tuple[Any, ...]]:
    """How standard output and standard error write letters, and what they do with others."""
    return [(each, getattr(each, "encoding", None), getattr(each, "errors", None))
            for each in (sys.stdout, sys.stderr)]  # fmt: skip


def _encode(before: list[tuple[Any, ...]]) -> None:
    for stream, encoding, errors in before:
        if hasattr(stream, "reconfigure") and not stream.closed:
            stream.reconfigure(encoding=encoding, errors=errors)


def _handling() -> list[Any]:
    """What Python does on signals."""
    return [signal.getsignal(number) for number in HANDLED]


def _handle_signals(before: list[Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number, handler in zip(HANDLED, before, strict=True):
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _alarmed() -> list[bool]:
    """Which alarms are set; how long they wait goes on by itself."""
    return [any(signal.getitimer(timer)) for timer in TIMERS]


def _end_alarms(before: list[bool]) -> None:
    for timer, was_set in zip(TIMERS, before, strict=True):
        if not was_set:
            signal.setitimer(timer, 0)


def _trace(before: tuple[Any, ...]) -> None:
    sys.settrace(before[0])
    sys.setprofile(before[1])
    threading.settrace(before[2])
    threading.setprofile(before[3])


OF_PROCESS: Final = (
    *(attribute_of(sys, name) for name in (
        "stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook", "argv",
    )),
    *(_finders(name) for name in ("path", "meta_path", "path_hooks")),
    ProcessSetting(name="where standard output leads", read=_Descriptors, write=_lead),
    ProcessSetting(name="standard error", read=lambda: sys.stderr is not None and sys.stderr.closed,
            write=lambda held: None, fault=lambda now: "it closes standard error: leave that out"),
    ProcessSetting(name="the encoding of what is shown", read=_encodings, write=_encode),
    ProcessSetting(name="the handlers of the log", read=_handlers, write=_handle),
    attribute_of(threading, "excepthook"),
    attribute_of(warnings, "formatwarning"),
    attribute_of(tempfile, "tempdir"),
    attribute_of(tempfile, "template"),
    ProcessSetting(name="the recursion limit", read=sys.getrecursionlimit, write=sys.setrecursionlimit),
    ProcessSetting(name="the switching of threads", read=sys.getswitchinterval, write=sys.setswitchinterval),
    ProcessSetting(name="the digits of whole numbers", read=sys.get_int_max_str_digits,
            write=sys.set_int_max_str_digits),
    ProcessSetting(name="how libraries are opened", read=sys.getdlopenflags, write=sys.setdlopenflags),
    ProcessSetting(name="tracing", write=_trace,
            read=lambda: (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile())),
    ProcessSetting(name="the stack of threads", read=threading.stack_size, write=threading.stack_size),
    ProcessSetting(name="the collection of garbage", read=gc.isenabled,
            write=lambda on: gc.enable() if on else gc.disable()),
    ProcessSetting(name="how often garbage is collected", read=gc.get_threshold,
            write=lambda held: gc.set_threshold(*held)),
    ProcessSetting(name="what is told of garbage", read=gc.get_debug, write=gc.set_debug),
    ProcessSetting(name="the current folder", read=_current, write=_go),
    ProcessSetting(name="the process group", read=os.getpgrp, write=lambda held: os.setpgid(0, held)),
    ProcessSetting(name="environment variables", read=_Environment, write=_Environment.put_back),
    ProcessSetting(name="the rights of new files", read=_umask, write=os.umask),
    ProcessSetting(name="the limits of the process", read=_limits, write=_set_limits),
    ProcessSetting(name="the cores that may be used", read=_cores, write=_allow),
    ProcessSetting(name="the time to wait for a connection", read=socket.getdefaulttimeout,
            write=socket.setdefaulttimeout),
    ProcessSetting(name="the locale", read=lambda: locale.setlocale(locale.LC_ALL),
            write=lambda held: locale.setlocale(locale.LC_ALL, held)),
    ProcessSetting(name="the level of the log", read=lambda: logging.root.level, write=logging.root.setLevel),
    ProcessSetting(name="what is logged", read=lambda: logging.root.manager.disable, write=logging.disable),
    ProcessSetting(name="the class of loggers", read=logging.getLoggerClass, write=logging.setLoggerClass),
    ProcessSetting(name="alarms", read=_alarmed, write=_end_alarms),
    ProcessSetting(name="the handlers of signals", read=_handling, write=_handle_signals),
    ProcessSetting(name="blocked signals", read=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
            write=lambda held: signal.pthread_sigmask(signal.SIG_SETMASK, held)),
)  # fmt: skip
"""Python's and the system's; alarms are ended before the handlers of their signals are put back."""
