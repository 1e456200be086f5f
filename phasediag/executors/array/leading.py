"""The one that leads: it answers what other places have written, while it trains itself."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from phasediag.errors import StoreError
from phasediag.executors.array.letters import (
    REPORT,
    Answer,
    Ending,
    Leader,
    Letter,
    WrittenClaim,
    folder_of,
    forget,
    read_letter,
    reports_in,
    write_answer,
    write_leader,
)
from phasediag.executors.dispatch import Dispatch
from phasediag.executors.repeating import repeating
from phasediag.running import checkpoint
from phasediag.running.job import Job, PackClaim, WorkerReport
from phasediag.storage.lease import HEARTBEAT_S, SILENCE_S, held_by
from phasediag.storage.store import Store

LOOK_SECONDS: Final = 0.5
"""Between two looks at what places have written."""
RECENT_SECONDS: Final = 3 * HEARTBEAT_S
"""A place that has written within so long is there, and is waited for where the one that led is gone."""

LEAVING_SECONDS: Final = 10.0
"""For places to go, after they were told that all is over."""


@dataclass(slots=True)
class PlaceSeen:
    """What is known of a place."""

    stamp: tuple[int, int]
    """The stamp (`Entry.stamp`) of the file of its latest letter."""
    at: float
    """When that was seen first, in seconds of this process's clock."""
    letter: Letter | None = None
    answered: int = -1
    """The number of its latest report that was answered."""


@dataclass(slots=True, kw_only=True)
class Correspondence:
    """Brings what places have written to the dispatch, and its answers to them."""

    dispatch: Dispatch
    job: Job
    store: Store
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: dict[str, PlaceSeen] = field(default_factory=dict)
    _fault: Exception | None = None
    _looked: float = 0.0
    """When it looked last without a fault of the storage, in seconds of this process's clock."""

    def kept(self) -> AbstractContextManager[None]:
        """Look again and again, for the time of a block."""
        self._looked = time.monotonic()
        return repeating(self._keep, every_s=LOOK_SECONDS, name="places")

    def answer(self, name: str, report: WorkerReport) -> PackClaim | None:
        """What the dispatch answers to a report; one is answered after the other."""
        with self._lock:
            return self.dispatch.answer(name, report)

    def over(self) -> bool:
        """Whether nothing is left to train, or the launch drains.

        Raises
        ------
        Exception
            What ended the looking.
        """
        if self._fault is not None:
            raise self._fault
        with self._lock:
            return self.dispatch.over

    def look(self) -> None:
        """Answer what is new, and give up the places that are silent or gone."""
        folder = folder_of(self.store)
        entries = {entry.name.removesuffix(REPORT): entry for entry in reports_in(folder)}
        for name in self._seen.keys() - entries:
            self._part(name)
        for name, entry in entries.items():
            seen = self._seen.get(name)
            if seen is None or seen.stamp != entry.stamp:
                seen = self._seen[name] = PlaceSeen(
                    entry.stamp, time.monotonic(), read_letter(folder, name), seen.answered if seen else -1
                )
                self._answer(name, seen)
            elif seen.letter is not None and seen.letter.holder.dead:
                self._lose(name, "its process is gone")
            elif time.monotonic() - seen.at > SILENCE_S:
                self._lose(name, f"silent for {SILENCE_S:.0f} s", of_node=True)

    def end(self) -> None:
        """Let all places end with this launch, if it has ended for all of them.

        A launch that was asked to end itself leaves the rest to them: one of them leads then.
        """
        dispatch, ending = self.dispatch, self.dispatch.watch.ending
        if not (dispatch.ledger.over or dispatch.watch.too_many_failures or ending.breakdown is not None):
            return
        holder = held_by(self.store)
        if holder is None or holder.token != self.job.token:
            return
        last = Ending(
            reason="" if dispatch.ledger.over else ending.reason, breakdown=ending.breakdown is not None
        )
        folder, deadline = folder_of(self.store), time.monotonic() + LEAVING_SECONDS
        for name, seen in self._seen.items():
            write_answer(folder, name, Answer(number=seen.answered, leader=self.job.token, ending=last))
        while reports_in(folder) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS / 4)
        close(self.store, over=True)

    def _keep(self) -> bool:
        """Look once; whether to look again: not after a fault, which `over` raises."""
        try:
            self.look()
            self._looked = time.monotonic()
        except StoreError as error:
            if time.monotonic() - self._looked > SILENCE_S:
                self._fault = error
        except Exception as error:  # is raised where the launch goes on
            self._fault = error
        return self._fault is None

    def _answer(self, name: str, seen: PlaceSeen) -> None:
        letter = seen.letter
        if letter is None or letter.leader != self.job.token or letter.number <= seen.answered:
            return
        seen.answered = letter.number
        claim, written = self.answer(name, letter.report), None
        if claim is not None:
            header = checkpoint.header_of(claim.pack, self.job.measure)
            written = WrittenClaim(header=header, final=claim.final, accepted=claim.accepted)
        if written is not None or letter.closing:
            answer = Answer(number=letter.number, leader=letter.leader, claim=written)
            write_answer(folder_of(self.store), name, answer)

    def _part(self, name: str) -> None:
        """Take in that a place has gone by itself, and has kept what it had reached."""
        del self._seen[name]
        forget(folder_of(self.store), name)
        with self._lock:
            self.dispatch.leave(name)

    def _lose(self, name: str, error: str, *, of_node: bool = False) -> None:
        answered = self._seen.pop(name).answered
        forget(folder_of(self.store), name)
        if answered >= 0:
            with self._lock:
                self.dispatch.lost(name, error, of_node=of_node)


def lead(store: Store, leader: Leader) -> None:
    """Tell all places who leads, and wait until those that followed another one have kept what they have.

    Each of them sets its pack aside where it sees that another one leads; whoever has been silent is not
    waited for.
    """
    folder = folder_of(store)
    write_leader(folder, leader)
    deadline, now = time.monotonic() + SILENCE_S, folder.now_ns() or 0
    waited = [
        entry.name.removesuffix(REPORT)
        for entry in reports_in(folder)
        if now - entry.mtime_ns < RECENT_SECONDS * 1e9
    ]
    while waited and time.monotonic() < deadline:
        letters = {name: read_letter(folder, name) for name in waited}
        waited = [
            name
            for name, letter in letters.items()
            if letter is not None and letter.leader != leader.token and not letter.holder.dead
        ]
        time.sleep(LOOK_SECONDS * bool(waited))


def close(store: Store, *, over: bool = False) -> None:
    """Remove all letters, if no place is left, or all is over."""
    folder = folder_of(store)
    if over or not reports_in(folder):
        for entry in folder.entries():
            folder.delete(entry.name)
