"""A cluster that is gone is told in a line: Ray would go on for a minute, and end the process without one."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import ray

from phasediag.errors import MACHINE_FAILED
from phasediag.executors.ray_tune.connection import knock
from phasediag.executors.ray_tune.local import crashed, end_processes
from phasediag.executors.repeating import repeating

LOOK_SECONDS: Final = 5.0
GONE_SECONDS: Final = 30.0
"""For so long nothing must answer; Ray (2.59, 2.60) itself ends the process after 60."""


def ending_with_the_cluster(scratch: str, *, local: bool) -> AbstractContextManager[None]:
    """End the process where its cluster does not answer any more, for the time of a block.

    Nothing else can be done: whatever waits for an answer of Ray's waits for ever.

    Parameters
    ----------
    scratch
        A folder to be removed before.
    local
        Whether it is a Ray of the launch's own.
    """
    head = ClusterHead(address=str(ray.get_runtime_context().gcs_address), scratch=scratch, local=local)
    return repeating(head.look, every_s=LOOK_SECONDS, name="cluster")


@dataclass(slots=True, kw_only=True)
class ClusterHead:
    """Where a cluster answers, and since when it does not."""

    address: str
    scratch: str
    local: bool = False
    silent: float | None = None
    """When it first did not answer, in seconds of this process's clock; None while it does."""

    def look(self) -> bool:
        """Knock once, and end the process where nothing has answered for long; True: look again.

        Of a Ray of the launch's own the processes are looked at, too: where its raylet has ended, its control
        store still answers, and Ray (2.59, 2.60) ends this process half a minute later without a word.
        """
        if self.local and crashed():
            self._end()
        try:
            knock(self.address, within=LOOK_SECONDS)
            self.silent = None
        except OSError:
            self.silent = time.monotonic() if self.silent is None else self.silent
            if time.monotonic() - self.silent >= GONE_SECONDS:
                self._end()
        return True

    def _end(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        what, when = ("Ray of this launch", "") if self.local else ("Ray cluster", " when there is a cluster")
        sys.stderr.write(
            f"\nerror: the {what} at '{self.address}' is gone; all that was recorded is kept: launch "
            f"the same grid again{when}\n"
        )
        sys.stderr.flush()
        if self.local:
            end_processes()
        os._exit(MACHINE_FAILED)
