"""Packs on the workers of Ray Tune: one Tune trial a pack, actors reused. The only importer of ray."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from phasediag.training.ahead import Compiler

QUIET: Final = {
    "RAY_prestart_worker_first_driver": "0",  # actors come before such workers are ready, and get others
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "86400",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
import torch  # noqa: E402
from ray import tune  # noqa: E402
from ray._private import services  # noqa: E402
from ray._private.node import Node  # noqa: E402
from ray.exceptions import RayError  # noqa: E402
from ray.tune.experiment import Trial as TuneTrial  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

from phasediag.errors import INTERRUPTED, ClusterError, PhasediagError  # noqa: E402
from phasediag.executors.inline import device_notice, local_workers, workers_on  # noqa: E402
from phasediag.executors.watch import LostPack, Watch  # noqa: E402
from phasediag.storage.folder import Folder  # noqa: E402
from phasediag.storage.store import Store  # noqa: E402
from phasediag.training.machine import device_of  # noqa: E402
from phasediag.training.pack import Pack  # noqa: E402
from phasediag.training.rows import Job  # noqa: E402
from phasediag.training.worker import PackRun, Progress  # noqa: E402

SLICE_SECONDS: Final = 1.5
"""Training between two results of a Tune trial."""
READ_SECONDS: Final = 120
"""Given to the nodes of a cluster to read a token from the storage."""
SPARED: Final = ("start_monitor", "start_log_monitor", "start_api_server")
"""What a local Ray starts for autoscaling, for logs that this process does not show, and for a dashboard;
together they take as long as the rest of it."""
WORKER_DEATHS: Final = 2
"""A pack is given to so many more workers after its first one died, before it counts as lost."""


class PackTrainable(tune.Trainable):
    """Ray's view of a pack: a class trainable whose `step` trains for a slice of time."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], *, packs: Mapping[str, Pack], job: Job, cpus: float, gpus: float,
        tf32: bool,
    ) -> None:  # fmt: skip
        """Take in the packs and the job once for each actor."""
        torch.set_num_threads(max(1, int(cpus)))
        if any(pack.compiled for pack in packs.values()):
            import_module("torch._inductor.compile_fx")  # takes seconds, which pass while others compile
        self.packs, self.job = packs, job
        self.device = device_of(gpus, tf32)
        self.notice = device_notice(gpus, self.device)
        self.store = Store.at(job.sweep)
        self.run: PackRun | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Let the actor take another pack."""
        self._set_aside()
        return True

    def step(self) -> dict[str, Any]:
        """Train for a slice, and tell how far the pack is."""
        try:
            if self.run is None:
                pack = self.packs[self.config["pack_id"]]
                self.run = PackRun(pack, self.job, self.store, self.device, self.notice)
            progress = self.run.advance(SLICE_SECONDS)
        except PhasediagError as error:
            return {"fatal": str(error), "done": True}
        return {
            "trials_done": progress.trials_done, "resumed": progress.resumed, "failed": progress.failed,
            "diverged": progress.diverged, "error": progress.error, "done": progress.done, "fatal": "",
            "spent": dict(progress.spent), "notice": progress.notice,
        }  # fmt: skip

    def cleanup(self) -> None:
        """Keep what an unfinished pack has reached."""
        self._set_aside()

    def _set_aside(self) -> None:
        if self.run is not None:
            self.run.checkpoint()
        self.run = None


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
    compiler: Compiler | None = None
    """One that was started beforehand; None: it starts its own where that saves time."""

    @property
    def expected_workers(self) -> int | None:
        """As many as a local Ray will have room for; of a cluster it is not known."""
        return local_workers(self.cpus, self.gpus) if self.address is None else None

    @contextmanager
    def compiling(self, packs: Sequence[Pack], sources: Mapping[str, bytes]) -> Iterator[None]:
        """Compile the first pack's program in a process beside a local Ray on CPUs."""
        compiler = self.compiler
        if self.address is None and not self.gpus and packs and packs[0].compiled:
            compiler = compiler or Compiler()
            compiler.compile(packs[0], sources, max(1, int(self.cpus)))
        elif compiler is not None:
            compiler.close()
        try:
            yield
        finally:
            if compiler is not None:
                compiler.close()

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
            _check_shared(folder, nodes)
        return max(1, places)

    def _places(self, resources: Mapping[str, float]) -> int:
        """Packs that a node can train at once."""
        by_cpu = int(resources.get("CPU", 0) / self.cpus)
        return min(by_cpu, workers_on(resources.get("GPU", 0), self.gpus)) if self.gpus else by_cpu


@contextmanager
def connected(address: str | None, log: Path | None, *, keep: bool = False) -> Iterator[None]:
    """A connection to Ray for the time of a block; a local Ray is ended, a cluster is left alone.

    One that was there before is used, and left as it is. With `keep` the connection stays after the block.
    """
    already = ray.is_initialized()
    if not already:
        _quiet(log)
        with _own_sigterm():
            _connect(address)
    try:
        yield
    finally:
        if not already and not keep:
            ray.shutdown()


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Put the handler of SIGTERM back in place after the block: Ray brings one that ends the process.

    A SIGTERM within the block ends it as interrupted, whatever Ray makes of it.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as ended:
        raise SystemExit(INTERRUPTED) from ended
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _connect(address: str | None) -> None:
    quiet: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": True,
    }
    try:
        if address is None:
            with _own_process_groups(), _spared():
                ray.init(address="local", include_dashboard=False, object_store_memory=256 * 2**20, **quiet)
        else:
            _knock(address)
            ray.init(address=address, **quiet)
    except Exception as error:  # that Ray's processes did not come up in time is an Exception, no kind of it
        ray.shutdown()
        told = " ".join(str(error).split()) or type(error).__name__
        if address is None:
            raise ClusterError(
                f"Ray did not start on this machine: {told}; it gives up where the machine is too busy or "
                "short of memory: launch again when there is less to do, or with --executor inline, "
                "which trains in one process without Ray"
            ) from error
        raise ClusterError(
            f"no Ray cluster at '{address}': {told}; start one with `ray start --head`, "
            "or leave --address away (and RAY_ADDRESS unset) for a local Ray"
        ) from error


@contextmanager
def _own_process_groups() -> Iterator[None]:
    """Let each process that Ray starts lead a process group of its own.

    A signal to the group of the launch, as GNU `timeout` and many supervisors send, would otherwise end Ray
    before the packs are set aside. They still end with the launch: Linux ends them when their parent dies.
    """
    common = services.ConsolePopen

    class Leader(common):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, process_group=0, **options)

    services.ConsolePopen = Leader  # type: ignore[misc]
    try:
        yield
    finally:
        services.ConsolePopen = common  # type: ignore[misc]


@contextmanager
def _spared() -> Iterator[None]:
    """Let Ray start without what a launch has no use for."""
    common = {name: getattr(Node, name) for name in SPARED}
    for name in SPARED:
        setattr(Node, name, lambda node, **options: None)
    try:
        yield
    finally:
        for name, method in common.items():
            setattr(Node, name, method)


def _knock(address: str) -> None:
    """See that something listens at a `host:port`: Ray itself would go on trying for minutes.

    Raises
    ------
    OSError
        Where nothing does.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "//" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _quiet(log: Path | None) -> None:
    """Send what Ray logs in this process to a file."""
    handler: logging.Handler = logging.NullHandler() if log is None else logging.FileHandler(log, delay=True)
    for name in ("ray", "ray.tune", "ray.train", "ray._private"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False


def _described(nodes: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{node['Resources'].get('CPU', 0):g} CPUs, {node['Resources'].get('GPU', 0):g} GPUs"
        for node in nodes
    )


def _check_shared(folder: Folder, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Write a token into the sweep and read it back from every node."""
    name, token = f"token-{uuid4().hex}", uuid4().hex
    folder.write(name, token.encode())
    try:
        reads = [
            _read_token.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(folder.uri, name)
            for node in nodes
        ]
        tokens = ray.get(reads, timeout=READ_SECONDS)
        blind = [n["NodeManagerAddress"] for n, read in zip(nodes, tokens, strict=True) if read != token]
    except RayError as error:
        raise ClusterError(
            f"not all of the {len(nodes)} nodes of the cluster could read the storage {folder.uri} within "
            f"{READ_SECONDS} s ({' '.join(str(error).split())}); see `ray status`, and launch again when "
            "they answer"
        ) from error
    finally:
        folder.delete(name)
    if blind:
        raise ClusterError(
            f"the storage {folder.uri} is not shared with the node {', '.join(blind)}: a file written here "
            "cannot be read there; give --storage a folder that all nodes mount, or s3://bucket/prefix"
        )


@ray.remote(num_cpus=0)
def _read_token(uri: str, name: str) -> str:
    try:
        return Folder.at(uri).read(name).decode()
    except (OSError, PhasediagError):
        return ""
