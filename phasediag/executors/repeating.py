"""Something that is done again and again beside a block of code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeating(act: Callable[[], bool], *, every_s: float, name: str) -> Iterator[None]:
    """Call something again and again in a thread of its own, for the time of a block.

    The block ends once the last call has.

    Parameters
    ----------
    act
        Returns whether it is to be called again; it raises nothing.
    every_s
        Seconds before the first call, and between the end of one and the next.
    name
        Of the thread.
    """
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(every_s) and act():
            pass

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
