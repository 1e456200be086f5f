"""What a launch knows while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from phasediag.executors.drain import Drain
from phasediag.executors.forecast import Forecast
from phasediag.running.job import PHASES, Progress

if TYPE_CHECKING:
    from phasediag.executors.ledger import Waiting
    from phasediag.packing.pack import Pack

TENTH: Final = 0.1
"""Share of the trials after which the forecast of the time left is kept: at the end, `--profile` compares it
with the time that the rest took."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """The state of a launch, as its executor reports it: it changes by its own methods alone.

    It holds the packs in training and sums over those that are done: what it takes does not grow with a grid.
    """

    total: int
    """Trials that this launch has to train."""
    ending: Drain = field(default_factory=Drain)
    """Whether it is to end early."""
    max_failures: int | None = None
    """Failed trials after which it drains; None: never."""
    observer: Callable[[Watch], None] = lambda watch: None
    """Called after every report."""
    reports: dict[str, Progress] = field(default_factory=dict)
    """The latest of every pack in training, by pack_id."""
    forecast: Forecast = field(default_factory=Forecast)
    foretold: tuple[float, float] | None = None
    """When a tenth of the trials was trained, and the seconds then said to be left; None before."""
    workers: int = 1
    """Packs that run at once."""
    ready_s: float | None = None
    """Seconds until the first worker had begun."""
    started: float = field(default_factory=time.monotonic)
    trials_done: float = 0.0
    """Trials' worth of training done, fractions included."""
    resumed: float = 0.0
    """What of it came with checkpoints."""
    trained: int = 0
    """Trials of the packs that are committed."""
    failed: int = 0
    """Trials that raised."""
    diverged: int = 0
    """Trials whose loss was not finite."""
    too_many_failures: bool = False
    """Whether `max_failures` was reached."""
    first_error: str = ""
    """The error of the first trial that failed."""
    sentences: list[str] = field(default_factory=list)
    """What the user is to know of how it goes: what workers gave up to go on, machines lost."""
    waits_for: str = ""
    """What is missing where no worker can begin; empty where nothing is."""
    _spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    _staffed: tuple[float, float] | None = None
    """Seconds of all workers up to a time of the clock, and that time."""

    def staffed(self, workers: int) -> None:
        """Take in how many packs run at once from now on."""
        self._staffed = (self._wall(), time.monotonic())
        self.workers = workers

    def expect(self, outlook: Callable[[], Iterable[Waiting]]) -> None:
        """Take in who tells what nobody has begun."""
        self.forecast.expect(outlook)

    def begin(self, pack: Pack) -> None:
        """Take in that a pack is in training now."""
        self.forecast.begin(pack)

    def forget(self, pack_id: str) -> None:
        """Take in that a pack is in training no more: what it has not kept is to be trained again."""
        self._count(self.reports.pop(pack_id, None), -1)
        self.forecast.end(pack_id)

    def report(self, pack_id: str, progress: Progress) -> None:
        """Take in how far a pack is."""
        now = time.monotonic()
        if self.ready_s is None:
            self.ready_s = now - self.started - sum(progress.spent.values())
        before = self.reports.pop(pack_id, None)
        self._count(before, -1)
        self._count(progress, 1)
        self._spend(progress, before)
        if progress.done:
            self.trained += round(progress.trials_done)
        else:
            self.reports[pack_id] = progress
        self.first_error = self.first_error or progress.error
        self.forecast.take(pack_id, progress, now)
        if self.foretold is None and self.trials_done >= TENTH * self.total:
            left = self.eta_s
            self.foretold = None if left is None else (now, left)
        if self.max_failures is not None and self.failed >= self.max_failures:
            self.give_up(f"{self.failed} trials failed (--max-failures {self.max_failures})")
        if progress.notice:
            self.tell(progress.notice)
        else:
            self.observer(self)

    def tell(self, sentence: str, *, again: bool = False) -> None:
        """Let the user know something; with `again` also what was said before."""
        if again or sentence not in self.sentences:
            self.sentences.append(sentence)
        self.observer(self)

    def note(self, sentence: str) -> None:
        """Let the user know something with the next report; any thread may."""
        self.sentences.append(sentence)

    def wait_for(self, what: str) -> None:
        """Take in what is missing where no worker can begin."""
        if what != self.waits_for:
            self.waits_for = what
            self.observer(self)

    def drain(self, reason: str) -> None:
        """Let the launch end early; observers may ask for it."""
        self.ending.begin(reason)

    def give_up(self, reason: str) -> None:
        """Let the launch end early because too many trials have failed, here or where it is led."""
        self.too_many_failures = True
        self.ending.begin(reason)

    def _count(self, progress: Progress | None, sign: int) -> None:
        """Let a report count, or no more."""
        if progress is not None:
            self.trials_done = _sum(self.trials_done, sign * progress.trials_done)
            self.resumed = _sum(self.resumed, sign * progress.resumed)
            self.failed += sign * progress.failed
            self.diverged += sign * progress.diverged

    def _spend(self, progress: Progress, before: Progress | None) -> None:
        """Count the time that a worker has spent since its report before."""
        earlier = {} if before is None else before.spent
        for phase, seconds in progress.spent.items():
            since = seconds - earlier.get(phase, 0.0)
            self._spent[phase] += since if since >= 0 else seconds  # another worker went on with the pack

    @property
    def training(self) -> bool:
        """Whether anything was trained in this launch."""
        return self.trials_done > self.resumed

    @property
    def rate(self) -> float | None:
        """Trials a second since training began; None before any was trained.

        What came with checkpoints took no time and does not count.
        """
        return self.forecast.rate(time.monotonic())

    @property
    def eta_s(self) -> float | None:
        """Seconds still to go; None before a hundredth of the work tells (`Forecast.left`)."""
        return self.forecast.left(max(1, self.workers), time.monotonic())

    @property
    def foretold_and_taken(self) -> tuple[float, float] | None:
        """Seconds said to be left at a tenth, and seconds from then to the latest report."""
        if self.foretold is None:
            return None
        at, expected = self.foretold
        return expected, self.forecast.seen - at

    @property
    def notice(self) -> str:
        """The latest of what the user is to know of how it goes."""
        return self.sentences[-1] if self.sentences else ""

    def news(self) -> dict[str, float | None]:
        """What `status` tells of a launch that runs."""
        return {
            "in_training": max(0.0, round(self.trials_done - self.trained, 6)),
            "rate": self.rate,
            "eta_s": self.eta_s,
        }

    def _wall(self) -> float:
        """Seconds of all workers since the start."""
        before, since = self._staffed or (0.0, self.started)
        return before + (time.monotonic() - since) * self.workers

    def split(self) -> dict[str, float]:
        """How the time of all workers since the start was spent, in seconds.

        Start-up lasts until a worker first tells of something; idle is what nothing else explains:
        a worker without a pack, and what Ray needs between two slices.
        """
        wall, spent = self._wall(), sum(self._spent.values())
        startup = min((self.ready_s or 0.0) * self.workers, wall - spent)
        return {"start-up": max(0.0, startup), **self._spent, "idle": max(0.0, wall - startup - spent)}


def _sum(one: float, other: float) -> float:
    """Trials' worth without rounding's rest: what is taken back leaves 0, neither -1e-17 nor -0."""
    return round(one + other, 9) + 0.0
