"""The job server of a Ray cluster, by the client that Ray publishes for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from urllib.parse import urlsplit

from phasediag.environment import environment
from phasediag.errors import ClusterError, in_words
from phasediag.library_messages import quiet

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

KNOCK_SECONDS: Final = 10
"""After which an address at which nothing answers is given up."""
STOP_SECONDS: Final = 600
"""Given to a launch to drain when its job is stopped; Ray itself gives 3."""
OVER: Final = ("STOPPED", "SUCCEEDED", "FAILED")
"""States in which a job of Ray's stays."""
SWEEP_MARK: Final = "phasediag_sweep"
LAUNCH_MARK: Final = "phasediag_launch"
"""Under which a job tells the sweep it trains, and what stands for its grid and options."""
HIDDEN: Final = {"RAY_ADDRESS": "", "RAY_API_SERVER_ADDRESS": ""}
"""Variables by which Ray's client would take another address than the one that it is given."""
TOKEN_WAYS: Final = (
    "give the cluster's token, which `ray get-auth-token` prints on its head, in RAY_AUTH_TOKEN or in "
    "~/.ray/auth_token"
)
DASHBOARD: Final = (
    "--address is that of the cluster's dashboard, http://HOST:8265; `ray dashboard cluster.yaml` or "
    "`kubectl port-forward` bring one that is far away to this machine"
)


class JobServerAwayError(ClusterError):
    """The job server does not answer: nothing is known of its jobs."""


class JobsClient(Protocol):
    """What is used of `ray.job_submission.JobSubmissionClient`."""

    def submit_job(
        self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any], metadata: dict[str, str]
    ) -> str:
        """Send a job; gives back its id."""

    def list_jobs(self) -> list[JobDetails]:
        """All jobs of the cluster."""

    def get_job_info(self, job_id: str) -> JobDetails:
        """One of them."""

    def get_job_logs(self, job_id: str) -> str:
        """All that it has written so far."""

    def stop_job(self, job_id: str) -> bool:
        """Ask it to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentLaunch:
    """A launch that was sent to a cluster, as its job server tells of it."""

    job: str
    state: str
    """PENDING, RUNNING, or one of `OVER`."""
    launch: str
    """What stands for its grid and options."""
    exit_code: int | None
    """The exit code of the command; None while it runs, and where Ray knows none."""
    message: str
    """What Ray says of it."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in OVER


class JobServer:
    """The job server of one cluster."""

    def __init__(self, client: JobsClient, address: str) -> None:
        self._client, self.address = client, address

    @classmethod
    def at(cls, address: str) -> Self:
        """The job server behind a dashboard.

        Raises
        ------
        ClusterError
            Where the address is none, nothing answers there, what answers is no job server of Ray's, or it
            does not let this process in.
        """
        host, port = _endpoint(address)
        if find_spec("aiohttp") is None:
            raise ClusterError("submit needs Ray's client for jobs: pip install 'phasediag[cluster]'")
        try:
            socket.create_connection((host, port), timeout=KNOCK_SECONDS).close()
        except OSError as error:
            raise ClusterError(f"nothing answers at '{address}' ({in_words(error)}); {DASHBOARD}") from error
        with environment(HIDDEN):
            return cls(_client(address), address)

    def running(self, sweep: str) -> SentLaunch | None:
        """The launch of a sweep that has not ended; None where there is none."""
        with self._reaching():
            details = self._client.list_jobs()
        marked = [each for each in details if (each.metadata or {}).get(SWEEP_MARK) == sweep]
        jobs = [_sent(each) for each in marked if each.submission_id]
        return next((job for job in jobs if not job.over), None)

    def look(self, job: str) -> SentLaunch:
        """A launch as it is now."""
        with self._reaching():
            return _sent(self._client.get_job_info(job))

    def log(self, job: str) -> str:
        """All that a launch has written so far."""
        with self._reaching():
            return self._client.get_job_logs(job)

    def send(self, job: str, command: str, folder: Path, marks: Mapping[str, str]) -> None:
        """Upload a folder, and let the cluster run a command in it.

        Raises
        ------
        ClusterError
            Where the job server refuses it.
        """
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
        try:
            with self._reaching():
                self._client.submit_job(
                    entrypoint=command, submission_id=job, metadata=dict(marks),
                    runtime_env={"working_dir": str(folder), "env_vars": variables},
                )  # fmt: skip
        except ValueError as error:  # of a folder that is too large for it
            raise ClusterError(f"the launch cannot be sent to {self.address}: {_in_a_line(error)}") from error

    def stop(self, job: str) -> None:
        """Ask a launch to drain."""
        with self._reaching():
            self._client.stop_job(job)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Tell of a server that does not answer in one kind of error."""
        from ray.exceptions import RayError

        try:
            with quiet(None):
                yield
        except (OSError, RuntimeError, RayError) as error:  # of `requests`, and of Ray's client itself
            raise JobServerAwayError(
                f"the job server at {self.address} does not answer as it should: {_in_a_line(error)}"
            ) from error


def _endpoint(address: str) -> tuple[str, int]:
    """Host and port of a dashboard.

    Raises
    ------
    ClusterError
        Where the address is no http(s)://HOST:PORT.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https"):
        raise ClusterError(f"--address: '{address}' is no URL; {DASHBOARD}")
    return host, port or (443 if parts.scheme == "https" else 80)


def _client(address: str) -> JobsClient:
    """Ray's client, with a token where the server asks for one."""
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        with quiet(None):
            try:
                return JobSubmissionClient(address)
            except AuthenticationError as error:
                token = _token()
                if not token:
                    raise ClusterError(
                        f"the cluster at '{address}' asks for a token: {TOKEN_WAYS}"
                    ) from error
                return JobSubmissionClient(address, headers={"Authorization": f"Bearer {token}"})
    except AuthenticationError as error:
        raise ClusterError(
            f"the cluster at '{address}' does not accept the token of this machine: {TOKEN_WAYS}"
        ) from error
    except ClusterError:
        raise
    except Exception as error:  # what answers may be anything
        raise ClusterError(
            f"what answers at '{address}' is no job server of Ray's ({_in_a_line(error)}); {DASHBOARD}"
        ) from error


def _token() -> str:
    """The token of this machine, where Ray keeps it; empty where there is none."""
    given = os.environ.get("RAY_AUTH_TOKEN", "").strip()
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        return given or path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _sent(details: JobDetails) -> SentLaunch:
    return SentLaunch(
        job=details.submission_id or "", state=str(details.status.value), exit_code=details.driver_exit_code,
        launch=(details.metadata or {}).get(LAUNCH_MARK, ""), message=details.message or "",
    )  # fmt: skip


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
