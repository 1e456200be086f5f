"""The executor that gives packs to Ray Tune."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from phasediag.errors import ClusterError
from phasediag.executors.inline import workers_on
from phasediag.executors.ray_tune.connection import check_shared, connected
from phasediag.executors.ray_tune.trainable import PackTrainable
from phasediag.executors.watch import LostPack, Watch
from phasediag.storage.folder import Folder
from phasediag.training.pack import Pack
from phasediag.training.rows import Job
from phasediag.training.worker import Progress

WORKER_DEATHS: Final = 2
"""A pack is given to so many more workers after its first one died, before it counts as lost."""


class Reporter(tune.Callback):
    """Brings what Tune trials report to the watch."""

    def __init__(self, watch: Watch, packs: Mapping[str, Pack]) -> None:
        self.watch, self.packs = watch, packs
        self.lost: list[LostPack] = []

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks for a restore that is never made."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Report progress."""
        if result["fatal"]:
            self.watch.fail(result["fatal"])
            return
        progress = Progress(**{name: result[name] for name in Progress.__slots__})
        self.watch.report(trial.config["pack_id"], progress)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Remember a pack whose workers died."""
        lines = [line for line in str(trial.get_error() or "").splitlines() if line.strip()]
        self.lost.append(
            LostPack(pack=self.packs[trial.config["pack_id"]], error=lines[-1] if lines else "lost")
        )


class Drained(tune.Stopper):
    """Stops the experiment when the watch drains."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks for a restore that is never made."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stop one Tune trial by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop everything."""
        return self.watch.draining


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
    def ready(self, folder: Folder) -> Iterator[int]:
        """A connection to Ray for the time of a block, given the number of workers it can run at once.

        A local Ray is ended with the block unless it is kept, a cluster is left alone.

        Raises
        ------
        ClusterError
            Where the cluster cannot be reached, cannot give a worker its resources, or does not
            share the storage.
        """
        with connected(self.address, self.log, keep=self.keep):
            yield self._check(folder)

    def run(self, packs: Sequence[Pack], job: Job, watch: Watch) -> list[LostPack]:
        """Train the packs until they are done or the watch drains; give back those that were lost."""
        by_id = {pack.pack_id: pack for pack in packs}
        reporter = Reporter(watch, by_id)
        scratch = tempfile.mkdtemp(prefix="phasediag-tune-")
        try:
            self._tuner(by_id, job, watch, reporter, scratch).fit()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return reporter.lost

    def _tuner(
        self, packs: Mapping[str, Pack], job: Job, watch: Watch, reporter: Reporter, scratch: str
    ) -> tune.Tuner:
        given = tune.with_parameters(
            PackTrainable, packs=packs, job=job, cpus=self.cpus, gpus=self.gpus, tf32=self.tf32
        )
        trainable = tune.with_resources(given, {"cpu": self.cpus, "gpu": self.gpus})
        trainable.__name__ = trainable.__qualname__ = PackTrainable.__name__  # titles the worker processes
        return tune.Tuner(
            trainable,
            param_space={"pack_id": tune.grid_search(list(packs))},
            tune_config=tune.TuneConfig(reuse_actors=True, metric="trials_done", mode="max"),
            run_config=tune.RunConfig(
                name="packs", storage_path=scratch, verbose=0, callbacks=[reporter], stop=Drained(watch),
                failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )  # fmt: skip

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
