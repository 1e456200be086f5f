"""The executor of the one that leads: a place in this process, beside those that follow."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phasediag.executors.array.leading import Correspondence
from phasediag.executors.dispatch import Dispatch
from phasediag.executors.executor import Staff
from phasediag.executors.inline import NAME, SLICE_SECONDS, set_aside, working
from phasediag.executors.worker import Worker
from phasediag.running.job import Job, WorkerReport
from phasediag.storage.folder import Folder

TASKS: Final = "SLURM_ARRAY_TASK_COUNT"
"""Where Slurm writes how many places there are to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayExecutor:
    """Leads all places that meet in the store, and is one of them."""

    cpus: float = 1.0
    gpus: float = 0.0
    tf32: bool = False
    log: Path | None = None
    """Where goes what libraries say of themselves."""

    @contextmanager
    def ready(self, folder: Folder, trials: int) -> Iterator[Staff]:
        """As many packs at a time as there are places; more may come, and they may go."""
        tasks = os.environ.get(TASKS, "")
        yield Staff(now=max(1, int(tasks)) if tasks.isdecimal() else 1, grows=True)

    def run(self, dispatch: Dispatch, job: Job) -> None:
        """Train and let train until nothing is left or the launch drains."""
        places = Correspondence(dispatch=dispatch, job=job, store=dispatch.store)
        with working(job, self.cpus, self.gpus, self.tf32, self.log) as worker:
            with places.kept():
                report: WorkerReport | None = worker.step(0)
                while not places.over():
                    report = _next(worker, places, report)
                set_aside(worker, dispatch.watch.ending)
            places.end()


def _next(worker: Worker, places: Correspondence, report: WorkerReport | None) -> WorkerReport | None:
    """What the worker tells after it was answered; None where it cannot train any more, but others may."""
    if report is not None:
        claim = places.answer(NAME, report)
        if report.breakdown is not None and report.breakdown.of_process:
            return None
        if claim is not None and (refused := worker.take(claim)) is not None:
            return refused
    if not worker.busy:
        time.sleep(SLICE_SECONDS)
    return report and worker.step(SLICE_SECONDS)
