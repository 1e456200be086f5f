"""Running a pack: the only place where physics meets bookkeeping."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from typing import Final

import numpy as np
import torch

from phasediag.errors import MachineError, PhasediagError, TileRaisedError
from phasediag.packing.machine import fault_of, room
from phasediag.packing.origin import Origin
from phasediag.packing.pack import Pack
from phasediag.running import checkpoint
from phasediag.running.begun import UNUSABLE, ShorterTrials
from phasediag.running.checkpoint import Checkpoint, FinishedTile
from phasediag.running.job import PHASES, Job, Progress, TileWork
from phasediag.running.rows import failed_rows
from phasediag.running.sources import source_folder
from phasediag.running.tile_run import TileRun
from phasediag.storage.store import Store

CHECKPOINT_SECONDS: Final = 30.0
"""Between two checkpoints of a pack in training, at least."""
CHECKPOINT_SHARE: Final = 0.05
"""The share of the time that checkpoints may take: those of a tile that fills a GPU are gigabytes."""


class PackRun:
    """One pack in training, in slices of time.

    Parameters
    ----------
    pack
        What to train. A checkpoint of it in the store is continued.
    job
        Of the sweep.
    store
        Where the fragment and the checkpoints go.
    device
        `cpu` or `cuda`. Where it has no room for the tiles of the pack, they are cut in equal parts.
    notice
        About the worker's device, for the user; empty without one.
    final, accepted
        As in `PackClaim`.
    """

    def __init__(
        self, pack: Pack, job: Job, store: Store, device: torch.device, notice: str = "", *,
        final: bool = True, accepted: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self.pack, self.job, self.device = pack, job, device
        self.store = store if store.sweep_id else replace(store, sweep_id=store.identity())
        self._final, self._accepted = final, accepted
        self.folder = source_folder(job.sources)
        self.queue: deque[TileWork] = deque()
        self.finished: list[FinishedTile] = []
        self.current: TileRun | None = None
        self._failed: dict[int, int] = {}
        self._shorter = ShorterTrials(store)
        self.done = False
        self.error, self.notice = "", notice
        self.spent = dict.fromkeys(PHASES, 0.0)
        self._saved_at, self._save_again_s = time.monotonic(), CHECKPOINT_SECONDS
        if not self._resumed_from_checkpoint():
            self.queue.extend(self._tiles())
        self._resumed = self._trials_done

    def advance(self, seconds: float) -> Progress:
        """Train for about so long; at the end of the pack, write its fragment.

        Raises
        ------
        MachineError
            Where the machine is at fault; the trials are still to train.
        TileRaisedError
            Where all trials of a tile raised and the claim is not final: another machine is to try them.
        """
        deadline = time.monotonic() + seconds
        while not self.done and time.monotonic() < deadline:
            self._work(deadline)
        if not self.done and time.monotonic() - self._saved_at > self._save_again_s:
            self.checkpoint()
        return self.progress()

    def progress(self) -> Progress:
        """How far the pack is."""
        status = [s for done in self.finished for s in done.trials["status"].to_pylist()]
        return Progress(
            trials_done=self._trials_done, resumed=self._resumed, failed=status.count("failed"),
            diverged=status.count("diverged"), error=self.error, done=self.done, spent=self._spent(),
            notice=self.notice,
        )  # fmt: skip

    def checkpoint(self) -> None:
        """Save everything that is needed to continue."""
        if self.done:
            return
        started = time.monotonic()
        checkpoint.write(self.store, self.pack.pack_id, self._checkpoint())
        self._saved_at = time.monotonic()
        self._save_again_s = max(CHECKPOINT_SECONDS, (self._saved_at - started) / CHECKPOINT_SHARE)
        self.spent["writing"] += self._saved_at - started

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            header=checkpoint.header_of(self.pack, self.job.measure), error=self.error,
            queue=tuple(self.queue), current=self.current.saved() if self.current else None,
            finished=tuple(self.finished),
        )  # fmt: skip

    def _spent(self) -> dict[str, float]:
        running = self.current.spent if self.current else {}
        return {phase: self.spent[phase] + running.get(phase, 0.0) for phase in PHASES}

    def _close(self) -> None:
        """Let the present tile go; its time stays counted."""
        self.spent = self._spent()
        self.current = None

    @property
    def _trials_done(self) -> float:
        partial = self.current.share * len(self.current.work.rows) if self.current else 0.0
        return sum(len(done.trials) for done in self.finished) + partial

    def _tiles(self) -> Iterator[TileWork]:
        """The tiles of the pack, each in as many equal parts as the room of the device asks for."""
        size, count = self.pack.tile_size, len(self.pack.trials)
        fitting = max(1.0, size * min(1.0, room(self.device) / self.pack.projected_bytes))
        smaller = max(2, ceil(size / ceil(size / fitting)))
        if smaller < size:
            self.notice = self.notice or f"no room for tiles of {size} trials: taking {smaller}"
        for start in range(0, count, size):
            stop = min(start + size, count)
            for first in range(start, stop, smaller):
                yield TileWork(rows=np.arange(first, min(first + smaller, stop)), size=smaller)

    def _resumed_from_checkpoint(self) -> bool:
        """Continue, if that can be; what a tile raises as it is built anew is for its training to tell."""
        try:
            return self._resume()
        except (PhasediagError, OSError, torch.AcceleratorError):
            raise
        except Exception as error:
            if fault := fault_of(error):
                raise MachineError(fault) from error
            self.queue.clear()
            self.finished, self.current, self.error = [], None, ""
            self._failed = {}
            return False

    def _resume(self) -> bool:
        """Continue from the checkpoint, if there is one of these trials, padded and measured alike."""
        kept = checkpoint.read(self.store, self.pack.pack_id)
        if kept is None or not kept.header.continues(checkpoint.header_of(self.pack, self.job.measure)):
            return False
        self.error = kept.error
        self.queue.extend(kept.queue)
        self.finished.extend(kept.finished)
        self._failed = self._failed_before()
        self.pack = replace(self.pack, origin=Origin.of(kept.header.origin))
        if kept.current is not None:
            self.current = TileRun(self.pack, self.job, self.device, kept.current.work)
            self.current.restore(kept.current)
        return True

    def _work(self, deadline: float) -> None:
        """Start the next tile, train the present one for a while, or write the fragment."""
        if self.current is None and not self.queue:
            self._commit()
            return
        work = self.current.work if self.current else self.queue.popleft()
        try:
            if self.current is None:
                self.current = TileRun(self.pack, self.job, self.device, work)
                self._begin(self.current)
            self.current.advance(deadline)
            self.notice = self.notice or self.current.tile.program.notice
            if self.current.finished:
                self.finished.append(self.current.result())
                self._close()
        except torch.AcceleratorError:  # after one, nothing runs on the GPU in this process
            self._close()
            self.queue.appendleft(work)
            raise
        except Exception as error:  # whatever a trial raises is that trial's result, never the sweep's end
            self._close()
            if fault := fault_of(error):
                self.queue.appendleft(work)
                raise MachineError(fault) from error
            self._halve(work, error)

    def _begin(self, run: TileRun) -> None:
        """Let a tile go on from the weights of shorter trials, where it can; else it begins at step 0."""
        if self.pack.origin is None:
            return
        began = time.monotonic()
        try:
            run.begin(self._shorter.before(self.pack, run.work.rows))
        except UNUSABLE as error:
            self.notice = self.notice or f"trained from the start instead of from kept weights: {error}"
        self.spent["writing"] += time.monotonic() - began

    def _halve(self, work: TileWork, error: Exception) -> None:
        """Try both halves of a tile that raised; a trial that raises alone has failed."""
        text = f"{type(error).__name__}: {error}"
        if len(work.rows) == 1:
            self._fail(work, text)
            return
        size = work.size
        if _out_of_memory(error) and size > 2:
            size //= 2
            self.notice = f"out of memory with tiles of {work.size} trials: going on with {size}"
            self.queue = deque(half for waiting in self.queue for half in _halved(waiting, size))
        self.queue.extendleft(reversed(_halved(work, size)))

    def _fail(self, work: TileWork, text: str) -> None:
        """Record a trial as failed, unless all of its tile did and another machine is to try them."""
        row, size, count = int(work.rows[0]), self.pack.tile_size, len(self.pack.trials)
        first = row - row % size
        mates = np.arange(first, min(first + size, count))
        before = [self._failed.get(mate) for mate in mates.tolist() if mate != row]
        if self._final or text in self._accepted or None in before:
            self.error = self.error or text
            self._failed[row] = len(self.finished)
            self.finished.append(failed_rows(self.pack, self.job, work.rows, text))
            return
        self.finished = [done for number, done in enumerate(self.finished) if number not in before]
        self._failed = self._failed_before()
        self.error = self.error if self._failed else ""
        parts = [mates[start : start + work.size] for start in range(0, len(mates), work.size)]
        self.queue.extendleft(TileWork(rows=part, size=work.size) for part in reversed(parts))
        raise TileRaisedError(text)

    def _failed_before(self) -> dict[int, int]:
        """The trials among the finished that have failed alone, and where their rows are."""
        alone = {
            done.trials["trial_id"][0].as_py(): number
            for number, done in enumerate(self.finished)
            if len(done.trials) == 1 and done.trials["status"][0].as_py() == "failed"
        }
        ids = enumerate(self.pack.trials.trial_id.tolist()) if alone else ()
        return {row: alone[trial_id] for row, trial_id in ids if trial_id in alone}

    def _commit(self) -> None:
        started = time.monotonic()
        done = FinishedTile.joined(self.finished)
        self.store.write_fragment(self.pack.pack_id, done.trials, done.measurements, done.kept)
        self.store.drop_checkpoint(self.pack.pack_id)
        self.spent["writing"] += time.monotonic() - started
        self.done = True


def _halved(work: TileWork, size: int) -> list[TileWork]:
    middle = len(work.rows) // 2
    halves = (work.rows[:middle], work.rows[middle:])
    return [TileWork(rows=rows, size=size) for rows in halves if len(rows)]


def _out_of_memory(error: Exception) -> bool:
    """Whether memory is out: of the GPU, of Python, or of torch's allocator on the CPU (by its words)."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
