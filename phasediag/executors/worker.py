"""Trains one claim after the other, by slices of time: the same for every executor."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from typing import Final

import torch

from phasediag.errors import MachineError, PhasediagError, TileRaisedError, in_words
from phasediag.locks import alone
from phasediag.packing.machine import device_of, machine_here
from phasediag.running.canary import sickness
from phasediag.running.job import Breakdown, Job, PackClaim, WorkerPlace, WorkerReport
from phasediag.running.pack_run import PackRun
from phasediag.running.software import differences
from phasediag.storage.folder import Folder
from phasediag.storage.lease_file import LEASE
from phasediag.storage.store import Store

LOOKS: Final = 5
"""At the lease, a second apart: a shared filesystem may be late."""


class Worker:
    """What one place trains with.

    Parameters
    ----------
    job
        What is the same for all claims.
    cpus, gpus, tf32
        What the worker has, as in `Resources`.
    node
        What stands for the machine; empty: its name.
    """

    @alone
    def __init__(self, job: Job, *, cpus: float, gpus: float, tf32: bool, node: str = "") -> None:
        torch.set_num_threads(max(1, int(cpus)))
        self.job, self.store = job, Store(folder=Folder.at(job.sweep), sweep_id=job.sweep_id)
        self.device = device_of(gpus, tf32)
        self.notice = device_notice(gpus, self.device)
        host = socket.gethostname()
        self.place = WorkerPlace(
            host=host,
            node=node or host,
            machine=machine_here(gpus, self.device),
            refusal=_refusal(job, self.device),
        )
        self.run: PackRun | None = None

    @property
    def busy(self) -> bool:
        """Whether it has a pack."""
        return self.run is not None

    @alone
    def take(self, claim: PackClaim) -> WorkerReport | None:
        """Begin with a pack, or continue from its checkpoint; a report where that cannot be.

        Nobody may be there to hear of an error: all are reported.
        """
        try:
            pack = claim.pack.made_by(self.job.expansion)
            self.run = PackRun(
                pack, self.job, self.store, self.device, self.notice, final=claim.final,
                accepted=claim.accepted,
            )  # fmt: skip
        except (PhasediagError, OSError, torch.AcceleratorError) as error:
            return WorkerReport(place=self.place, breakdown=_breakdown(error))
        except Exception as error:
            unforeseen = f"a pack could not be begun ({type(error).__name__}: {error})"
            return WorkerReport(place=self.place, breakdown=Breakdown(error=unforeseen, of_machine=True))
        self.store = self.run.store
        return None

    @alone
    def step(self, seconds: float) -> WorkerReport:
        """Train for a slice, if there is anything to train."""
        if self.run is None:
            return WorkerReport(place=self.place)
        try:
            progress = self.run.advance(seconds)
        except torch.AcceleratorError as error:  # the tile is lost; the checkpoint that there is holds it
            self.run = None
            return WorkerReport(place=self.place, breakdown=_breakdown(error))
        except (PhasediagError, OSError) as error:
            with suppress(PhasediagError, OSError):
                self.run.checkpoint()
            self.run = None
            return WorkerReport(place=self.place, breakdown=self._judged(_breakdown(error)))
        if progress.done:
            self.run = None
        return WorkerReport(place=self.place, progress=progress)

    def _judged(self, breakdown: Breakdown) -> Breakdown:
        """Whose fault it is that all trials of a tile raised, as far as this machine can tell."""
        sick = sickness(self.device) if breakdown.of_tile else ""
        if not sick:
            return breakdown
        return Breakdown(error=f"{breakdown.error}; {sick}", of_machine=True)

    @alone
    def set_aside(self) -> None:
        """Keep what an unfinished pack has reached."""
        if self.run is not None:
            self.run.checkpoint()
        self.run = None


def _breakdown(error: Exception) -> Breakdown:
    if isinstance(error, OSError):
        return Breakdown(error=in_words(error), of_machine=True)
    if isinstance(error, torch.AcceleratorError):
        return Breakdown(error=str(error), of_machine=True, of_process=True)
    return Breakdown(
        error=str(error),
        of_machine=isinstance(error, MachineError),
        of_tile=isinstance(error, TileRaisedError),
    )


def _refusal(job: Job, device: torch.device) -> str:
    """Why this machine must not train for a job; empty where it may."""
    if sick := sickness(device):
        return sick
    other = differences(job.software)
    if other:
        return f"it has {other}; install there what the launch runs with"
    for _ in range(LOOKS if job.token else 0):
        with suppress(PhasediagError, OSError, ValueError, KeyError, TypeError):
            if json.loads(Folder.at(job.sweep).read(LEASE))["token"] == job.token:
                return ""
        time.sleep(1)
    unshared = f"it does not share the storage {job.sweep}, or another launch has taken the sweep over"
    return unshared if job.token else ""


def device_notice(gpus: float, device: torch.device) -> str:
    """What to tell of a worker that was given a GPU and trains on the CPU; else nothing."""
    if not gpus or device.type == "cuda":
        return ""
    return f"torch sees no CUDA device on {socket.gethostname()} (gpus: {gpus:g}): training on the CPU"
