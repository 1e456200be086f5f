"""Commands of phasediag in processes forked from one that has loaded all they take, with a trap in some.

A trap counts what Python writes, moves and removes in a folder, by audit events, and springs at one of them;
or it counts the steps of the commits of packs.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

import pytest
import torch

from phasediag import cli
from phasediag.commands import launching
from phasediag.errors import PhasediagError
from phasediag.executors import inline
from phasediag.executors.array import executor, following, leading
from phasediag.models import mlp
from phasediag.running import pack_run
from phasediag.storage import store
from phasediag.storage.damage import DamageWarning
from phasediag.storage.store import Store
from phasediag.sweeps import planning, sweep
from phasediag.tasks import teacher_student

LOADED: Final = (launching, planning, sweep, mlp, teacher_student)
"""What a launch would load in its own process."""
HURRIED: Final = (
    (inline, "SLICE_SECONDS", 0.05), (executor, "SLICE_SECONDS", 0.05), (following, "SLICE_SECONDS", 0.1),
    (following, "LEASE_SECONDS", 0.5), (following, "FIRST_IDLE", 0.05), (following, "MOST_IDLE", 0.2),
    (leading, "LOOK_SECONDS", 0.05), (pack_run, "CHECKPOINT_SECONDS", 0.05),
    (pack_run, "CHECKPOINT_SHARE", 0.5),
)  # fmt: skip
"""What is done every few seconds in trainings of minutes, for trainings of a second."""
WRITES: Final = os.O_WRONLY | os.O_RDWR
STEPS: Final = (
    "before write_fragment", "before write_rows", "after write_fragment", "after drop_checkpoint",
)  # fmt: skip
"""Of a commit: all is computed; the measurements are written; the trials, too; and nobody was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """What happens to a process at one of its writes."""

    kind: str
    """`kill`, `failing`, `short` or `clock`."""
    at: int
    """The number of that write, or of that step."""
    step: str = ""
    """Of `kill`: one of `STEPS`, instead of a write."""
    delay_s: float = 0.0
    """Of `kill`: so long after it."""
    number: int = 0
    """Of `failing`: what the system says."""
    lasting_s: float = 0.0
    """Of `failing`: for so long."""
    size: int = 0
    """Of `short`: no file can be longer."""
    step_s: float = 0.0
    """Of `clock`: by so much it is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process is to do."""

    arguments: tuple[str, ...]
    """Of phasediag."""
    folder: str
    """Where the trap watches."""
    said: str
    """The file of what it says."""
    log: str
    """The file that tells which trainings were begun: a line with the id of the trial, for each, and behind
    it `again` where it was committed by then."""
    trap: Trap | None = None


def started(order: Order) -> ForkServerProcess:
    """Start a process; it has begun once the file of what it says is there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=carry_out, args=(order,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # where the server finds this module
        process.start()
    return process


def carry_out(order: Order) -> None:
    """Run a command of phasediag in this process, and end it."""
    handle = os.open(order.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (1, 2):
        os.dup2(handle, stream)
    torch.set_num_threads(1)
    random.seed()
    pack_run.TileRun = logged(order.log)  # type: ignore[misc]
    for module, name, value in HURRIED:
        setattr(module, name, value)
    if order.trap is not None and order.trap.step:
        set_at_step(order.trap)
    elif order.trap is not None:
        set_trap(order.trap, order.folder)
    code: Any = 0
    try:
        cli.main(list(order.arguments))
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:  # of a signal that came when the command was at its end
        code = 130
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def logged(log: str) -> type[pack_run.TileRun]:
    """Tiles that tell of themselves before they are trained, in one write each."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    class Logged(pack_run.TileRun):
        def __init__(self, pack: Any, job: Any, device: Any, work: Any) -> None:
            ids, known = pack.trials.trial_id[work.rows].tolist(), committed(Path(job.sweep))
            lines = (f"{each} again\n" if each in known else f"{each}\n" for each in ids)
            os.write(handle, "".join(lines).encode())
            super().__init__(pack, job, device, work)

    return Logged


def committed(sweep: Path) -> set[str]:
    """The trials of which the store says so now, as far as it can be read."""
    with warnings.catch_warnings(), suppress(PhasediagError):
        warnings.simplefilter("ignore", DamageWarning)
        known = Store.at(sweep).committed()
        pairs = zip(known.trial_id.to_pylist(), known.status.to_pylist(), strict=True)
        return {name for name, status in pairs if status in ("ok", "diverged")}
    return set()


def set_at_step(trap: Trap) -> None:
    """Let a process be killed at a step of a commit."""
    when, name = trap.step.split()
    place: Any = store if name == "write_rows" else store.Store
    act, calls = getattr(place, name), 0

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += name != "write_rows" or given[1] == "trials"
        if calls == trap.at and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = act(*given, **named)
        if calls == trap.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(place, name, counted)


def set_trap(trap: Trap, folder: str) -> None:
    """Let the trap spring at a write in a folder."""
    writes, springing = 0, Springing(trap)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal writes
        path = written(event, arguments)
        if path is None or not path.startswith(folder):
            return
        writes += 1
        if writes >= trap.at:
            springing(event, path, first=writes == trap.at)

    sys.addaudithook(hook)


def written(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The path that an event of Python's writes, moves or removes; None where it does not."""
    if event == "open":
        path, mode, flags = arguments
        if not (flags & WRITES if isinstance(flags, int) else set(mode or "") & set("wax+")):
            return None
    elif event not in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"):
        return None
    path = arguments[0]
    return None if isinstance(path, int) else os.fsdecode(path)


class Springing:
    """What a trap does."""

    def __init__(self, trap: Trap) -> None:
        self.trap, self.until = trap, 0.0
        self.ways: Mapping[str, Callable[[str, str], None]] = {
            "kill": self.kill, "failing": self.fail, "short": self.shorten, "clock": self.set_clock,
        }  # fmt: skip

    def __call__(self, event: str, path: str, *, first: bool) -> None:
        if first or self.trap.kind == "failing":
            self.ways[self.trap.kind](event, path)

    def kill(self, event: str, path: str) -> None:
        if not self.trap.delay_s:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.setitimer(signal.ITIMER_REAL, self.trap.delay_s)  # whose signal ends a process as a kill does

    def fail(self, event: str, path: str) -> None:
        self.until = self.until or time.monotonic() + self.trap.lasting_s
        if time.monotonic() < self.until:
            raise OSError(self.trap.number, os.strerror(self.trap.number), path)

    def shorten(self, event: str, path: str) -> None:
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.trap.size, most))

    def set_clock(self, event: str, path: str) -> None:
        real, real_ns, step = time.time, time.time_ns, self.trap.step_s
        time.time = lambda: real() + step
        time.time_ns = lambda: real_ns() + int(step * 1e9)
