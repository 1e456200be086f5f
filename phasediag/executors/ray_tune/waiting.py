"""What a cluster has, and what of it is missing where nothing can train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import ray

from phasediag.executors.places import workers_on
from phasediag.executors.ray_tune.connection import knock

KNOCK_SECONDS: Final = 2.0
RayNode = Mapping[str, Any]


def nodes_alive() -> list[RayNode]:
    """The nodes of the cluster that answer, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def lives(node_id: str) -> bool:
    """Whether a node answers: a cluster learns only after a while that one does not."""
    node = next((each for each in nodes_alive() if each["NodeID"] == node_id), None)
    if node is None:
        return False
    with suppress(OSError):
        knock(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}", within=KNOCK_SECONDS)
        return True
    return False


def places_on(node: RayNode, cpus: float, gpus: float) -> int:
    """Packs that a node can train at once."""
    resources: Mapping[str, float] = node["Resources"]
    by_cpu = int(resources.get("CPU", 0) / cpus)
    return min(by_cpu, workers_on(resources.get("GPU", 0), gpus)) if gpus else by_cpu


def missing(resources: Mapping[str, float]) -> str:
    """What workers wait for, in words; empty where some node has room for one.

    Parameters
    ----------
    resources
        `cpus` and `gpus` of a worker.
    """
    nodes = nodes_alive()
    if any(places_on(node, resources["cpus"], resources["gpus"]) for node in nodes):
        return ""
    wanted = f"cpus: {resources['cpus']:g}" + (f", gpus: {resources['gpus']:g}" * bool(resources["gpus"]))
    return f"no node has {wanted} yet; {described(nodes)}; waiting for the autoscaler, or for nodes to join"


def described(nodes: Sequence[RayNode]) -> str:
    """`3 nodes, 8 CPUs, 0 GPUs`."""
    cpus, gpus = (sum(node["Resources"].get(name, 0) for node in nodes) for name in ("CPU", "GPU"))
    return f"{len(nodes)} node{'s' * (len(nodes) != 1)}, {cpus:g} CPUs, {gpus:g} GPUs"
