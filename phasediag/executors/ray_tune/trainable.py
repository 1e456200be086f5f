"""Ray's view of a pack."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


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
    from ray import tune

    from phasediag.executors.actor import PackActor
    from phasediag.packing.pack import Pack
    from phasediag.running.job import Breakdown, Job


class PackTrainable(tune.Trainable):
    """Ray's view of a pack: a class trainable whose `step` trains for a slice of time."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], *, packs: Mapping[str, Pack], job: Job, cpus: float, gpus: float,
        tf32: bool,
    ) -> None:  # fmt: skip
        """Take in the packs and the job once for each actor."""
        self.actor = PackActor(packs, job, cpus=cpus, gpus=gpus, tf32=tf32)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Let the actor take another pack."""
        self.actor.set_aside()
        return True

    def step(self) -> dict[str, Any]:
        """Train for a slice, and tell how far the pack is.

        Tune reads `done` and its metric, `trials_done`; the report itself goes through it as it is.
        """
        report = self.actor.step(self.config["pack_id"])
        if isinstance(report, Breakdown):
            return {"report": report, "done": True, "trials_done": 0.0}
        return {"report": report, "done": report.done, "trials_done": report.trials_done}

    def cleanup(self) -> None:
        """Keep what an unfinished pack has reached."""
        self.actor.set_aside()
