"""A connection to Ray: a local one of the launch's own, or a cluster."""

from __future__ import annotations

import atexit
import errno
import logging
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import ray
from ray._private import services, state
from ray._private.node import Node
from ray._private.state import GlobalState
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from phasediag.errors import WAYS_OUT, ClusterError, PhasediagError
from phasediag.executors.drain import sigterm_interrupts
from phasediag.executors.places import allowed_cores
from phasediag.executors.ray_tune.folders import own_folder
from phasediag.storage.folder import Folder

STARTING_SECONDS: Final = 10.0
"""After which Ray itself tells that its node did not start."""
LOOKING_SECONDS: Final = 0.02
WORKERS_SECONDS: Final = 60
"""How long workers that a local Ray starts by itself are waited for, and how long they wait for work."""
READ_SECONDS: Final = 120
"""Given to the nodes of a cluster to read a token from the storage."""
SAID: Final = {
    "No space left": "ENOSPC", "quota exceeded": "EDQUOT", "Read-only file system": "EROFS",
    "Permission denied": "EACCES", "Too many open files": "EMFILE",
    "Resource temporarily unavailable": "EAGAIN", "can't start new thread": "EAGAIN",
    "Cannot allocate memory": "ENOMEM",
}  # fmt: skip
"""Errors of the operating system as Ray repeats them in words."""
BUSY: Final = ("timed out", "timeout", "overloaded", "in time", "within")
"""In what Ray says of a machine that is too slow for it."""
SPARED: Final = ("start_monitor", "start_log_monitor", "start_api_server")
"""What a local Ray starts for autoscaling, for logs that this process does not show, and for a dashboard;
together they take as long as the rest of it."""


@contextmanager
def connected(
    address: str | None, log: Path | None, *, keep: bool = False, preloaded: str = ""
) -> Iterator[None]:
    """A connection to Ray for the time of a block; a local Ray is ended, a cluster is left alone.

    One that was there before is used, and left as it is. With `keep` the connection stays after the block.
    A local Ray starts a worker for every core, which load the module that is to be preloaded.
    """
    if ray.is_initialized():
        yield
        return
    folder = own_folder() if address is None else None
    _quiet(log)
    try:
        with sigterm_interrupts():
            _connect(address, preloaded, folder)
        if keep:
            atexit.register(_end, folder)
        yield
    finally:
        if not keep or not ray.is_initialized():
            _end(folder)


def _end(folder: Path | None) -> None:
    """End the connection, and remove a folder that a local Ray was given."""
    ray.shutdown()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _connect(address: str | None, preloaded: str, folder: Path | None) -> None:
    quiet: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": True,
    }
    try:
        if address is None:
            system: dict[str, Any] = {"prestart_worker_first_driver": bool(preloaded)}
            if preloaded:
                system |= {
                    "preload_python_modules": [preloaded],
                    "idle_worker_killing_time_threshold_ms": 1000 * WORKERS_SECONDS,
                }
            with _own_process_groups(), _spared(), _looked_for():
                ray.init(
                    address="local", num_cpus=allowed_cores(), include_dashboard=False,
                    object_store_memory=256 * 2**20, _system_config=system,
                    _temp_dir=None if folder is None else str(folder), **quiet,
                )  # fmt: skip
        else:
            _knock(address)
            ray.init(address=address, **quiet)
    except Exception as error:  # that Ray's processes did not come up in time is an Exception, no kind of it
        ray.shutdown()
        told = " ".join(str(error).split()) or type(error).__name__
        if address is None:
            raise ClusterError(
                f"Ray did not start on this machine: {told}; {way_out(error)}, or with --executor inline, "
                "which trains in one process without Ray"
            ) from error
        raise ClusterError(
            f"no Ray cluster at '{address}': {told}; start one with `ray start --head`, "
            "or leave --address away (and RAY_ADDRESS unset) for a local Ray"
        ) from error


def way_out(error: Exception) -> str:
    """What to do where a local Ray did not start."""
    told = str(error)
    numbers = {name: getattr(errno, code) for name, code in SAID.items() if name in told}
    number = error.errno if isinstance(error, OSError) else next(iter(numbers.values()), None)
    advice = next((advice for codes, advice in WAYS_OUT.items() if number in codes), "")
    if "AF_UNIX" in told:
        advice = "name a folder with a shorter path in RAY_TMPDIR"
    if advice:
        return f"{advice} (Ray keeps its files in RAY_TMPDIR, TMPDIR or /tmp); then launch again"
    if any(word in told.lower() for word in BUSY):
        return (
            "it gives up where the machine is too busy or short of memory: launch again when there is "
            "less to do"
        )
    return "launch again"


def await_workers() -> None:
    """Wait until a local Ray knows of the workers that it starts by itself: before, it would start others."""
    given_up = time.monotonic() + WORKERS_SECONDS
    expected = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
    known: Any = state
    while len(known.workers()) < expected and time.monotonic() < given_up:
        time.sleep(LOOKING_SECONDS)


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

    with replaced(services, ConsolePopen=Leader):
        yield


@contextmanager
def _spared() -> Iterator[None]:
    """Let Ray start without what a launch has no use for."""
    with replaced(Node, **dict.fromkeys(SPARED, lambda node, **options: None)):
        yield


@contextmanager
def _looked_for() -> Iterator[None]:
    """Let Ray go on as soon as its node is there: it would look once a second."""
    services_of: Any = services
    common = services_of.get_node

    def get_node(gcs_address: str, node_id: str) -> Any:
        known: Any = GlobalState()  # type: ignore[no-untyped-call]
        known._initialize_global_state(services_of._get_gcs_client_options(gcs_address))
        given_up = time.monotonic() + STARTING_SECONDS
        while time.monotonic() < given_up:
            if any(node["NodeID"] == node_id for node in known.node_table()):
                break
            time.sleep(LOOKING_SECONDS)
        return common(gcs_address, node_id)

    with replaced(services, get_node=get_node):
        yield


@contextmanager
def replaced(owner: Any, **parts: Any) -> Iterator[None]:
    """Let a module or a class of Ray's have other parts for the time of a block."""
    common = {name: getattr(owner, name) for name in parts}
    for name, part in parts.items():
        setattr(owner, name, part)
    try:
        yield
    finally:
        for name, part in common.items():
            setattr(owner, name, part)


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


def check_shared(folder: Folder, nodes: Sequence[Mapping[str, Any]]) -> None:
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
