"""The signals that ask a command to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

STOPPING: Final = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if name in signal.Signals.__members__
)
"""What asks a launch to end: Ctrl-C, a supervisor, a broken connection, a batch system before its limit."""
INSISTING: Final = tuple(number for number in STOPPING if not number.name.startswith("SIGUSR"))
"""A second one of these ends a launch at once; the others only ever ask it to drain."""

Handler = Callable[[int, FrameType | None], object]


@contextmanager
def handled(handle: Handler, numbers: Collection[signal.Signals]) -> Iterator[Sequence[signal.Signals]]:
    """Handle signals for the time of a block, if this is the main thread; gives those that are handled.

    Those that are ignored stay so (`nohup` lets SIGHUP be ignored), but for SIGINT, which shells let whatever
    runs in the background ignore. Afterwards the handlers are as before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield ()
        return
    before = {number: signal.getsignal(number) for number in numbers}
    ignored = {number for number, handler in before.items() if handler is signal.SIG_IGN}
    taken = tuple(number for number in numbers if number == signal.SIGINT or number not in ignored)
    for number in taken:
        signal.signal(number, handle)
    try:
        yield taken
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL if before[number] is None else before[number])
