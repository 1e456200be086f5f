"""Shortcuts through parts of Ray that it does not publish: they save a local Ray a second or two.

They are best effort, and tried for Ray 2.59 and 2.60. A part that a Ray does not have, or that raises, is
left as it is; a Ray that does not start with the shortcuts is started without them. `PHASEDIAG_QUICK_START=0`
in the environment leaves them all away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import Any, Final

from phasediag.environment import environment

SWITCH: Final = "PHASEDIAG_QUICK_START"
"""The variable of the environment that leaves the shortcuts away."""
NO: Final = {"0", "off", "no", "false"}
LOOKING_SECONDS: Final = 0.02
STARTING_SECONDS: Final = 10.0
"""After which a node that is not there is Ray's to tell of."""
WORKERS_SECONDS: Final = 60
"""How long workers that a local Ray starts by itself are waited for, and how long they wait for work."""
SPARED: Final = ("start_monitor", "start_log_monitor", "start_api_server")
"""What a local Ray starts for autoscaling, for logs that this process does not show, and for a dashboard."""


def wanted() -> bool:
    """Whether the environment leaves the shortcuts in."""
    return os.environ.get(SWITCH, "").lower() not in NO


def of_ray(preloaded: str) -> AbstractContextManager[None]:
    """Let a local Ray start in a shorter time within a block.

    Parameters
    ----------
    preloaded
        A module that a worker for every core loads at once, before it has work; empty: no worker starts yet.
    """
    return _each(_spared, _looked_for, partial(_prestarted, preloaded))


def of_tune() -> AbstractContextManager[None]:
    """Let Tune take the workers of a local Ray that are there within a block."""
    return _each(_any_worker)


def await_workers() -> None:
    """Wait until a local Ray knows of the workers that it starts by itself: before, it would start others."""
    if not wanted():
        return
    with suppress(Exception):
        import ray

        known: Any = import_module("ray._private.state").workers
        expected = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        given_up = time.monotonic() + WORKERS_SECONDS
        while len(known()) < expected and time.monotonic() < given_up:
            time.sleep(LOOKING_SECONDS)


@contextmanager
def _each(*shortcuts: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """The shortcuts that there are."""
    with ExitStack() as taken:
        for shortcut in shortcuts if wanted() else ():
            with suppress(Exception):
                taken.enter_context(shortcut())
        yield


def _spared() -> AbstractContextManager[None]:
    """Let Ray start without processes that a launch has no use for: each loads Ray's modules on its cores."""
    node = import_module("ray._private.node").Node
    return _replaced(node, **dict.fromkeys(SPARED, lambda *given, **options: None))


def _looked_for() -> AbstractContextManager[None]:
    """Let Ray go on as soon as its node is there: it looks once a second."""
    services, state = (import_module(f"ray._private.{name}") for name in ("services", "state"))
    common = services.get_node

    def get_node(gcs_address: str, node_id: str) -> Any:
        with suppress(Exception):
            known = state.GlobalState()
            known._initialize_global_state(services._get_gcs_client_options(gcs_address))
            given_up = time.monotonic() + STARTING_SECONDS
            while time.monotonic() < given_up:
                if any(node["NodeID"] == node_id for node in known.node_table()):
                    break
                time.sleep(LOOKING_SECONDS)
        return common(gcs_address, node_id)

    return _replaced(services, get_node=get_node)


def _prestarted(module: str) -> AbstractContextManager[None]:
    """Let Ray start a worker a core at once that loads a module, or none.

    By default it starts them, and Tune has no use for them. Each setting of Ray's can be had from a variable
    `RAY_...`; one that it does not know is without effect, and one that the user has set stays.
    """
    held = {"RAY_prestart_worker_first_driver": str(int(bool(module)))}
    if module:
        held["RAY_preload_python_modules"] = module
        held["RAY_idle_worker_killing_time_threshold_ms"] = str(1000 * WORKERS_SECONDS)
    return environment({name: value for name, value in held.items() if name not in os.environ})


def _any_worker() -> AbstractContextManager[None]:
    """Let Tune ask for workers of any environment: those of a local Ray have that of this process."""
    cache = import_module("ray.tune.execution.class_cache")
    return _replaced(cache, DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=())


@contextmanager
def _replaced(owner: Any, **parts: Any) -> Iterator[None]:
    """Let a module or a class have other parts for the time of a block.

    Raises
    ------
    AttributeError
        Where it lacks one of them; then none is replaced.
    """
    common = {name: getattr(owner, name) for name in parts}
    for name, part in parts.items():
        setattr(owner, name, part)
    try:
        yield
    finally:
        for name, part in common.items():
            setattr(owner, name, part)
