"""Packs in this process, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from phasediag.executors.watch import LostPack, Watch
from phasediag.storage.folder import Folder
from phasediag.storage.store import Store
from phasediag.training.pack import Pack
from phasediag.training.rows import Job
from phasediag.training.worker import PackRun

SLICE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineExecutor:
    """Runs packs here, on one device."""

    cpus: float = 1.0
    gpus: float = 0.0

    @property
    def expected_workers(self) -> int:
        """One."""
        return 1

    def compiling(self, packs: Sequence[Pack], sources: Mapping[str, bytes]) -> AbstractContextManager[None]:
        """Nothing: there are no workers to wait for."""
        return nullcontext()

    @contextmanager
    def ready(self, folder: Folder) -> Iterator[int]:
        """One pack at a time."""
        yield 1

    def run(self, packs: Sequence[Pack], job: Job, watch: Watch) -> list[LostPack]:
        """Train the packs until they are done or the watch drains."""
        store = Store.at(job.sweep)
        device = training_device(self.gpus)
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, int(self.cpus)))
        try:
            for pack in packs:
                if watch.draining:
                    break
                _run_one(PackRun(pack, job, store, device), watch)
        finally:
            torch.set_num_threads(threads)
        return []


def _run_one(run: PackRun, watch: Watch) -> None:
    while not run.done and not watch.draining:
        watch.report(run.pack.pack_id, run.advance(SLICE_SECONDS))
    run.checkpoint()


def local_workers(cpus: float, gpus: float) -> int:
    """How many packs of these resources run at once on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, int(1 / gpus) if gpus else int(cores / cpus))


def training_device(gpus: float) -> torch.device:
    """The GPU where one is asked for and there is one, else the CPU."""
    return torch.device("cuda" if gpus > 0 and torch.cuda.is_available() else "cpu")
