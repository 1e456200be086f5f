"""A connection to Ray: a local one of the launch's own, or a cluster."""

from __future__ import annotations

import atexit
import logging
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import ray
from ray.exceptions import AuthenticationError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from phasediag.errors import ClusterError, PhasediagError
from phasediag.executors.drain import sigterm_interrupts
from phasediag.executors.ray_tune import local
from phasediag.executors.ray_tune.folders import blocked, own_folder
from phasediag.storage.folder import TEMPORARY, Folder

READ_SECONDS: Final = 120
"""Given to the nodes of a cluster to read a token from the storage."""
MISMATCH: Final = re.compile(2 * r"Ray: (\S+)\s+Python: (\S+)[\s\S]*?")
"""In what Ray says of a cluster of other versions: the cluster's, then those of this process."""


@contextmanager
def connected(
    address: str | None, log: Path | None, *, keep: bool = False, preloaded: str = ""
) -> Iterator[None]:
    """A connection to Ray for the time of a block; a local Ray is ended, a cluster is left alone.

    One that was there before is used, and left as it is. With `keep` the connection stays after the block.
    Workers of a local Ray may load the module that is to be preloaded, while Ray starts.
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
    listened = False
    try:
        if address is None:
            local.start(folder, quiet, preloaded)
        else:
            listened = knock(address)
            ray.init(address=address, **quiet)
    except Exception as error:  # that Ray's processes did not come up in time is an Exception, no kind of it
        ray.shutdown()
        if address is None:
            raise ClusterError(
                f"Ray did not start on this machine: {_in_a_line(error)}; "
                f"{local.way_out(error, blocked(folder))}, or with "
                "--executor inline, which trains in one process without Ray"
            ) from error
        raise ClusterError(refusal(address, error, listened)) from error


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def refusal(address: str, error: Exception, listened: bool) -> str:
    """Why a cluster cannot be joined, and what to do.

    Parameters
    ----------
    listened
        Whether something listens at the address. Ray (2.59, 2.60) says on stderr alone that a token is wrong,
        and raises that it failed to connect.
    """
    versions = MISMATCH.search(str(error))
    if versions:
        ray_there, python_there, ray_here, python_here = versions.groups()
        ways = []
        if ray_there != ray_here:
            ways.append(f"install the cluster's: pip install 'ray[tune]=={ray_there}'")
        if python_there != python_here:
            ways.append(
                f"run phasediag by Python {python_there} (where only the last number differs, "
                "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor will do)"
            )
        return (
            f"the Ray cluster at '{address}' runs Ray {ray_there} on Python {python_there}, this process Ray "
            f"{ray_here} on Python {python_here}, and Ray joins its own versions only; {', and '.join(ways)}"
        )
    if listened or isinstance(error, AuthenticationError):
        return (
            f"what listens at '{address}' does not let this process in: {_in_a_line(error)}; if that Ray "
            "cluster asks for a token, give it in RAY_AUTH_TOKEN or in ~/.ray/auth_token, with "
            "RAY_AUTH_MODE=token; the address is the one that `ray start --head` has printed"
        )
    return (
        f"no Ray cluster at '{address}': {_in_a_line(error)}; start one with `ray start --head`, "
        "or leave --address away (and RAY_ADDRESS unset) for a local Ray"
    )


def knock(address: str, within: float = 10.0) -> bool:
    """Whether something listens at a `host:port`: Ray itself would go on trying for minutes.

    False where the address is no `host:port`.

    Raises
    ------
    OSError
        Where nothing does.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "//" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=within).close()
        return True
    return False


def _quiet(log: Path | None) -> None:
    """Send what Ray logs in this process to a file."""
    handler: logging.Handler = logging.NullHandler() if log is None else logging.FileHandler(log, delay=True)
    for name in ("ray", "ray.tune", "ray.train", "ray._private"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False


def check_shared(folder: Folder, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Write a token into the sweep and read it back from every node."""
    name, token = f".token-{uuid4().hex}{TEMPORARY}", uuid4().hex
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
