"""S3 servers on this machine, from an environment of their own: `make check-storage` installs them."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from pyarrow import fs

PROGRAMS: Final = Path(os.environ.get("PHASEDIAG_SERVERS") or Path(__file__).parents[1] / ".venv-servers/bin")
BUCKET: Final = "bucket"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A server that runs."""

    port: int
    log: Path
    """A line for each request, where the server writes one."""
    environment: Mapping[str, str]
    """By which it is reached."""
    pid: int
    """Of its process."""
    asks_for_keys: bool = False

    def uri(self, path: str) -> str:
        """The URI of a place in its bucket."""
        query = f"endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"
        return f"s3://{BUCKET}/{path}?{query}"

    def requests(self) -> list[str]:
        """Those since the last call, as `METHOD /path`."""
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return lines


@contextmanager
def moto(folder: Path) -> Iterator[S3Server]:
    """The emulator: it knows conditions, and takes every key."""
    log = folder / "requests.log"
    log.touch()
    command = [_program("python"), str(Path(__file__).with_name("moto_in_order.py")), str(log)]
    with _running(command, {}, subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        keys = _keys("testing", "testing")
        yield from _reached(S3Server(port=port, log=log, environment=keys, pid=process.pid))


@contextmanager
def juicefs(folder: Path) -> Iterator[S3Server]:
    """The gateway of JuiceFS, with MinIO's code: it asks for keys, and knows no conditions."""
    program, database = _program("juicefs"), f"sqlite3://{folder}/meta.db"
    form = [program, "format", "--storage", "file", "--bucket", f"{folder}/data/", "--trash-days", "0"]
    subprocess.run([*form, database, "test-jfs"], check=True, capture_output=True, timeout=60)
    user, password, port = "testuser", secrets.token_hex(8), _free_port()
    gateway = [program, "gateway", "--multi-buckets", "--no-usage-report", "--cache-dir", f"{folder}/cache"]
    owner = {"MINIO_ROOT_USER": user, "MINIO_ROOT_PASSWORD": password}
    with _running([*gateway, database, f"127.0.0.1:{port}"], owner, subprocess.DEVNULL) as process:
        older = {"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
        server = S3Server(
            port=port, log=folder / "none", environment=_keys(user, password) | older, pid=process.pid,
            asks_for_keys=True,
        )  # fmt: skip
        yield from _reached(server)


def _reached(server: S3Server) -> Iterator[S3Server]:
    """The server once it answers, with its bucket, and its keys in the environment."""
    _answers(server.port)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        filesystem, _ = fs.FileSystem.from_uri(f"{server.uri('')}&allow_bucket_creation=true")
        filesystem.create_dir(BUCKET)
        yield server


def _keys(user: str, password: str) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": password, "AWS_EC2_METADATA_DISABLED": "true"}


def _program(name: str) -> str:
    path = PROGRAMS / name
    if not path.exists():
        pytest.skip(f"{path} is not there: `make check-storage` installs the servers")
    return str(path)


@contextmanager
def _running(command: list[str], more: Mapping[str, str], stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **more}
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> None:
    for _ in range(400):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nothing listens on port {port}")
