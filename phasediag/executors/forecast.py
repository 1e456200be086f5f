"""How long a launch will still take: projected time, corrected by what training took so far."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from phasediag.running.job import Progress

if TYPE_CHECKING:
    from phasediag.packing.pack import Pack
    from phasediag.packing.structure import Structure

TELLING: Final = 0.01
"""Part of all projected work that must be trained before a pace is stated."""
DOUBT: Final = 5.0
"""Projected seconds of a program after which its own pace counts as much as that of all programs."""


@dataclass(slots=True, kw_only=True)
class Course:
    """One pack over time, as its worker's reports tell."""

    began: float
    """When its training began in this launch, in seconds of the clock; compilation moves it on."""
    seen: float
    """When it last reported."""
    resumed: float
    """Trials' worth of training that came with a checkpoint."""
    trained: float
    """Trials' worth of training of this launch."""
    compiling: float
    """Seconds of compilation."""
    done: bool

    def take(self, progress: Progress, now: float) -> None:
        """Take in a report."""
        compiling = progress.spent.get("compilation", 0.0)
        self.began += compiling - self.compiling
        self.compiling, self.seen, self.done = compiling, now, progress.done
        self.resumed, self.trained = progress.resumed, progress.trials_done - progress.resumed


def course_of(progress: Progress, now: float) -> Course:
    """The course of a pack that reports for the first time."""
    compiling = progress.spent.get("compilation", 0.0)
    return Course(
        began=now - sum(progress.spent.values()) + compiling, seen=now, resumed=progress.resumed,
        trained=progress.trials_done - progress.resumed, compiling=compiling, done=progress.done,
    )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Forecast:
    """Seconds still to go, from the packs of a launch and their courses.

    Reports may come in while another thread asks: dicts are copied before they are gone through.
    """

    packs: dict[str, Pack] = field(default_factory=dict)
    """All packs, by pack_id, in the order in which they are taken."""
    courses: dict[str, Course] = field(default_factory=dict)

    def expect(self, packs: Sequence[Pack]) -> None:
        """Take in packs that are to run after those that are known, in this order."""
        self.packs |= {pack.pack_id: pack for pack in packs}

    def forget(self, pack_id: str) -> None:
        """Expect a pack no more."""
        self.packs.pop(pack_id, None)
        self.courses.pop(pack_id, None)

    def take(self, pack_id: str, progress: Progress, now: float) -> None:
        """Take in a report at a time of the clock, in seconds."""
        if pack_id in self.courses:
            self.courses[pack_id].take(progress, now)
        else:
            self.courses[pack_id] = course_of(progress, now)

    def left(self, workers: int, now: float) -> float | None:
        """Seconds until the last worker is done; None before `TELLING` of the work tells.

        Every program has a pace of its own, measured seconds over projected ones, which starts from
        that of all programs. Packs are taken in order by whichever worker is free; a program that was
        never met is compiled first, for as long as those that were met.
        """
        share = sum(self._work(name) for name in list(self.courses))
        if share <= 0 or share < TELLING * sum(pack.projected_seconds for pack in list(self.packs.values())):
            return None
        paces, compiling = self._paces(), self._compiling()
        running, waiting, met = [], [], {self._program(name) for name in list(self.courses)}
        for name, pack in list(self.packs.items()):
            program, course = self._program(name), self.courses.get(name)
            rest = pack.projected_seconds - self._work(name)
            if course is None:
                first = compiling if pack.compiled and program not in met else 0.0
                met.add(program)
                waiting.append(first + rest * paces[program])
            elif not course.done:
                rest -= pack.projected_seconds * course.resumed / len(pack.trials)
                running.append(max(0.0, rest * paces[program] - (now - course.seen)))
        return makespan(running, waiting, workers)

    def _program(self, pack_id: str) -> Structure | None:
        """What packs share whose projections err alike; None of a pack that is not expected (any more)."""
        pack = self.packs.get(pack_id)
        return None if pack is None else pack.structure

    def _work(self, pack_id: str) -> float:
        """Projected seconds of what this launch has trained of a pack."""
        course, pack = self.courses.get(pack_id), self.packs.get(pack_id)
        if course is None or pack is None:
            return 0.0
        return pack.projected_seconds * course.trained / len(pack.trials)

    def _paces(self) -> Mapping[Structure | None, float]:
        """Measured seconds of a projected one, by program."""
        work: defaultdict[Structure | None, float] = defaultdict(float)
        took: defaultdict[Structure | None, float] = defaultdict(float)
        for name, course in list(self.courses.items()):
            if course.trained > 0 and name in self.packs:
                work[self._program(name)] += self._work(name)
                took[self._program(name)] += course.seen - course.began
        overall = sum(took.values()) / sum(work.values())
        paces: defaultdict[Structure | None, float] = defaultdict(lambda: overall)
        paces.update({name: (took[name] + DOUBT * overall) / (work[name] + DOUBT) for name in work})
        return paces

    def _compiling(self) -> float:
        """Seconds that a program took to compile, on average over those that did."""
        longest: dict[Structure | None, float] = {}
        for name, course in list(self.courses.items()):
            program = self._program(name)
            longest[program] = max(longest.get(program, 0.0), course.compiling)
        met = [seconds for seconds in longest.values() if seconds > 0]
        return sum(met) / len(met) if met else 0.0


def makespan(running: Sequence[float], waiting: Iterable[float], workers: int) -> float:
    """Seconds until all is done, where the worker that is free first takes the next that waits."""
    free = [*running, *[0.0] * (workers - len(running))]
    heapq.heapify(free)
    for seconds in waiting:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free, default=0.0)
