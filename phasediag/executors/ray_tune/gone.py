"""A cluster that is gone is told in a line: Ray would go on for a minute, and end the process without one."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import ray

from phasediag.errors import MACHINE_FAILED
from phasediag.executors.ray_tune.connection import knock

LOOK_SECONDS: Final = 5.0
GONE_SECONDS: Final = 30.0
"""For so long nothing must answer; Ray (2.59, 2.60) itself ends the process after 60."""


@contextmanager
def ending_with_the_cluster(scratch: str) -> Iterator[None]:
    """End the process where its cluster does not answer any more, for the time of a block.

    Nothing else can be done: whatever waits for an answer of Ray's waits for ever.

    Parameters
    ----------
    scratch
        A folder to be removed before.
    """
    address, stop = str(ray.get_runtime_context().gcs_address), threading.Event()
    thread = threading.Thread(target=_look, args=(address, scratch, stop), name="cluster", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()


def _look(address: str, scratch: str, stop: threading.Event) -> None:
    answered = time.monotonic()
    while not stop.wait(LOOK_SECONDS):
        try:
            knock(address)
            answered = time.monotonic()
        except OSError:
            if time.monotonic() - answered < GONE_SECONDS:
                continue
            shutil.rmtree(scratch, ignore_errors=True)
            sys.stderr.write(
                f"\nerror: the Ray cluster at '{address}' is gone; all that was recorded is kept: launch the "
                "same grid again when there is a cluster\n"
            )
            sys.stderr.flush()
            os._exit(MACHINE_FAILED)
