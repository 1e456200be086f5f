"""What a launch knows while it runs, and how it is told to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

from phasediag.errors import INTERRUPTED
from phasediag.storage.folder import Folder
from phasediag.training.pack import Pack
from phasediag.training.rows import Job
from phasediag.training.tile_run import PHASES
from phasediag.training.worker import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class LostPack:
    """A pack whose workers died under it again and again."""

    pack: Pack
    error: str


@dataclass(slots=True, kw_only=True)
class Watch:
    """The state of a launch, as its executor reports it."""

    total: int
    """Trials that this launch has to train."""
    max_failures: int | None = None
    """Failed trials after which it drains; None: never."""
    deadline: float | None = None
    """`time.monotonic()` at which it drains; None: never."""
    observer: Callable[[Watch], None] = lambda watch: None
    """Called after every report."""
    reports: dict[str, Progress] = field(default_factory=dict)
    """The latest of every pack, by pack_id."""
    packs: dict[str, Pack] = field(default_factory=dict)
    """All packs that were to run so far, by pack_id."""
    workers: int = 1
    ready_s: float | None = None
    """Seconds until the first worker had begun."""
    began: tuple[float, float] | None = None
    """When something was first trained, and the projected seconds of it."""
    started: float = field(default_factory=time.monotonic)
    reason: str = ""
    """Why it drains; empty while it goes on."""
    fatal: str = ""
    """What makes it pointless to go on, such as a full disk; empty while there is nothing."""

    def report(self, pack_id: str, progress: Progress) -> None:
        """Take in how far a pack is."""
        if self.ready_s is None:
            self.ready_s = time.monotonic() - self.started - sum(progress.spent.values())
        self.reports[pack_id] = progress
        if self.began is None and progress.trials_done > progress.resumed:
            self.began = (time.monotonic(), self._work_done)
        if self.too_many_failures:
            self.drain(f"{self.failed} trials failed (--max-failures {self.max_failures})")
        self.observer(self)

    def drain(self, reason: str) -> None:
        """Take no more packs; commit what is finished, checkpoint what is not."""
        self.reason = self.reason or reason

    def fail(self, error: str) -> None:
        """Drain because nothing can be kept any more."""
        self.fatal = self.fatal or error
        self.drain(error)

    @property
    def draining(self) -> bool:
        """Whether the launch is to end early."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.drain("the time limit is near")
        return bool(self.reason)

    @property
    def too_many_failures(self) -> bool:
        """Whether `max_failures` is reached."""
        return self.max_failures is not None and self.failed >= self.max_failures

    @property
    def trials_done(self) -> float:
        """Trials' worth of training done, fractions included."""
        return sum(progress.trials_done for progress in self.reports.values())

    @property
    def trained(self) -> int:
        """Trials of the packs that are committed."""
        return round(sum(progress.trials_done for progress in self.reports.values() if progress.done))

    @property
    def failed(self) -> int:
        """Trials that raised."""
        return sum(progress.failed for progress in self.reports.values())

    @property
    def diverged(self) -> int:
        """Trials whose loss was not finite."""
        return sum(progress.diverged for progress in self.reports.values())

    @property
    def first_error(self) -> str:
        """Of the first trial that failed."""
        return next((progress.error for progress in self.reports.values() if progress.error), "")

    @property
    def rate(self) -> float:
        """Trials a second since the start; what came with checkpoints took no time."""
        trained = self.trials_done - sum(progress.resumed for progress in self.reports.values())
        return max(trained, 0.0) / max(time.monotonic() - self.started, 1e-9)

    @property
    def eta_s(self) -> float | None:
        """Seconds still to go; None before a hundredth of the work tells.

        The work of a trial is its projected time; the pace at which it goes is measured from the first
        trained step on, so that neither starting nor compiling counts, nor a wrong projection.
        """
        if self.began is None:
            return None
        since, before = self.began
        whole = sum(pack.projected_seconds for pack in self.packs.values())
        done, elapsed = self._work_done, time.monotonic() - since
        if done - before < 0.01 * whole or elapsed <= 0:
            return None
        return (whole - done) * elapsed / (done - before)

    @property
    def _work_done(self) -> float:
        """Projected seconds of what is trained."""
        shares = ((self.packs.get(name), progress) for name, progress in self.reports.items())
        return sum(p.projected_seconds * r.trials_done / len(p.trials) for p, r in shares if p)

    @property
    def notice(self) -> str:
        """The latest of what workers gave up to go on."""
        return next((r.notice for r in reversed(self.reports.values()) if r.notice), "")

    def split(self) -> dict[str, float]:
        """How the time of all workers since the start was spent, in seconds.

        Start-up lasts until a worker first tells of something; idle is what nothing else explains:
        a worker without a pack, and what Ray needs between two slices.
        """
        spent = dict.fromkeys(PHASES, 0.0)
        for progress in self.reports.values():
            for phase, seconds in progress.spent.items():
                spent[phase] += seconds
        wall = (time.monotonic() - self.started) * self.workers
        startup = min((self.ready_s or 0.0) * self.workers, wall - sum(spent.values()))
        idle = wall - startup - sum(spent.values())
        return {"start-up": max(0.0, startup), **spent, "idle": max(0.0, idle)}


class Executor(Protocol):
    """Runs packs."""

    @property
    def expected_workers(self) -> int | None:
        """How many packs will run at once, where that is known before anything is started."""

    def compiling(self, packs: Sequence[Pack], sources: Mapping[str, bytes]) -> AbstractContextManager[None]:
        """Compile what the first pack needs while workers start, where that saves time."""

    def ready(self, folder: Folder) -> AbstractContextManager[int]:
        """Hold what is needed to run packs, and tell how many run at once."""

    def run(self, packs: Sequence[Pack], job: Job, watch: Watch) -> list[LostPack]:
        """Train the packs until they are done or the watch drains; give back those that were lost."""


@contextmanager
def draining_on_signals(watch: Watch) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM drain the launch, and a second one end it at once.

    To be entered again once an executor is ready: Ray puts handlers of its own in place.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if watch.reason:
            os._exit(INTERRUPTED)
        watch.drain(f"{signal.Signals(number).name}; again to stop at once")

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
