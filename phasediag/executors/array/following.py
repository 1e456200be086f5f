"""A place that follows: it trains what the one that leads gives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import uuid4

from phasediag.errors import PhasediagError, StoreError
from phasediag.executors.array.letters import (
    Answer,
    Ending,
    Leader,
    Letter,
    folder_of,
    forget,
    read_answer,
    read_leader,
    write_letter,
)
from phasediag.executors.array.patience import borne
from phasediag.executors.drain import Drain
from phasediag.executors.repeating import repeating
from phasediag.executors.watch import Watch
from phasediag.executors.worker import Worker
from phasediag.packing.pack import Pack
from phasediag.running.checkpoint import Header
from phasediag.running.job import PackClaim, WorkerReport
from phasediag.storage.folder import Folder
from phasediag.storage.holder import Holder
from phasediag.storage.lease import HEARTBEAT_S, held_by
from phasediag.storage.store import Store

SLICE_SECONDS: Final = 4.0
"""Training between two reports."""
FIRST_IDLE: Final = 0.25
"""Seconds that a place without a pack waits before it looks again; then twice as long each time."""
MOST_IDLE: Final = 2.0
ANSWERED_SECONDS: Final = 20.0
"""For the one that leads to take in what came of a pack, where the place that tells it ends."""
LEASE_SECONDS: Final = 5.0
"""Between two looks at who leads."""
BEAT_SECONDS: Final = 1.0
"""Between two looks at whether the latest report is to be written again."""


@dataclass(slots=True, kw_only=True)
class Follower:
    """One place, as long as it follows one leader."""

    store: Store
    worker: Worker
    leader: str
    """The token of its lease."""
    packs: Callable[[Header], Pack]
    """Makes a pack of the ids of its trials."""
    watch: Watch
    """What this place trains."""
    name: str = field(default_factory=lambda: uuid4().hex)
    _holder: Holder = field(default_factory=lambda: Holder.this_process("place"))
    _number: int = -1
    _taken: int = -1
    """The report whose answer brought its latest pack."""
    _pack_id: str = ""
    _closing: bool = False
    """Whether the latest report tells what came of a pack."""
    _report: WorkerReport | None = None
    _written: float = 0.0
    _looked: float = field(default_factory=time.monotonic)
    _alone: bool = False
    """Whether the one that it follows was seen to lead no more."""
    _idle_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, ending: Drain) -> Ending | None:
        """Train until the launch ends for all, this process is asked to end, or nobody leads any more.

        What an unfinished pack has reached is kept.

        Returns
        -------
        Why it ended for all; None where it goes on without this place, or under another leader.

        Raises
        ------
        PhasediagError
            Where this place must not train, or cannot any more.
        """
        with repeating(self._beat, every_s=BEAT_SECONDS, name="place"):
            try:
                return self._trained(ending)
            finally:
                try:
                    self.worker.set_aside()
                finally:
                    self._leave()

    def _trained(self, ending: Drain) -> Ending | None:
        report = self.worker.step(0)
        while True:
            self._tell(report, ending)
            self._count(report)
            if report.place.refusal:
                if borne(self._led_by_another, ending):
                    return None
                raise PhasediagError(f"{report.place.host} cannot train: {report.place.refusal}")
            answer = borne(partial(self._answer, ending), ending)
            if report.breakdown is not None and report.breakdown.of_process:
                raise PhasediagError(f"{report.place.host}: {report.breakdown.error}")
            if answer is not None and answer.ending is not None:
                return answer.ending
            if ending.due() or self._given_up(answer) or borne(self._deserted, ending):
                return None
            report = self._next(answer)

    def _answer(self, ending: Drain) -> Answer | None:
        """What it is told.

        Where it has told what came of a pack, that is waited for as long as somebody leads, or for a while
        where this process ends: a later letter would write over what was not read yet, and the pack would
        be this place's for ever.
        """
        due: float | None = None
        while True:
            answer = read_answer(self._folder, self.name)
            settled = answer is not None and (answer.number == self._number or answer.ending is not None)
            if settled or not self._closing or self._deserted():
                return answer
            if ending.due():
                due = due or time.monotonic()
                if time.monotonic() - due > ANSWERED_SECONDS:
                    return answer
            time.sleep(FIRST_IDLE)

    def _count(self, report: WorkerReport) -> None:
        """Take in what this place itself has trained."""
        if report.progress is not None:
            self.watch.report(self._pack_id, report.progress)

    def _next(self, answer: Answer | None) -> WorkerReport:
        """Train for a slice, take a pack, or wait a while."""
        claim = None if answer is None or answer.number <= self._taken else answer.claim
        if claim is not None and answer is not None and not self.worker.busy:
            self._taken, pack = answer.number, self.packs(claim.header)
            self._pack_id = pack.pack_id
            self.watch.begin(pack)
            refused = self.worker.take(PackClaim(pack=pack, final=claim.final, accepted=claim.accepted))
            if refused is not None:
                return refused
        if self.worker.busy:
            self._idle_s = 0.0
            return self.worker.step(SLICE_SECONDS)
        time.sleep(self._idle_s)
        self._idle_s = min(MOST_IDLE, max(FIRST_IDLE, 2 * self._idle_s))
        return self.worker.step(0)

    def _given_up(self, answer: Answer | None) -> bool:
        """Whether what it trains was taken from it, as it was silent for too long."""
        return self.worker.busy and (answer is None or answer.number != self._taken)

    def _deserted(self) -> bool:
        """Whether another one leads, or nobody does, as far as it was looked at lately."""
        if not self._alone and time.monotonic() - self._looked >= LEASE_SECONDS:
            self._looked = time.monotonic()
            self._alone = self._led_by_another()
        return self._alone

    def _led_by_another(self) -> bool:
        holder = held_by(self.store)
        return holder is None or holder.token != self.leader

    def _tell(self, report: WorkerReport, ending: Drain) -> None:
        with self._lock:
            self._number += 1
            self._report = report
        borne(self._write, ending)

    def _leave(self) -> None:
        """Take back what it has told: from now on it is not there."""
        with self._lock, suppress(StoreError):
            self._report = None
            forget(self._folder, self.name)

    def _write(self) -> None:
        with self._lock:
            self._write_report()

    def _write_report(self) -> None:
        assert self._report is not None
        letter = Letter(number=self._number, leader=self.leader, holder=self._holder, report=self._report)
        self._closing = letter.closing
        write_letter(self._folder, self.name, letter)
        self._written = time.monotonic()

    def _beat(self) -> bool:
        """Write the latest report again where that was long ago; again and again, so always True."""
        with self._lock, suppress(StoreError):
            if self._report is not None and time.monotonic() - self._written > HEARTBEAT_S:
                self._write_report()
        return True

    @property
    def _folder(self) -> Folder:
        return folder_of(self.store)


def await_leader(store: Store, ending: Drain, grid: str) -> Leader | None:
    """The one that leads, once it has told of itself.

    Parameters
    ----------
    grid
        A hash of what this process would train.

    Returns
    -------
    None where nobody leads any more, or this process is asked to end.

    Raises
    ------
    PhasediagError
        Where it trains another grid.
    """
    while not ending.due():
        holder = held_by(store)
        if holder is None:
            return None
        leader = read_leader(folder_of(store))
        if leader is not None and leader.token == holder.token:
            if leader.grid != grid:
                raise PhasediagError(
                    f"the sweep {store.folder.uri} is being trained by {holder.user} on host {holder.host} "
                    f"(process {holder.pid}) from another grid, or one that measures something else: give "
                    "all places the same grid, and the same options"
                )
            return leader
        time.sleep(FIRST_IDLE)
    return None
