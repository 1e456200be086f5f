"""A worker process of a launch: trains one pack after the other, by slices of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch

from phasediag.errors import MachineError, PhasediagError, in_words
from phasediag.executors.inline import device_notice
from phasediag.packing.machine import device_of
from phasediag.packing.pack import Pack
from phasediag.running.job import Breakdown, Job, Progress
from phasediag.running.pack_run import PackRun
from phasediag.storage.store import Store

FIRST_SECONDS: Final = 1.0
"""Training up to the first result; then twice as long each time."""
SLICE_SECONDS: Final = 4.0
"""Training between two results, at most: each costs time on its way through Tune."""


class PackActor:
    """What a worker holds while it is reused.

    Parameters
    ----------
    packs
        All of the launch, by pack_id.
    job
        What is the same for all of them.
    cpus, gpus, tf32
        What the worker has, as in `Resources`.
    """

    def __init__(self, packs: Mapping[str, Pack], job: Job, *, cpus: float, gpus: float, tf32: bool) -> None:
        torch.set_num_threads(max(1, int(cpus)))
        self.packs, self.job = packs, job
        self.device = device_of(gpus, tf32)
        self.notice = device_notice(gpus, self.device)
        self.store = Store.at(job.sweep)
        self.run: PackRun | None = None
        self.slice_s = FIRST_SECONDS

    def step(self, pack_id: str) -> Progress | Breakdown:
        """Train for a slice."""
        try:
            if self.run is None:
                self.run = PackRun(self.packs[pack_id], self.job, self.store, self.device, self.notice)
            progress = self.run.advance(self.slice_s)
            self.slice_s = min(SLICE_SECONDS, 2 * self.slice_s)
        except PhasediagError as error:
            return Breakdown(error=str(error), of_machine=isinstance(error, MachineError))
        except OSError as error:
            return Breakdown(error=in_words(error), of_machine=True)
        return progress

    def set_aside(self) -> None:
        """Keep what an unfinished pack has reached, and be ready for another one."""
        if self.run is not None:
            self.run.checkpoint()
        self.run = None
