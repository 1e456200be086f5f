"""Sweeps that are launched again and again while something goes wrong, and what must hold of them.

Everything is drawn by the number of a round: what happens to which launch, and when.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from errno import EIO, ENOSPC, EROFS, ESTALE
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

import numpy as np

from damaged_stores import KINDS, Damager
from phasediag.errors import PhasediagError
from phasediag.executors.signals import STOPPING
from phasediag.storage.compaction import LITTER_S
from phasediag.storage.damage import DamageWarning
from phasediag.storage.row_choice import Committed
from phasediag.storage.store import Store
from small_sweeps import assert_same_rows, grid_text, write
from traps import STEPS, Order, Trap, started

GRID: Final = grid_text(
    {"weight_decay": "[0.01, 0.1, 1]", "init_scale": "[0.5, 2]"}, {"steps": 60}, replicates=2,
    resources="{trials_per_pack: 2}", measure="{every: 20, distances: all}",
)  # fmt: skip
"""12 trials in 6 packs, a tenth of a second each."""
OTHER: Final = GRID.replace("[0.5, 2]", "[0.5, 3]")
TRIALS: Final = 12
MOST_DISTURBED: Final = 6
"""Launches of a round that something happens to, unless the sweep is complete before."""
WRITES: Final = 90
"""Some more than a launch of the whole grid takes."""
HANGS_S: Final = 900.0
"""A launch takes seconds, and minutes on a machine that others use: it hangs if it takes so long."""
AWAY_S: Final = 10.0
ENDS: Final = {0, 2, 3, 130, -signal.SIGKILL, -signal.SIGALRM, *(-each for each in STOPPING)}
"""How a launch may end that something happened to; 1 would say that trials failed."""
RECORD: Final = re.compile(
    r"manifest(-copy)?\.json|phasediag\.log|grids/\d{4}\.(yaml|seal\.json|ids\.parquet)"
    r"|(trials|measurements)/merged-\d{6}-\d{4}\.parquet"
)
"""The files of a sweep that is complete and compacted."""
DAMAGES: Final = tuple(kind for kind in KINDS if kind != "unsealed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """What a sweep must come to."""

    sweep: Callable[[str], Path]
    """The one that was trained in a mode of compilation."""
    damager: Callable[[np.random.Generator], Damager]


@dataclass
class Round:
    """One sweep, launched until it is complete."""

    number: int
    folder: Path
    """For the grid, and all that is said."""
    storage: Path
    """Is made here."""
    undisturbed: Undisturbed
    compiled: Sequence[str] = ("off",)
    full: Callable[[int], object] | None = None
    """Fills the disk of the folder but for so many bytes; None where it cannot be had."""
    faults: list[str] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    """What happened how often."""
    _launches: int = 0
    _retrainable: set[str] = field(default_factory=set)
    """Trials whose record was damaged."""
    _manifests: set[str] = field(default_factory=set)
    _story: str = ""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([19, 8, self.number])
        self.compile = str(self.rng.choice(self.compiled))
        self.executor = str(self.rng.choice(["inline", "inline", "inline", "array"]))
        self.grid = write(self.folder, GRID)

    @property
    def sweep(self) -> Path:
        return self.storage / "g"

    def run(self) -> None:
        """Launch the sweep until it is complete; `faults` tells what does not hold."""
        self.storage.mkdir()
        for _ in range(MOST_DISTURBED):
            self._disturbed()
            if self.faults or (len(self._done()) == TRIALS and self.rng.random() < 0.5):
                break
        self._check_end()

    # ---- launches

    def _disturbed(self) -> None:
        ways: dict[str, Callable[[], None]] = {
            "kill": self._kill, "kill during a write": self._kill_late,
            "kill at a commit": self._kill_at_commit, "error": self._error,
            "full": self._full, "short": self._short, "clock": self._clock, "storm": self._storm,
            "away": self._away, "damage": self._damage, "compaction": self._compaction,
            "compaction beside": self._compaction_beside,
        }  # fmt: skip
        name = str(self.rng.choice([*ways, "kill", "kill during a write", "damage"]))
        self._story = f"{self.executor}, {self.compile}, launch {self._launches}: {name}"
        ways[name]()

    def _kill(self) -> None:
        self._launch(Trap(kind="kill", at=self._at()))

    def _kill_late(self) -> None:
        self._launch(Trap(kind="kill", at=self._at(), delay_s=float(10 ** self.rng.uniform(-5, -0.5))))

    def _kill_at_commit(self) -> None:
        at, step = int(self.rng.integers(1, 5)), str(self.rng.choice(STEPS))
        self._launch(Trap(kind="kill", at=at, step=step))

    def _error(self) -> None:
        number, lasting_s = self.rng.choice([ENOSPC, EROFS, EIO, ESTALE]), self.rng.choice([0.02, AWAY_S])
        self._launch(Trap(kind="failing", at=self._at(), number=int(number), lasting_s=float(lasting_s)))

    def _full(self) -> None:
        if self.full is None:
            self._error()
            return
        self.full(int(self.rng.integers(1, 25)) * 4096)
        self._launch(None)
        self.full(-1)

    def _short(self) -> None:
        self._launch(Trap(kind="short", at=self._at(), size=int(self.rng.integers(20_000))))

    def _clock(self) -> None:
        step_s = float(self.rng.choice([-18_000, -100, 100, 10_800]))
        self._launch(Trap(kind="clock", at=self._at(), step_s=step_s))

    def _storm(self) -> None:
        def storm(process: ForkServerProcess) -> None:
            time.sleep(self.rng.uniform(0.05, 0.8))
            for _ in range(self.rng.integers(1, 6)):
                if process.exitcode is None and process.pid is not None:
                    os.kill(process.pid, STOPPING[self.rng.integers(len(STOPPING))])
                time.sleep(self.rng.choice([0.0, 0.01, 0.3]))

        self._launch(None, storm)

    def _away(self) -> None:
        lease = self.sweep / "lease"
        left = lease.read_bytes() if lease.exists() else b""

        def away(process: ForkServerProcess) -> None:
            # before it has the lease it would take an empty storage for a new one, as it should
            while process.exitcode is None and (not lease.exists() or lease.read_bytes() == left):
                time.sleep(0.005)
            time.sleep(self.rng.choice([0.0, self.rng.uniform(0.0, 1.0)]))
            elsewhere = self.storage.with_name("elsewhere")
            self.storage.rename(elsewhere)
            self.storage.mkdir()
            process.join(AWAY_S)
            there = [str(path.relative_to(self.storage)) for path in self.storage.rglob("*")]
            self._expect(not there, f"written where the storage was away: {there}")
            shutil.rmtree(self.storage)
            elsewhere.rename(self.storage)

        self._launch(None, away)

    def _damage(self) -> None:
        if not self.sweep.exists():
            return
        before, known = _contents(self.sweep), self._packs()
        what = self.undisturbed.damager(self.rng).damage(self.sweep, DAMAGES)
        self._story += f" ({what})"
        after = _contents(self.sweep)
        for path in sorted(before.keys() | after.keys()):
            if before.get(path) == after.get(path):
                continue
            if path.startswith("manifest"):
                self._manifests.add(path)
            packs = known.get(path, set())
            if len(self._manifests) > 1:
                packs = packs.union(*known.values())
            self._retrainable |= packs
        self._launch(None)

    def _compaction(self) -> None:
        if self.sweep.exists():
            at = int(self.rng.integers(1, 20))
            delay_s = float(self.rng.choice([0.0, 10 ** self.rng.uniform(-5, -1)]))
            self._run("compact", str(self.sweep), trap=Trap(kind="kill", at=at, delay_s=delay_s))
            self._launch(None if self.rng.random() < 0.5 else Trap(kind="kill", at=self._at()))

    def _compaction_beside(self) -> None:
        def compact(process: ForkServerProcess) -> None:
            time.sleep(self.rng.uniform(0.0, 1.0))
            if self.sweep.exists():
                self._run("compact", str(self.sweep))

        self._launch(None, compact)

    def _at(self) -> int:
        return int(self.rng.integers(1, WRITES))

    def _launch(
        self, trap: Trap | None, work: Callable[[ForkServerProcess], None] = lambda process: None,
        *, calm: bool = False,
    ) -> list[int]:  # fmt: skip
        """Launch once, by one process or by several; how they ended."""
        places = 1 if self.executor == "inline" else int(self.rng.integers(1, 4))
        committed = self._done()
        words = ("launch", str(self.grid), "--storage", str(self.storage), "--compile", self.compile)
        orders = [
            Order(
                arguments=(*words, "--executor", self.executor), folder=str(self.storage),
                said=str(self.folder / f"said-{self._launches}-{place}"),
                log=str(self.folder / f"begun-{self._launches}"), trap=None if place else trap,
            )
            for place in range(places)
        ]  # fmt: skip
        processes = [started(order) for order in orders]
        _await(Path(orders[0].said))
        work(processes[0])
        codes = [self._ended(process) for process in processes]
        said = "".join(Path(order.said).read_text() for order in orders if Path(order.said).exists())
        self._story += f" -> {codes}"
        self._launches += 1
        if not calm:
            self.met[re.split(r" [(\[]| ->", self._story.partition(": ")[2])[0]] += 1
        self._expect("Traceback" not in said and "ignored in" not in said, f"says\n{said}")
        self._expect(set(codes) <= ENDS, f"ended so, saying\n{said}")
        self._expect("is just taking it" not in said, f"a dead process holds it\n{said}")
        log, done = Path(orders[0].log), self._done()
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        begun = {trial_id for trial_id, *_ in lines}
        again = (begun & committed | {trial_id for trial_id, *marks in lines if marks}) - self._retrainable
        self._expect(not again, f"{len(again)} committed trials were trained again")
        self._expect(not committed - done - self._retrainable, "trials that were committed are gone")
        self._expect(not trials_that_are(self.sweep, ("failed",)), "trials failed")
        self._retrainable -= begun & done
        return codes

    def _run(self, *words: str, trap: Trap | None = None) -> int:
        """Run another command."""
        said = self.folder / f"said-{self._launches}-{words[0]}"
        order = Order(arguments=words, folder=str(self.storage), said=str(said),
                      log=str(self.folder / "begun-none"), trap=trap)  # fmt: skip
        code = self._ended(started(order))
        self._story += f" [{words[0]} -> {code}]"
        text = said.read_text() if said.exists() else ""
        self._expect("Traceback" not in text and code != 1, f"{words[0]} says\n{text}")
        return code

    def _ended(self, process: ForkServerProcess) -> int:
        process.join(HANGS_S)
        if process.exitcode is None:
            self._expect(False, f"it hangs, {HANGS_S:.0f} s after it was started")
            process.kill()
            process.join()
        assert process.exitcode is not None
        return process.exitcode

    # ---- what must hold

    def _check_end(self) -> None:
        """A calm launch makes the sweep whole; compacted twice, nothing but the record is there."""
        reference = self.undisturbed.sweep(self.compile)
        self._story += "; then a calm launch"
        if self.faults:
            return
        codes = self._launch(None, calm=True)
        self._expect(set(codes) == {0}, "and it is not complete")
        self._expect(len(self._done()) == TRIALS, f"{len(self._done())} of {TRIALS} trials done")
        self._same(reference)
        for path in self.sweep.rglob(".*.tmp"):
            os.utime(path, (time.time() - 2 * LITTER_S,) * 2)
        for _ in range(2):
            self._expect(self._run("compact", str(self.sweep)) == 0, "it cannot be compacted")
        self._same(reference)
        self._expect(self._run("verify", str(self.sweep)) == 0, "its files are not sound")
        aside = "quarantine/" if "damage" in self.met else "nowhere/"
        files = [path for path in _contents(self.sweep) if not path.startswith(aside)]
        stray = [path for path in files if not RECORD.fullmatch(path)]
        inner = [path for path in self.sweep.rglob("*") if path.is_dir() and path.parent != self.sweep]
        stray += [str(path.relative_to(self.sweep)) for path in inner if not any(path.iterdir())]
        self._expect(not stray, f"stray files and folders: {stray}")

    def _same(self, reference: Path) -> None:
        if self.faults:
            return
        try:
            assert_same_rows(self.sweep, reference)
        except AssertionError as error:
            self._expect(False, f"other rows: {error}")

    def _done(self) -> set[str]:
        return trials_that_are(self.sweep, ("ok", "diverged"))

    def _packs(self) -> dict[str, set[str]]:
        """The trials that have rows in a file, by its path; where that cannot be told, all in each."""
        every = trials_that_are(self.undisturbed.sweep(self.compile), ("ok", "diverged"))
        paths = [str(path.relative_to(self.sweep)) for path in self.sweep.rglob("*.parquet")]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DamageWarning)
                rows = Store.at(self.sweep).trials_table(["trial_id", "pack_id"]).to_pylist()
        except PhasediagError:
            return dict.fromkeys(paths, every)
        by_pack: dict[str, set[str]] = {}
        for row in rows:
            by_pack.setdefault(row["pack_id"], set()).add(row["trial_id"])
        return {
            path: every if "merged-" in path else by_pack.get(Path(path).stem, set())
            for path in paths
        }  # fmt: skip

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.faults.append(f"round {self.number}: {self._story}: {what}")


def _committed(sweep: Path) -> Committed | None:
    if not sweep.exists():
        return None
    with warnings.catch_warnings(), suppress(PhasediagError):
        warnings.simplefilter("ignore", DamageWarning)
        return Store.at(sweep).committed()
    return None


def trials_that_are(sweep: Path, status: Sequence[str]) -> set[str]:
    """The trials of which a launch would say so."""
    known = _committed(sweep)
    if known is None:
        return set()
    pairs = zip(known.trial_id.to_pylist(), known.status.to_pylist(), strict=True)
    return {name for name, said in pairs if said in status}


def _contents(sweep: Path) -> dict[str, bytes]:
    """All files of a sweep."""
    return {str(p.relative_to(sweep)): p.read_bytes() for p in sorted(sweep.rglob("*")) if p.is_file()}


def _await(path: Path) -> None:
    deadline = time.monotonic() + HANGS_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.005)


@contextmanager
def small_disk(folder: Path, megabytes: int = 48) -> Iterator[Callable[[int], None] | None]:
    """A disk in memory at a folder, and what fills it up to so many bytes (-1: empties it again).

    None where no disk can be mounted: then rounds use the folder as it is.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    filler = folder / "filler"

    def full(left: int) -> None:
        filler.unlink(missing_ok=True)
        if left >= 0:
            state = os.statvfs(folder)
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, state.f_bavail * state.f_bsize - left))

    try:
        yield full
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
