"""A head of a Ray cluster with its dashboard, as `ray start --head` starts it, on ports of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
START_SECONDS = 600
"""On a busy machine; Ray itself gives its dashboard one minute."""
START = "from ray.scripts.scripts import main; main()"
PORTS = (
    "port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port",
    "runtime-env-agent-port", "ray-client-server-port", "metrics-export-port",
)  # fmt: skip
"""Whose defaults another Ray of this machine may have taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayHead:
    """A head that runs."""

    url: str
    """Of its dashboard."""
    address: str
    """Of the cluster."""
    process: subprocess.Popen[bytes]


def environment_at(home: Path, **given: str) -> dict[str, str]:
    """That of a user with this home and these variables, where `phasediag` is this one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return {**kept, "RAY_ADDRESS": "", "HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT), **given}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def ray_head(environment: Mapping[str, str], cpus: int = 2) -> Iterator[RayHead]:
    """A head with a dashboard for the time of a block; it and all that it started end with the block."""
    # Ray puts sockets below its folder, and their paths may have 107 characters: pytest's are too long.
    with tempfile.TemporaryDirectory(prefix="pd-", ignore_cleanup_errors=True) as folder:
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        command = [
            sys.executable, "-c", START, "start", "--head", "--block", f"--num-cpus={cpus}",
            "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--include-dashboard=true",
            "--disable-usage-stats", f"--temp-dir={folder}",
            *(f"--{name}={port}" for name, port in ports.items()),
        ]  # fmt: skip
        with (Path(folder) / "said").open("wb") as said:
            process = subprocess.Popen(
                command, stdout=said, stderr=said, start_new_session=True,
                env={**environment, "RAY_DASHBOARD_STARTUP_TIMEOUT_S": str(START_SECONDS)},
            )  # fmt: skip
        try:
            _await(ports["dashboard-port"], process, Path(folder) / "said")
            yield RayHead(
                url=f"http://127.0.0.1:{ports['dashboard-port']}", address=f"127.0.0.1:{ports['port']}",
                process=process,
            )  # fmt: skip
        finally:
            end_with_all(process)


def _await(port: int, process: subprocess.Popen[bytes], said: Path) -> None:
    """Wait until the dashboard listens."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)


def end_with_all(process: subprocess.Popen[bytes]) -> None:
    """End a process and whatever it started, at once."""
    with suppress(psutil.Error):
        started = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for each in started:
            with suppress(psutil.Error):
                each.kill()
    process.wait(timeout=20)
