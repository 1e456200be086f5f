"""What a launch knows while it runs, and who runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from phasediag.executors.drain import Drain
from phasediag.executors.forecast import Forecast
from phasediag.running.job import PHASES, Job, Progress
from phasediag.storage.folder import Folder

if TYPE_CHECKING:
    from phasediag.packing.pack import Pack

TENTH: Final = 0.1
"""Share of the trials after which the forecast of the time left is kept: at the end, `--profile` compares it
with the time that the rest took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostPack:
    """A pack whose workers died under it again and again."""

    pack: Pack
    error: str


@dataclass(slots=True, kw_only=True)
class Watch:
    """The state of a launch, as its executor reports it: it changes by its own methods alone."""

    total: int
    """Trials that this launch has to train."""
    ending: Drain = field(default_factory=Drain)
    """Whether it is to end early."""
    max_failures: int | None = None
    """Failed trials after which it drains; None: never."""
    observer: Callable[[Watch], None] = lambda watch: None
    """Called after every report."""
    reports: dict[str, Progress] = field(default_factory=dict)
    """The latest of every pack, by pack_id."""
    forecast: Forecast = field(default_factory=Forecast)
    """Of all packs that were to run so far."""
    foretold: tuple[float, float] | None = None
    """When a tenth of the trials was trained, and the seconds then said to be left; None before."""
    workers: int = 1
    """Packs that run at once."""
    ready_s: float | None = None
    """Seconds until the first worker had begun."""
    started: float = field(default_factory=time.monotonic)

    def staffed(self, workers: int) -> None:
        """Take in how many packs run at once, before any does."""
        self.workers = workers

    def expect(self, packs: Sequence[Pack]) -> None:
        """Take in packs that are to run, in this order."""
        self.forecast.expect(packs)

    def forget(self, pack_id: str) -> None:
        """Expect a pack no more: it was lost, and others train its trials."""
        self.reports.pop(pack_id, None)
        self.forecast.forget(pack_id)

    def report(self, pack_id: str, progress: Progress) -> None:
        """Take in how far a pack is."""
        now = time.monotonic()
        if self.ready_s is None:
            self.ready_s = now - self.started - sum(progress.spent.values())
        self.reports[pack_id] = progress
        self.forecast.take(pack_id, progress, now)
        if self.foretold is None and self.trials_done >= TENTH * self.total:
            left = self.eta_s
            self.foretold = None if left is None else (now, left)
        if self.too_many_failures:
            self.ending.begin(f"{self.failed} trials failed (--max-failures {self.max_failures})")
        self.observer(self)

    def drain(self, reason: str) -> None:
        """Let the launch end early; observers may ask for it."""
        self.ending.begin(reason)

    @property
    def too_many_failures(self) -> bool:
        """Whether `max_failures` is reached."""
        return self.max_failures is not None and self.failed >= self.max_failures

    @property
    def trials_done(self) -> float:
        """Trials' worth of training done, fractions included."""
        return sum(progress.trials_done for progress in list(self.reports.values()))

    @property
    def trained(self) -> int:
        """Trials of the packs that are committed."""
        return round(sum(progress.trials_done for progress in list(self.reports.values()) if progress.done))

    @property
    def failed(self) -> int:
        """Trials that raised."""
        return sum(progress.failed for progress in list(self.reports.values()))

    @property
    def diverged(self) -> int:
        """Trials whose loss was not finite."""
        return sum(progress.diverged for progress in list(self.reports.values()))

    @property
    def first_error(self) -> str:
        """Of the first trial that failed."""
        return next((progress.error for progress in list(self.reports.values()) if progress.error), "")

    @property
    def rate(self) -> float | None:
        """Trials a second since training began; None before any was trained.

        What came with checkpoints took no time and does not count.
        """
        courses = list(self.forecast.courses.values())
        trained = sum(course.trained for course in courses)
        if trained <= 0:
            return None
        return trained / max(time.monotonic() - min(course.began for course in courses), 1e-9)

    @property
    def eta_s(self) -> float | None:
        """Seconds still to go; None before a hundredth of the work tells (`Forecast.left`)."""
        return self.forecast.left(self.workers, time.monotonic())

    @property
    def foretold_and_taken(self) -> tuple[float, float] | None:
        """Seconds said to be left at a tenth, and seconds from then to the latest report."""
        if self.foretold is None:
            return None
        at, expected = self.foretold
        return expected, max(course.seen for course in self.forecast.courses.values()) - at

    @property
    def notice(self) -> str:
        """The latest of what workers gave up to go on."""
        return next((r.notice for r in reversed(list(self.reports.values())) if r.notice), "")

    def news(self) -> dict[str, float | None]:
        """What `status` tells of a launch that runs."""
        return {"in_training": self.trials_done - self.trained, "rate": self.rate, "eta_s": self.eta_s}

    def split(self) -> dict[str, float]:
        """How the time of all workers since the start was spent, in seconds.

        Start-up lasts until a worker first tells of something; idle is what nothing else explains:
        a worker without a pack, and what Ray needs between two slices.
        """
        spent = dict.fromkeys(PHASES, 0.0)
        for progress in list(self.reports.values()):
            for phase, seconds in progress.spent.items():
                spent[phase] += seconds
        wall = (time.monotonic() - self.started) * self.workers
        startup = min((self.ready_s or 0.0) * self.workers, wall - sum(spent.values()))
        idle = wall - startup - sum(spent.values())
        return {"start-up": max(0.0, startup), **spent, "idle": max(0.0, idle)}


class Executor(Protocol):
    """Runs packs."""

    def ready(self, folder: Folder, trials: int) -> AbstractContextManager[int]:
        """Hold what is needed to train so many trials, and tell how many packs run at once."""

    def run(self, packs: Sequence[Pack], job: Job, watch: Watch) -> list[LostPack]:
        """Train the packs until they are done or the launch drains; give back those that were lost."""
