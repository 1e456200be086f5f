"""The one that leads: it answers what other places have written, while it trains itself."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, suppress
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
from phasediag.executors.array.patience import Patience
from phasediag.executors.dispatch import Dispatch
from phasediag.executors.repeating import repeating
from phasediag.running import checkpoint
from phasediag.running.job import Breakdown, Job, PackClaim, WorkerReport
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

    stamp: tuple[int, int] = (0, 0)
    """The stamp (`Entry.stamp`) of the file of its latest letter."""
    at: float = 0.0
    """When that was seen first, in seconds of this process's clock."""
    letter: Letter | None = None
    answered: int = -1
    """The number of its latest report that was answered; -1: none that the dispatch knows of."""
    unsent: Answer | None = None
    """What it is to be told, and could not be written yet."""


@dataclass(slots=True, kw_only=True)
class Correspondence:
    """Brings what places have written to the dispatch, and its answers to them."""

    dispatch: Dispatch
    job: Job
    store: Store
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: dict[str, PlaceSeen] = field(default_factory=dict)
    _fault: Exception | None = None
    _patience: Patience = field(default_factory=Patience)
    _resigned: bool = False
    """Whether this process can lead no longer; another one may."""

    def kept(self) -> AbstractContextManager[None]:
        """Look again and again, for the time of a block."""
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
        """Answer what is new, and give up the places that are silent or gone.

        What the storage refuses is done at the next look: nothing that the dispatch has answered gets lost.
        """
        folder = folder_of(self.store)
        entries = {entry.name.removesuffix(REPORT): entry for entry in reports_in(folder)}
        for name in self._seen.keys() - entries:
            self._part(name)
        for name, entry in entries.items():
            seen = self._seen.get(name)
            if seen is None or seen.stamp != entry.stamp:
                letter = read_letter(folder, name)
                seen = self._seen.setdefault(name, PlaceSeen())
                seen.stamp, seen.at, seen.letter = entry.stamp, time.monotonic(), letter
                self._answer(name, seen)
            elif seen.letter is not None and seen.letter.holder.dead:
                self._lose(name, "its process is gone")
            elif time.monotonic() - seen.at > SILENCE_S:
                self._lose(name, f"silent for {SILENCE_S:.0f} s", of_node=True)
        for name, seen in self._seen.items():
            self._send(name, seen)

    def end(self) -> None:
        """Let all places end with this launch, if it has ended for all of them.

        A launch that was asked to end itself, or could not go on leading, leaves the rest to them: one of
        them leads then.
        """
        dispatch, ending = self.dispatch, self.dispatch.watch.ending
        failures, breakdown = dispatch.watch.too_many_failures, ending.breakdown is not None
        if self._resigned or not (dispatch.ledger.over or failures or breakdown):
            return
        reason = "" if dispatch.ledger.over else ending.reason
        last = Ending(reason=reason, breakdown=breakdown, failures=failures)
        with suppress(StoreError):  # whoever is not told of it finds it out where this one has gone
            self._end(last)

    def _end(self, last: Ending) -> None:
        holder = held_by(self.store)
        if holder is None or holder.token != self.job.token:
            return
        folder, deadline = folder_of(self.store), time.monotonic() + LEAVING_SECONDS
        for name, seen in self._seen.items():
            write_answer(folder, name, Answer(number=seen.answered, leader=self.job.token, ending=last))
        while reports_in(folder) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS / 4)
        close(self.store, over=True)

    def _keep(self) -> bool:
        """Look once; whether to look again: not after a fault.

        Where the storage lets this process not lead any more, the launch of this process ends.
        """
        try:
            self.look()
            self._patience = Patience()
        except StoreError as error:
            self._resigned = self._patience.ends(error)
            if self._resigned:
                cause = f"this process cannot lead the others any more: {error}"
                self.dispatch.watch.ending.fail(Breakdown(error=cause, of_machine=True))
        except Exception as error:  # is raised where the launch goes on
            self._fault = error
        return self._fault is None and not self._resigned

    def _answer(self, name: str, seen: PlaceSeen) -> None:
        """Take in a new report of a place, and what it is to be told."""
        letter = seen.letter
        if letter is None or letter.leader != self.job.token or letter.number <= seen.answered:
            return
        seen.answered = letter.number
        claim, written = self.answer(name, letter.report), None
        if claim is not None:
            header = checkpoint.header_of(claim.pack, self.job.measure)
            written = WrittenClaim(header=header, final=claim.final, accepted=claim.accepted)
        if written is not None or letter.closing:
            seen.unsent = Answer(number=letter.number, leader=letter.leader, claim=written)

    def _send(self, name: str, seen: PlaceSeen) -> None:
        """Write what a place is to be told, if there is anything."""
        if seen.unsent is not None:
            write_answer(folder_of(self.store), name, seen.unsent)
            seen.unsent = None

    def _part(self, name: str) -> None:
        """Take in that a place has gone by itself, and has kept what it had reached."""
        with self._lock:
            self.dispatch.leave(name)
        forget(folder_of(self.store), name)
        del self._seen[name]

    def _lose(self, name: str, error: str, *, of_node: bool = False) -> None:
        """Give up a place; where its letters cannot be removed yet, it is given up all the same."""
        seen = self._seen[name]
        if seen.answered >= 0:
            with self._lock:
                self.dispatch.lost(name, error, of_node=of_node)
        seen.answered, seen.unsent = -1, None
        forget(folder_of(self.store), name)
        del self._seen[name]


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
