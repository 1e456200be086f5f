"""A bucket in simulated time: every request takes as long as chance has it, and processes die at any of them.

Processes are threads of which one runs at a time, the one whose next event is first, so that a seed gives the
same race each time.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final, TypeVar

import numpy as np

from phasediag.errors import StoreError
from phasediag.storage.conditional import Held, Version
from phasediag.storage.folder import Entry
from phasediag.storage.holder import Holder
from phasediag.storage.lease_by_claims import LeaseByClaims
from phasediag.storage.lease_file import LeaseFile
from phasediag.storage.lease_on_condition import LeaseOnCondition

SLOWEST_S: Final = 10.0
"""Of a request on its way to the store, and of its answer on the way back."""
SILENCE_S: Final = 120.0
HEARTBEAT_S: Final = 10.0
SOMEBODY: Final = replace(Holder.this_process("launch"), machine="another")

_Answer = TypeVar("_Answer")


class Killed(BaseException):
    """The end of a process."""


@dataclass(slots=True, eq=False)
class Process:
    """A thread that runs when it is its turn."""

    number: int
    main: Callable[[Process], None]
    kill_at: int = -1
    """The request at which it is killed; -1: none."""
    requests: int = 0
    dead: bool = False
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Clock:
    """Simulated seconds, and whose turn it is."""

    def __init__(self) -> None:
        self.now = 1e6
        self._events: list[tuple[float, int, Process | Callable[[], None]]] = []
        self._order = count()
        self._over = threading.Semaphore(0)
        self.errors: list[BaseException] = []

    def at(self, when: float, event: Process | Callable[[], None]) -> None:
        """Let a process go on, or something happen, at a time."""
        heapq.heappush(self._events, (when, next(self._order), event))

    def run(self, processes: list[tuple[float, Process]]) -> None:
        """Run processes, each from its own time on, until all have ended."""
        threads = [threading.Thread(target=self._thread, args=(each,)) for _, each in processes]
        for thread, (start, process) in zip(threads, processes, strict=True):
            self.at(self.now + start, process)
            thread.start()
        self._next(None)
        self._over.acquire()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def sleep(self, process: Process, seconds: float) -> None:
        """Let time pass for a process."""
        self.at(self.now + seconds, process)
        self._next(process)

    def _next(self, running: Process | None) -> None:
        """Hand the turn on, and wait for the next one of the process that had it."""
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            if isinstance(event, Process):
                if event is not running:
                    event.turn.release()
                    break
                return
            event()
        else:
            self._over.release()
        if running is not None and not running.dead:
            running.turn.acquire()

    def _thread(self, process: Process) -> None:
        process.turn.acquire()
        try:
            process.main(process)
        except Killed:
            pass
        except BaseException as error:
            self.errors.append(error)
        process.dead = True
        self._next(process)


@dataclass(slots=True, eq=False)
class Bucket:
    """The objects of a store, each with when it was written."""

    clock: Clock
    rng: np.random.Generator
    faulty: float = 0.0
    """The share of requests that end in an error, though many of them are done."""
    objects: dict[str, tuple[bytes, float, int]] = field(default_factory=dict)
    versions: Iterator[int] = field(default_factory=lambda: count(1))

    def put(self, name: str, content: bytes, age_s: float = 0.0) -> int:
        """Write an object now."""
        version = next(self.versions)
        self.objects[name] = (content, self.clock.now - age_s, version)
        return version

    def ask(self, process: Process, work: Callable[[], _Answer]) -> _Answer:
        """What a request of a process gives, which takes its time on the way there and back."""
        if process.dead:
            raise Killed
        process.requests += 1
        there, back, chance = self.rng.uniform(0, SLOWEST_S, 3) * (1, 1, 1 / SLOWEST_S)
        if process.requests == process.kill_at:
            if self.rng.random() < 0.5:
                self.clock.at(self.clock.now + there, lambda: void(work()))
            process.dead = True
            raise Killed
        if chance < self.faulty / 2:  # given up, while the request is still under way
            self.clock.at(self.clock.now + 2 * SLOWEST_S, lambda: void(work()))
            self.clock.sleep(process, SLOWEST_S)
            raise StoreError("no answer")
        self.clock.sleep(process, there)
        answer = work()
        self.clock.sleep(process, back)
        if chance < self.faulty:
            raise StoreError("the answer was lost")
        return answer


def void(value: object) -> None:
    """Nothing, whatever came of it."""


@dataclass(frozen=True, slots=True)
class SimulatedFolder:
    """What a lease asks of a folder, by one process."""

    bucket: Bucket
    process: Process
    path: str = ""

    def __truediv__(self, name: str) -> SimulatedFolder:
        return replace(self, path=f"{self.path}{name}/")

    def entry(self, name: str) -> Entry | None:
        return self._ask(lambda: self._entry(self.path + name))

    def entries(self) -> list[Entry]:
        def listed() -> list[Entry]:
            inside = [name for name in self.bucket.objects if name.startswith(self.path)]
            return [entry for name in inside if (entry := self._entry(name))]

        return self._ask(listed)

    def read(self, name: str) -> bytes:
        content = self._ask(lambda: self.bucket.objects.get(self.path + name))
        if content is None:
            raise FileNotFoundError(name)
        return content[0]

    def write(self, name: str, content: bytes) -> None:
        self._ask(lambda: self.bucket.put(self.path + name, content))

    def delete(self, name: str) -> None:
        self._ask(lambda: self.bucket.objects.pop(self.path + name, None))

    def now_ns(self) -> int:
        return self._ask(lambda: int(self.bucket.clock.now * 1e9))

    def get(self, name: str) -> Held | None:
        there = self._ask(lambda: self.bucket.objects.get(self.path + name))
        if there is None:
            return None
        content, mtime, version = there
        return Held(content=content, version=Version(e_tag=str(version)), mtime_ns=int(mtime * 1e9))

    def create(self, name: str, content: bytes) -> Version | None:
        return self._ask(lambda: self._put_where(name, content, None))

    def replace(self, name: str, content: bytes, known: Version) -> Version | None:
        return self._ask(lambda: self._put_where(name, content, known))

    @property
    def local(self) -> bool:
        return False

    def _put_where(self, name: str, content: bytes, known: Version | None) -> Version | None:
        there = self.bucket.objects.get(self.path + name)
        if (str(there[2]) if there else None) != (known.e_tag if known else None):
            return None
        return Version(e_tag=str(self.bucket.put(self.path + name, content)))

    def _entry(self, name: str) -> Entry | None:
        there = self.bucket.objects.get(name)
        if there is None:
            return None
        return Entry(name=name.rpartition("/")[2], size=len(there[0]), mtime_ns=int(there[1] * 1e9))

    def _ask(self, work: Callable[[], _Answer]) -> _Answer:
        return self.bucket.ask(self.process, work)


def on_condition(folder: Any) -> LeaseFile:
    """The lease of a store that writes on conditions."""
    return LeaseOnCondition(folder=folder, conditional=folder, name="lease", silence_s=SILENCE_S)


def by_claims(folder: Any) -> LeaseFile:
    """The lease of a store that does not."""
    clock, process = folder.bucket.clock, folder.process
    return LeaseByClaims(
        folder=folder, name="lease", silence_s=SILENCE_S, clock=lambda: clock.now,
        sleep=lambda seconds: clock.sleep(process, seconds),
    )  # fmt: skip


@dataclass(slots=True, eq=False)
class Race:
    """Some processes that want one lease."""

    way: Callable[[Any], LeaseFile]
    rng: np.random.Generator
    clock: Clock = field(default_factory=Clock)
    holding: set[int] = field(default_factory=set)
    taken: int = 0
    doubled: int = 0
    """How often somebody got the lease while somebody held it who was alive."""

    def run(self, *, takers: int, spread_s: float, deadly: float, faulty: float, keeping: bool) -> None:
        """Let them race.

        Parameters
        ----------
        spread_s
            They begin within so many seconds.
        deadly
            The share of them that is killed at some request.
        faulty
            The share of requests that fail.
        keeping
            Whether who has the lease keeps it until the others have given up; else it is given back, or its
            holder dies, and who did not get it tries again.
        """
        bucket = Bucket(self.clock, self.rng, faulty)
        self._plant(bucket)
        processes = []
        for number in range(takers):
            kill_at = int(self.rng.integers(1, 30)) if self.rng.random() < deadly else -1
            process = Process(number, lambda p: self._want(p, bucket, keeping), kill_at=kill_at)
            processes.append((float(self.rng.uniform(0, spread_s)), process))
        self.clock.run(processes)

    def _plant(self, bucket: Bucket) -> None:
        """What a dead process may have left long ago: a lease, a claim, both or nothing."""
        if self.rng.random() < 0.5:
            bucket.put("lease", replace(SOMEBODY, token="dead").text, age_s=SILENCE_S + 1)
        if self.rng.random() < 0.5:
            token = str(self.rng.choice(["00", "ff"]))
            bucket.put(f"lease.claims/{token}", replace(SOMEBODY, token=token).text, age_s=SILENCE_S + 1)

    def _want(self, process: Process, bucket: Bucket, keeping: bool) -> None:
        for attempt in range(1 if keeping else 3):
            token = f"{self.rng.integers(2**32):08x}"
            file = self.way(SimulatedFolder(bucket, process))
            holder = replace(SOMEBODY, token=token)
            try:
                taken = file.take(holder)
            except StoreError:
                taken = False
            if taken:
                with self._held(process):
                    self._hold(process, file, holder, 600.0 if keeping else float(self.rng.uniform(0, 90)))
                with suppress(StoreError):
                    file.release()
                return
            self.clock.sleep(process, float(self.rng.uniform(0, 100)) * (attempt + 1))

    @contextmanager
    def _held(self, process: Process) -> Iterator[None]:
        self.taken += 1
        self.doubled += bool(self.holding)
        self.holding.add(process.number)
        try:
            yield
        finally:
            self.holding.discard(process.number)

    def _hold(self, process: Process, file: LeaseFile, holder: Holder, seconds: float) -> None:
        """Beat as a launch does, until it is enough, or the lease is lost."""
        end, last, beats = self.clock.now + seconds, self.clock.now, 0
        while self.clock.now < end:
            self.clock.sleep(process, HEARTBEAT_S)
            begun, beats = self.clock.now, beats + 1
            try:
                if not file.renew(replace(holder, beats=beats)):
                    return
                last = begun
            except StoreError:
                if self.clock.now - last > SILENCE_S:
                    return
