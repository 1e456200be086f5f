"""How long a launch will still take: projected time, corrected by what training took so far.

Only packs in training are held one by one; of those that are done sums are left, program by program.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Final

from phasediag.running.job import Progress

if TYPE_CHECKING:
    from phasediag.executors.ledger import Waiting
    from phasediag.packing.pack import Pack
    from phasediag.packing.structure import Structure

TELLING: Final = 0.01
"""Part of all projected work that must be trained before a pace is stated."""
DOUBT: Final = 5.0
"""Projected seconds of a program after which its own pace counts as much as that of all programs."""
PARTS: Final = 8
"""Parts a worker in which work that waits is spread over workers, at most."""


@dataclass(slots=True, kw_only=True)
class Course:
    """One pack over time, as its worker's reports tell."""

    structure: Structure | None = None
    """The structure of its program; None where nobody has told."""
    projected: float = 0.0
    """Seconds of all of it, and of one trial's worth of it."""
    each: float = 0.0
    compiled: bool = False
    began: float | None = None
    """When its training began in this launch, in seconds of the clock; compilation moves it on."""
    seen: float = 0.0
    """When it last reported."""
    resumed: float = 0.0
    """Trials' worth of training that came with a checkpoint."""
    trained: float = 0.0
    """Trials' worth of training of this launch."""
    compiling: float = 0.0
    """Seconds of compilation."""

    def take(self, progress: Progress, now: float) -> None:
        """Take in a report."""
        compiling = progress.spent.get("compilation", 0.0)
        if self.began is None:
            self.began = now - sum(progress.spent.values()) + compiling
        else:
            self.began += compiling - self.compiling
        self.compiling, self.seen = compiling, now
        self.resumed, self.trained = progress.resumed, progress.trials_done - progress.resumed

    @property
    def work(self) -> float:
        """Projected seconds of what this launch has trained of it."""
        return self.each * self.trained

    @property
    def took(self) -> float:
        """Seconds since its training began."""
        return 0.0 if self.began is None else self.seen - self.began


@dataclass(slots=True)
class Past:
    """What is left of the packs of a program that are done."""

    work: float = 0.0
    """Projected seconds of what was trained."""
    took: float = 0.0
    compiling: float = 0.0
    """Longest time that one of them took to compile."""


@dataclass(slots=True, kw_only=True)
class Forecast:
    """Seconds still to go, from what waits and from the courses of packs in training.

    Reports may come in while another thread asks: what changes is copied before it is gone through.
    """

    outlook: Callable[[], Iterable[Waiting]] = lambda: ()
    """Tells what nobody has begun."""
    courses: dict[str, Course] = field(default_factory=dict)
    """The packs in training, by pack_id."""
    past: dict[Structure | None, Past] = field(default_factory=dict)
    projected: float = 0.0
    """Seconds of all packs that are done."""
    trained: float = 0.0
    """Trials' worth of training of packs that are done, but for what came with checkpoints."""
    began: float | None = None
    """When the first of them had begun."""
    seen: float = 0.0
    """When the latest report came."""

    def expect(self, outlook: Callable[[], Iterable[Waiting]]) -> None:
        """Take in who tells what nobody has begun."""
        self.outlook = outlook

    def begin(self, pack: Pack) -> None:
        """Take in that a pack is in training now."""
        self.courses[pack.pack_id] = Course(
            structure=pack.structure, projected=pack.projected_seconds, compiled=pack.compiled,
            each=pack.projected_seconds / len(pack),
        )  # fmt: skip

    def take(self, pack_id: str, progress: Progress, now: float) -> None:
        """Take in a report at a time of the clock, in seconds."""
        course = self.courses.setdefault(pack_id, Course())
        course.take(progress, now)
        self.seen = now
        if progress.done:
            self.end(pack_id, course.projected)

    def end(self, pack_id: str, projected: float = 0.0) -> None:
        """Take in that a pack is in training no more; what it took counts.

        Parameters
        ----------
        projected
            Seconds of what is done by that.
        """
        course = self.courses.pop(pack_id, None)
        if course is None or course.began is None:
            return
        past = self.past.setdefault(course.structure, Past())
        past.work, past.took = past.work + course.work, past.took + course.took
        past.compiling = max(past.compiling, course.compiling)
        self.projected += projected
        self.trained += course.trained
        self.began = course.began if self.began is None else min(self.began, course.began)

    def rate(self, now: float) -> float | None:
        """Trials a second since training began; None before any was trained."""
        courses = [course for course in list(self.courses.values()) if course.began is not None]
        trained = self.trained + sum(course.trained for course in courses)
        if trained <= 0:
            return None
        begins = [began for began in (self.began, *(c.began for c in courses)) if began is not None]
        return trained / max(now - min(begins), 1e-9)

    def left(self, workers: int, now: float) -> float | None:
        """Seconds until the last worker is done; None before `TELLING` of the work tells.

        Every program has a pace of its own, measured seconds over projected ones, which starts from
        that of all programs. A program that was never met is compiled first, for as long as those that were
        met.
        """
        courses, waiting = list(self.courses.values()), list(self.outlook())
        work, took = self._measured(courses)
        expected = self.projected + sum(c.projected for c in courses) + sum(w.seconds for w in waiting)
        if sum(work.values()) <= 0 or sum(work.values()) < TELLING * expected:
            return None
        paces, compiling = _paces(work, took), self._compiling(courses)
        met = {*self.past, *(course.structure for course in courses)}
        running = [
            max(0.0, (c.projected - c.each * (c.resumed + c.trained)) * paces[c.structure] - (now - c.seen))
            if c.began is not None else c.projected * paces[c.structure]
            for c in courses
        ]  # fmt: skip
        parts = []
        for each in waiting:
            first = compiling if each.compiled and each.structure not in met else 0.0
            met.add(each.structure)
            parts.append((first + each.seconds * paces[each.structure], each.each * paces[each.structure]))
        return makespan(running, _pieces(parts, workers), workers)

    def _measured(
        self, courses: Sequence[Course]
    ) -> tuple[Mapping[Structure | None, float], Mapping[Structure | None, float]]:
        """Projected seconds of what was trained, and the seconds that it took, by program."""
        work: defaultdict[Structure | None, float] = defaultdict(float)
        took: defaultdict[Structure | None, float] = defaultdict(float)
        for name, past in list(self.past.items()):
            work[name], took[name] = past.work, past.took
        for course in courses:
            if course.trained > 0:
                work[course.structure] += course.work
                took[course.structure] += course.took
        return work, took

    def _compiling(self, courses: Sequence[Course]) -> float:
        """Seconds that a program took to compile, on average over those that did."""
        longest = {name: past.compiling for name, past in list(self.past.items())}
        for course in courses:
            longest[course.structure] = max(longest.get(course.structure, 0.0), course.compiling)
        met = [seconds for seconds in longest.values() if seconds > 0]
        return sum(met) / len(met) if met else 0.0


def _paces(
    work: Mapping[Structure | None, float], took: Mapping[Structure | None, float]
) -> Mapping[Structure | None, float]:
    """Measured seconds of a projected one, by program."""
    overall = sum(took.values()) / sum(work.values())
    paces: defaultdict[Structure | None, float] = defaultdict(lambda: overall)
    paces.update({name: (took[name] + DOUBT * overall) / (work[name] + DOUBT) for name in work})
    return paces


def _pieces(parts: Sequence[tuple[float, float]], workers: int) -> list[float]:
    """Work of some seconds, in pieces of some seconds each, as few pieces as tell when workers are done."""
    counts = [max(1, ceil(seconds / each - 1e-9)) if each > 0 else 1 for seconds, each in parts]
    most, altogether = PARTS * workers, sum(seconds for seconds, _ in parts)
    if sum(counts) > most:
        return [altogether / most] * most
    return [seconds / count for (seconds, _), count in zip(parts, counts, strict=True) for _ in range(count)]


def makespan(running: Sequence[float], waiting: Iterable[float], workers: int) -> float:
    """Seconds until all is done, where the worker that is free first takes the next that waits."""
    free = [*running, *[0.0] * (workers - len(running))]
    heapq.heapify(free)
    for seconds in waiting:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free, default=0.0)
