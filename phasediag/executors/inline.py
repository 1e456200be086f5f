"""Packs in this process, one after the other."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from phasediag.errors import MachineError, in_words
from phasediag.executors.places import allowed_cores, workers_on
from phasediag.executors.watch import LostPack, Watch
from phasediag.library_messages import quiet
from phasediag.packing.machine import device_of
from phasediag.packing.pack import Pack
from phasediag.running.job import Breakdown, Job
from phasediag.running.pack_run import PackRun
from phasediag.storage.folder import Folder
from phasediag.storage.store import Store

SLICE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineExecutor:
    """Runs packs here, on one device."""

    cpus: float = 1.0
    gpus: float = 0.0
    tf32: bool = False
    log: Path | None = None
    """Where goes what libraries say of themselves."""

    @contextmanager
    def ready(self, folder: Folder, trials: int) -> Iterator[int]:
        """One pack at a time."""
        yield 1

    def run(self, packs: Sequence[Pack], job: Job, watch: Watch) -> list[LostPack]:
        """Train the packs until they are done or the launch drains."""
        store = Store.at(job.sweep)
        device = device_of(self.gpus, self.tf32)
        notice = device_notice(self.gpus, device)
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, min(int(self.cpus), allowed_cores())))
        try:
            with quiet(self.log):
                for pack in packs:
                    if watch.ending.due():
                        break
                    try:
                        _run_one(PackRun(pack, job, store, device, notice), watch)
                    except OSError as error:
                        watch.ending.fail(Breakdown(error=in_words(error), of_machine=True))
        finally:
            torch.set_num_threads(threads)
        return []


def _run_one(run: PackRun, watch: Watch) -> None:
    while not run.done and not watch.ending.due():
        try:
            watch.report(run.pack.pack_id, run.advance(SLICE_SECONDS))
        except (MachineError, torch.AcceleratorError) as error:
            watch.ending.fail(Breakdown(error=str(error), of_machine=True))
    run.checkpoint()


def local_workers(cpus: float, gpus: float) -> int:
    """How many packs of these resources run at once on this machine; without a GPU, as if it had one."""
    by_cpu = int(allowed_cores() / cpus)
    return max(1, min(by_cpu, workers_on(max(1, torch.cuda.device_count()), gpus)) if gpus else by_cpu)


def device_notice(gpus: float, device: torch.device) -> str:
    """What to tell of a worker that was given a GPU and trains on the CPU; else nothing."""
    if not gpus or device.type == "cuda":
        return ""
    return f"torch sees no CUDA device on {socket.gethostname()} (gpus: {gpus:g}): training on the CPU"
