"""A Ray of the launch's own on this machine, and what to do where it does not start."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import ray

from phasediag.environment import environment
from phasediag.errors import WAYS_OUT
from phasediag.executors.places import allowed_cores
from phasediag.executors.ray_tune import quick_start
from phasediag.executors.ray_tune.folders import SHARED_BYTES

SAID: Final = {
    "No space left": "ENOSPC", "quota exceeded": "EDQUOT", "Read-only file system": "EROFS",
    "Permission denied": "EACCES", "Too many open files": "EMFILE",
    "Resource temporarily unavailable": "EAGAIN", "can't start new thread": "EAGAIN",
    "Cannot allocate memory": "ENOMEM",
}  # fmt: skip
"""Errors of the operating system as Ray repeats them in words."""
BUSY: Final = ("timed out", "timeout", "overloaded", "in time", "within")
"""In what Ray says of a machine that is too slow for it."""
ESSENTIAL: Final = ("raylet", "gcs_server")
"""The programs without which a Ray does nothing more."""
_STARTED: Final[list[subprocess.Popen[Any]]] = []
"""The processes that lead the groups of the local Ray."""


def start(folder: Path | None, quiet: Mapping[str, Any], preloaded: str = "") -> None:
    """Start it, with shortcuts where they serve.

    Parameters
    ----------
    folder
        Where it keeps its files; None: where it does so by itself.
    quiet
        Options of `ray.init`.
    preloaded
        A module that a worker for every core may load at once; empty: none.
    """
    options: dict[str, Any] = {
        "address": "local", "num_cpus": allowed_cores(), "include_dashboard": False,
        "object_store_memory": SHARED_BYTES, **quiet,
    }  # fmt: skip
    _STARTED.clear()  # those of a Ray before have ended, which says nothing of this one
    # by the environment, for `ray.init` itself has no published option for it
    held = {**_own_token(), **({} if folder is None else {"RAY_TMPDIR": str(folder)})}
    with environment(held), _own_process_groups():
        if quick_start.wanted():
            with suppress(Exception), quick_start.of_ray(preloaded):
                ray.init(**options)
                return
            ray.shutdown()
            _STARTED.clear()
        ray.init(**options)


def _own_token() -> dict[str, str]:
    """A token of this launch's own, where the home folder cannot keep one.

    A local Ray (2.59, 2.60) asks its own processes for a token unless RAY_AUTH_MODE is `disabled`, and writes
    the one that it makes to `~/.ray`.
    """
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if named or os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return {}
    kept = Path.home() / ".ray"
    try:
        if not (kept / "auth_token").exists():
            kept.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=kept) as trial:
                trial.write(uuid4().hex.encode())
    except (OSError, RuntimeError):
        return {"RAY_AUTH_TOKEN": 2 * uuid4().hex}
    return {}


@contextmanager
def _own_process_groups() -> Iterator[None]:
    """Let each process that this thread starts lead a process group of its own, for the time of a block.

    A signal to the group of the launch, as GNU `timeout` and many supervisors send, would otherwise end Ray
    before the packs are set aside. They still end with the launch: Ray (2.59, 2.60) has Linux end them when
    their parent dies, and offers no such option itself.
    """
    popen: Any = subprocess.Popen
    common, thread = popen.__init__, threading.get_ident()

    def leading(process: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
        if threading.get_ident() == thread and not options.get("start_new_session"):
            options.setdefault("process_group", 0)
        common(process, *arguments, **options)
        if options.get("process_group") == 0:
            _STARTED.append(process)

    popen.__init__ = leading
    try:
        yield
    finally:
        popen.__init__ = common


def crashed() -> bool:
    """Whether a process of the local Ray has ended without which nothing can be trained any more."""
    commands = [process.args for process in _STARTED if process.poll() is not None]
    programs = [each[0] if isinstance(each, list | tuple) else each for each in commands]
    return any(Path(str(program)).name in ESSENTIAL for program in programs)


def end_processes() -> None:
    """End the processes of the local Ray and those that these have started, without asking them.

    Without its control store a Ray (2.59, 2.60) ends by itself, but its agents only after a minute.
    """
    for process in _STARTED:
        if process.returncode is None:  # else the number may be another's by now
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)


def way_out(error: Exception, blocked: Mapping[str, str] = MappingProxyType({})) -> str:
    """What to do where a local Ray did not start.

    Parameters
    ----------
    blocked
        Places that it needs and in which it cannot write what it needs, with the reasons.
    """
    if blocked:
        places = ", ".join(f"{place} ({reason})" for place, reason in blocked.items())
        return f"it needs to write in {places}: make that possible, and launch again"
    message = str(error)
    numbers = {name: getattr(errno, code) for name, code in SAID.items() if name in message}
    number = error.errno if isinstance(error, OSError) else next(iter(numbers.values()), None)
    advice = next((advice for codes, advice in WAYS_OUT.items() if number in codes), "")
    if "AF_UNIX" in message:
        advice = "name a folder with a shorter path in RAY_TMPDIR"
    if advice:
        return f"{advice} (Ray keeps its files in RAY_TMPDIR, TMPDIR or /tmp); then launch again"
    if any(word in message.lower() for word in BUSY):
        return (
            "it gives up where the machine is too busy or short of memory: launch again when there is "
            "less to do"
        )
    return "launch again"
