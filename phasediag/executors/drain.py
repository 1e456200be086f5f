"""Ending a launch early: by a signal, by its time limit, or because it cannot go on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from phasediag.errors import INTERRUPTED
from phasediag.executors.signals import INSISTING, STOPPING, Handler, handled
from phasediag.running.job import Breakdown

ONE_SIGNAL: Final = 0.2
"""Seconds within which two signals are one."""


@dataclass(slots=True, kw_only=True)
class Drain:
    """Whether a launch is to end early, and why.

    Then no more packs are taken, what is finished is committed, and a checkpoint is kept of what is not.
    Signals, the thread of the lease and reports of workers ask for it; the first reason stays.
    """

    deadline: float | None = None
    """`time.monotonic()` at which it begins; None: never."""
    reason: str = ""
    """Why; empty while the launch goes on."""
    breakdown: Breakdown | None = None
    """What makes it pointless to go on, such as a full disk; None while there is nothing."""
    signalled: float | None = None
    """`time.monotonic()` of the first signal of `INSISTING`; None: there was none."""
    handler: tuple[Handler, Sequence[signal.Signals]] | None = None
    """What takes which signals; None where none are taken."""

    def begin(self, reason: str) -> None:
        """Let the launch end early."""
        self.reason = self.reason or reason

    def fail(self, breakdown: Breakdown) -> None:
        """Let the launch end early, because nothing can be kept, or nothing trained, any more."""
        self.breakdown = self.breakdown or breakdown
        self.begin(breakdown.error)

    def due(self) -> bool:
        """Whether the launch is to end early; executors ask a few times a second, and after every report."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.begin("the time limit is near")
        return bool(self.reason)

    def keep_signals(self) -> None:
        """Take its signals back from whoever has handlers of its own for them, as Ray Tune has."""
        handle, numbers = self.handler or (None, ())
        for number in numbers:
            if signal.getsignal(number) is not handle:
                signal.signal(number, handle)


@contextmanager
def draining_on_signals(drain: Drain) -> Iterator[None]:
    """Let the first of `STOPPING` drain the launch, and a second one of `INSISTING` end it at once.

    A second one within `ONE_SIGNAL` seconds is the first once more: GNU `timeout` signals its child, and then
    its whole process group. The others ask, however often: so a script may hand on a signal that the launch
    has had, too. What else has begun the drain, such as a time limit, makes the first signal no second one.
    A signal that was ignored before, as `nohup` does with SIGHUP, stays ignored.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if number not in INSISTING:
            drain.begin(name)
            return
        now = time.monotonic()
        if drain.signalled is None:
            drain.signalled = now
            drain.begin(f"{name}; again to stop at once")
        elif now - drain.signalled >= ONE_SIGNAL:
            os._exit(INTERRUPTED)

    with handled(handle, STOPPING) as numbers:
        drain.handler = (handle, numbers)
        yield


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let a SIGTERM within the block end it as interrupted, whatever it makes of the signal.

    Afterwards the handler is as before: the start of Ray brings one that ends the process.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as ended:
        raise SystemExit(INTERRUPTED) from ended
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
