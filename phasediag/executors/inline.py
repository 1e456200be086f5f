"""One place in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from phasediag.errors import PhasediagError
from phasediag.executors.dispatch import Dispatch
from phasediag.executors.drain import Drain
from phasediag.executors.executor import Staff
from phasediag.executors.places import allowed_cores, workers_on
from phasediag.executors.worker import Worker
from phasediag.library_messages import quiet
from phasediag.running.job import Job, WorkerReport
from phasediag.storage.folder import Folder

SLICE_SECONDS: Final = 1.0
NAME: Final = "here"


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineExecutor:
    """Runs packs here, on one device."""

    cpus: float = 1.0
    gpus: float = 0.0
    tf32: bool = False
    log: Path | None = None
    """Where goes what libraries say of themselves."""

    @contextmanager
    def ready(self, folder: Folder, trials: int) -> Iterator[Staff]:
        """One pack at a time."""
        yield Staff(now=1)

    def run(self, dispatch: Dispatch, job: Job) -> None:
        """Train until nothing is left or the launch drains."""
        with working(job, self.cpus, self.gpus, self.tf32, self.log) as worker:
            report: WorkerReport | None = worker.step(0)
            while report is not None and not dispatch.over:
                report = _next(worker, dispatch, report)
            set_aside(worker, dispatch.watch.ending)


def set_aside(worker: Worker, ending: Drain) -> None:
    """Let a worker keep what an unfinished pack has reached.

    Where the launch ends because something broke, that is what is told, not that nothing can be kept either.
    """
    try:
        worker.set_aside()
    except (PhasediagError, OSError):
        if ending.breakdown is None:
            raise


@contextmanager
def working(job: Job, cpus: float, gpus: float, tf32: bool, log: Path | None) -> Iterator[Worker]:
    """A worker in this process for the time of a block."""
    threads = torch.get_num_threads()
    try:
        with quiet(log):
            yield Worker(job, cpus=min(cpus, allowed_cores()), gpus=gpus, tf32=tf32)
    finally:
        torch.set_num_threads(threads)


def _next(worker: Worker, dispatch: Dispatch, report: WorkerReport) -> WorkerReport | None:
    """What the worker tells after it was answered; None where it can train nothing more."""
    if report.breakdown is not None and report.breakdown.of_process:
        dispatch.watch.ending.fail(report.breakdown)
        return None
    claim = dispatch.answer(NAME, report)
    if claim is not None and (refused := worker.take(claim)) is not None:
        return refused
    return worker.step(SLICE_SECONDS) if worker.busy else None


def local_workers(cpus: float, gpus: float) -> int:
    """How many packs of these resources run at once on this machine; without a GPU, as if it had one."""
    by_cpu = int(allowed_cores() / cpus)
    return max(1, min(by_cpu, workers_on(max(1, torch.cuda.device_count()), gpus)) if gpus else by_cpu)
