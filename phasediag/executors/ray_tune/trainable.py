"""Ray's view of a worker's place."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """A worker's modules load faster while nobody looks through them for garbage."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


with _garbage_kept():
    import ray
    from ray import tune

    from phasediag.executors.worker import Worker
    from phasediag.running.job import Job, PackClaim, WorkerReport

FIRST_SECONDS: Final = 0.5
"""Training up to the first result; then twice as long each time."""
SLICE_SECONDS: Final = 4.0
"""Training between two results, at most: each costs time on its way through Tune."""
FIRST_IDLE: Final = 0.1
"""Seconds that a place without a pack waits before it asks again; then twice as long each time."""

MOST_IDLE: Final = 2.0


class PlaceTrainable(tune.Trainable):
    """A worker's place: `step` trains the pack that `take` has brought, for a slice of time.

    What it tells goes up as a result of Tune's; packs come down by calls of `take`, which Ray runs between
    two steps, in the order in which they were asked for.
    """

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], *, job: Job, cpus: float, gpus: float, tf32: bool
    ) -> None:  # fmt: skip
        """Take in the job."""
        node = ray.get_runtime_context().get_node_id()
        self.worker = Worker(job, cpus=cpus, gpus=gpus, tf32=tf32, node=node)
        self.slice_s, self.idle_s = FIRST_SECONDS, 0.0
        self.refused: WorkerReport | None = None
        self.broken = ""

    def take(self, claim: PackClaim) -> None:
        """Take a pack."""
        self.refused = self.worker.take(claim)  # an error here would be told to nobody

    def step(self) -> dict[str, Any]:
        """Train for a slice, or wait a while for a pack."""
        if self.broken:
            raise RuntimeError(self.broken)  # lets Tune start another process
        report, self.refused = self.refused or self._train(), None
        if report.breakdown is not None and report.breakdown.of_process:
            self.broken = report.breakdown.error
        return {"report": report, "handle": ray.get_runtime_context().current_actor}

    def _train(self) -> WorkerReport:
        if self.worker.busy:
            self.idle_s = 0.0
            report = self.worker.step(self.slice_s)
            if self.slice_s == FIRST_SECONDS and _nothing_trained(report):
                report = self.worker.step(FIRST_SECONDS / 2)  # there is a rate as soon as there can be one
            self.slice_s = min(SLICE_SECONDS, 2 * self.slice_s)
            return report
        time.sleep(self.idle_s)
        self.idle_s = min(MOST_IDLE, max(FIRST_IDLE, 2 * self.idle_s))
        return self.worker.step(0)

    def cleanup(self) -> None:
        """Keep what an unfinished pack has reached."""
        self.worker.set_aside()


def _nothing_trained(report: WorkerReport) -> bool:
    """Whether a pack has begun, and that was all."""
    progress = report.progress
    return progress is not None and not progress.done and progress.trials_done <= progress.resumed
