"""The executor that gives packs to Ray Tune."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ray
from ray.exceptions import RayError

from phasediag.errors import ClusterError
from phasediag.executors.places import allowed_cores, workers_on
from phasediag.executors.ray_tune import quick_start
from phasediag.executors.ray_tune.connection import check_shared, connected
from phasediag.executors.ray_tune.folders import scratch_folder
from phasediag.executors.watch import LostPack, Watch
from phasediag.library_messages import quiet
from phasediag.running.job import Breakdown, Job
from phasediag.storage.folder import Folder

if TYPE_CHECKING:
    from phasediag.packing.pack import Pack

TUNING: Final = "phasediag.executors.ray_tune.tuning"
"""What uses Tune and torch: it takes longest to load."""
TRAINABLE: Final = "phasediag.executors.ray_tune.trainable"
"""What the workers use of Tune and torch: it takes longest to load there."""
TRIALS_PER_WORKER: Final = 2
"""With fewer a worker may stay without a pack: a tile holds two at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayExecutor:
    """Runs packs through Ray Tune, on a Ray of its own or on a cluster."""

    address: str | None = None
    """A cluster's address, `auto`, or None: a local Ray that ends with the launch."""
    cpus: float = 1.0
    gpus: float = 0.0
    tf32: bool = False
    log: Path | None = None
    """Where Ray's own messages go."""
    keep: bool = False
    """Leave a local Ray running for the next launch of this process; it ends with the process."""

    @contextmanager
    def ready(self, folder: Folder, trials: int) -> Iterator[int]:
        """A connection to Ray for the time of a block, given the number of workers it can run at once.

        A local Ray is ended with the block unless it is kept, a cluster is left alone. While torch loads
        here, it does so in the workers of a local Ray, if there are trials enough for all of them.

        Raises
        ------
        ClusterError
            Where the cluster cannot be reached, cannot give a worker its resources, or does not
            share the storage.
        """
        preloaded = TRAINABLE if self._all_work(trials) and not ray.is_initialized() else ""
        with connected(self.address, self.log, keep=self.keep, preloaded=preloaded):
            import_module(TUNING)
            if preloaded:
                quick_start.await_workers()
            yield self._check(folder)

    def run(self, packs: Sequence[Pack], job: Job, watch: Watch) -> list[LostPack]:
        """Train the packs until they are done or the launch drains; give back those that were lost."""
        from ray.tune import TuneError

        from phasediag.executors.ray_tune.tuning import Reporter, tuner

        by_id = {pack.pack_id: pack for pack in packs}
        reporter = Reporter(watch, by_id)
        scratch = scratch_folder()
        resources = {"cpus": self.cpus, "gpus": self.gpus}
        workers = quick_start.of_tune() if self.address is None else nullcontext()
        try:
            with workers, quiet(self.log):
                tuner(by_id, job, watch, reporter, scratch, resources, self.tf32).fit()
        except (RayError, TuneError) as error:
            last = ([line for line in str(error).splitlines() if line.strip()] or [repr(error)])[-1]
            error_text = f"Ray failed under the launch: {last.strip()}"
            watch.ending.fail(Breakdown(error=error_text, of_machine=True))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return reporter.lost

    def _all_work(self, trials: int) -> bool:
        """Whether there is work for as many workers as a local Ray starts: one for every core."""
        enough = trials >= TRIALS_PER_WORKER * allowed_cores()
        return self.address is None and self.cpus == 1 and not self.gpus and enough

    def _check(self, folder: Folder) -> int:
        nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        places = sum(self._places(node["Resources"]) for node in nodes)
        if not places and self.address is None:
            raise ClusterError(
                f"resources: cpus: {self.cpus:g}, gpus: {self.gpus:g} cannot be had on this machine "
                f"({_described(nodes)}); lower them in the grid, or launch on a cluster with --address"
            )
        if self.address is not None:
            check_shared(folder, nodes)
        return max(1, places)

    def _places(self, resources: Mapping[str, float]) -> int:
        """Packs that a node can train at once."""
        by_cpu = int(resources.get("CPU", 0) / self.cpus)
        return min(by_cpu, workers_on(resources.get("GPU", 0), self.gpus)) if self.gpus else by_cpu


def _described(nodes: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{node['Resources'].get('CPU', 0):g} CPUs, {node['Resources'].get('GPU', 0):g} GPUs"
        for node in nodes
    )
