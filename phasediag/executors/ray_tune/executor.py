"""The executor whose places are trials of Ray Tune."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import ray
from ray.exceptions import RayError

from phasediag.errors import ClusterError
from phasediag.executors.executor import Staff
from phasediag.executors.places import allowed_cores
from phasediag.executors.ray_tune import quick_start
from phasediag.executors.ray_tune.connection import check_shared, connected
from phasediag.executors.ray_tune.folders import scratch_folder
from phasediag.executors.ray_tune.gone import ending_with_the_cluster
from phasediag.executors.ray_tune.waiting import described, nodes_alive, places_on
from phasediag.library_messages import quiet
from phasediag.running.job import Breakdown, Job
from phasediag.storage.folder import Folder

if TYPE_CHECKING:
    from phasediag.executors.dispatch import Dispatch

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
    def ready(self, folder: Folder, trials: int) -> Iterator[Staff]:
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
            yield Staff(now=self._check(folder), grows=self.address is not None)

    def run(self, dispatch: Dispatch, job: Job) -> None:
        """Train until nothing is left or the launch drains."""
        from ray.tune import TuneError

        from phasediag.executors.ray_tune.tuning import tuner

        scratch = scratch_folder()
        resources = {"cpus": self.cpus, "gpus": self.gpus}
        local = self.address is None
        shortcuts = quick_start.of_tune() if local else nullcontext()
        try:
            with ending_with_the_cluster(scratch, local=local), shortcuts, quiet(self.log):
                tuner(dispatch, job, self._places, scratch, resources, self.tf32).fit()
        except (RayError, TuneError) as error:
            last = ([line for line in str(error).splitlines() if line.strip()] or [repr(error)])[-1]
            error_text = f"Ray failed under the launch: {last.strip()}"
            dispatch.watch.ending.fail(Breakdown(error=error_text, of_machine=True))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _all_work(self, trials: int) -> bool:
        """Whether there is work for as many workers as a local Ray starts: one for every core."""
        enough = trials >= TRIALS_PER_WORKER * allowed_cores()
        return self.address is None and self.cpus == 1 and not self.gpus and enough

    def _check(self, folder: Folder) -> int:
        nodes, places = nodes_alive(), self._places()
        if not places and self.address is None:
            raise ClusterError(
                f"resources: cpus: {self.cpus:g}, gpus: {self.gpus:g} cannot be had on this machine "
                f"({described(nodes)}); lower them in the grid, or launch on a cluster with --address"
            )
        if self.address is not None:
            check_shared(folder, nodes)
        return max(1, places)

    def _places(self) -> int:
        """Packs that can be trained at once on what is there now."""
        return sum(places_on(node, self.cpus, self.gpus) for node in nodes_alive())
