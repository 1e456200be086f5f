"""Who runs a launch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from phasediag.running.job import Job
from phasediag.storage.folder import Folder

if TYPE_CHECKING:
    from phasediag.executors.dispatch import Dispatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """The workers of a launch."""

    now: int
    """How many there can be at once as it starts."""
    grows: bool = False
    """Whether more may join, as many as find work."""


class Executor(Protocol):
    """Trains what a ledger holds, on places that claim from it."""

    def ready(self, folder: Folder, trials: int) -> AbstractContextManager[Staff]:
        """Hold what is needed to train so many trials, and tell who trains."""

    def run(self, dispatch: Dispatch, job: Job) -> None:
        """Train until nothing is left or the launch drains."""
