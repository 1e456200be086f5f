"""Sending, following and stopping a launch by the face of Ray's published client, without a cluster."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phasediag.errors import INTERRUPTED, ClusterError, MachineError
from phasediag.submission import sending
from phasediag.submission.jobs import STOP_SECONDS, JobServer
from phasediag.submission.parcel import Parcel
from phasediag.submission.sending import Sending, ending, follow, send, stop

PARCEL = Parcel(name="g", file="grid.yaml", files={"grid.yaml": b"name: g\n"})
LAUNCH = Sending(parcel=PARCEL, storage="s3://bucket/sweeps", options=("--max-failures", "3"))


@dataclass
class FakeClient:
    """A job server's client; each look at a job finds it one step further on its `course`."""

    course: list[tuple[str, str, int | None]] = field(default_factory=list)
    """State, log so far, exit code."""
    stopped: list[tuple[str, str, int | None]] = field(default_factory=list)
    """The course after it was asked to end."""
    away: set[int] = field(default_factory=set)
    """Looks that fail."""
    sent: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    message: str = ""
    looks: int = 0

    def submit_job(self, **given: Any) -> str:
        folder = Path(given["runtime_env"]["working_dir"])
        self.files = {
            p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
        }
        self.sent = given
        return str(given["submission_id"])

    def list_jobs(self) -> list[Any]:
        return [self._details()] if self.sent else []

    def get_job_info(self, job_id: str) -> Any:
        assert job_id == self.sent["submission_id"]
        self.looks += 1
        if self.looks in self.away:
            raise ConnectionError("Failed to connect to Ray")
        if len(self.course) > 1:
            self.course.pop(0)
        return self._details()

    def get_job_logs(self, job_id: str) -> str:
        return self.course[0][1]

    def stop_job(self, job_id: str) -> bool:
        self.course = [self.course[0], *self.stopped]
        return True

    def _details(self) -> Any:
        state, _, code = self.course[0]
        return SimpleNamespace(
            submission_id=self.sent["submission_id"], status=SimpleNamespace(value=state),
            driver_exit_code=code, metadata=self.sent["metadata"], message=self.message,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "LOOK_SECONDS", 0.0)


def served(client: FakeClient) -> JobServer:
    return JobServer(client, "http://head:8265")


def test_a_launch_is_sent_with_what_it_reads_and_time_to_drain() -> None:
    client, said = FakeClient(course=[("PENDING", "", None)]), []
    job = send(LAUNCH, served(client), said.append)
    assert re.fullmatch("g-[0-9a-f]{8}", job)
    assert client.files == {"grid.yaml": b"name: g\n"}
    words = shlex.split(client.sent["entrypoint"])
    assert words[:4] == ["exec", "phasediag", "launch", "grid.yaml"]
    assert words[4:] == [
        "--storage", "s3://bucket/sweeps", "--address", "auto", "--wait", "3m", "--max-failures", "3",
    ]  # fmt: skip
    assert client.sent["runtime_env"]["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
    assert said == [f"job {job} at http://head:8265: it goes on whatever becomes of this command"]


def test_what_runs_already_is_followed_and_another_launch_of_the_sweep_is_refused() -> None:
    client, said = FakeClient(course=[("RUNNING", "", None)]), []
    job = send(LAUNCH, served(client), said.append)
    assert send(LAUNCH, served(client), said.append) == job
    assert "in training already, as job" in said[-1]
    other = Sending(parcel=PARCEL, storage=LAUNCH.storage, options=())
    with pytest.raises(ClusterError, match=f"another launch of s3://bucket/sweeps/g runs .* as job {job}"):
        send(other, served(client), said.append)
    elsewhere = Sending(parcel=PARCEL, storage="s3://other", options=())
    assert send(elsewhere, served(client), said.append) != job
    client.course = [("FAILED", "", 1)]
    assert send(LAUNCH, served(client), said.append) != job


def test_a_log_is_followed_line_by_line_to_its_end() -> None:
    client, said = FakeClient(course=[("PENDING", "", None)]), []
    job = send(LAUNCH, served(client), lambda text: None)
    logs = ["one\ntw", "one\ntwo\n", "one\ntwo\nthree"]
    client.course = [
        ("PENDING", "", None), *(("RUNNING", log, None) for log in logs), ("SUCCEEDED", logs[-1], 0),
    ]  # fmt: skip
    sent = follow(job, served(client), said.append)
    assert said == ["one", "two", "three"]
    assert ending(sent, served(client)) == 0


def test_a_connection_that_breaks_loses_no_line_and_doubles_none() -> None:
    client, said = FakeClient(course=[("RUNNING", "", None)], away={2, 3}), []
    job = send(LAUNCH, served(client), lambda text: None)
    client.course = [("RUNNING", "", None), ("RUNNING", "a\n", None), ("SUCCEEDED", "a\nb\n", 0)]
    follow(job, served(client), said.append)
    assert [line for line in said if not line.startswith("note:")] == ["a", "b"]
    assert sum("does not answer as it should" in line for line in said) == 1


def test_a_server_that_stays_away_is_given_up_and_nothing_is_said_to_be_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "AWAY_SECONDS", 0.0)
    client = FakeClient(course=[("RUNNING", "", None)], away=set(range(1, 100)))
    job = send(LAUNCH, served(client), lambda text: None)
    with pytest.raises(MachineError, match="all that was recorded is kept: submit the same grid again"):
        follow(job, served(client), lambda text: None)


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 1, 1),
        ("FAILED", 2, 2),
        ("FAILED", 3, 3),
        ("STOPPED", None, INTERRUPTED),
    ],
)
def test_a_submission_ends_as_its_launch_does(state: str, code: int | None, expected: int) -> None:
    client = FakeClient(course=[(state, "", code)])
    job = send(LAUNCH, served(client), lambda text: None)
    assert ending(follow(job, served(client), lambda text: None), served(client)) == expected


@pytest.mark.parametrize(
    ("code", "message", "error", "words"),
    [
        (127, "", ClusterError, "has no command `phasediag`"),
        (-9, "", MachineError, "ended with code -9 from outside"),
        (None, "x\nThe head is gone.\n", MachineError, "was ended from outside (The head is gone.)"),
    ],
)
def test_what_ends_a_launch_from_outside_is_told(
    code: int | None, message: str, error: type[Exception], words: str
) -> None:
    client = FakeClient(course=[("FAILED", "", code)], message=message)
    job = send(LAUNCH, served(client), lambda text: None)
    with pytest.raises(error) as caught:
        ending(follow(job, served(client), lambda text: None), served(client))
    assert words in str(caught.value)


def test_a_stop_waits_for_the_drain_and_says_what_was_written_since() -> None:
    client, said = FakeClient(course=[("RUNNING", "before\n", None)]), []
    client.stopped = [("RUNNING", "before\ndraining\n", None), ("STOPPED", "before\ndraining\n", None)]
    send(LAUNCH, served(client), lambda text: None)
    stop(LAUNCH.sweep, served(client), said.append)
    assert said[1:] == ["draining", "stopped; submit the same grid again to go on"]
    stop(LAUNCH.sweep, served(client), said.append)
    assert said[-1] == "no launch of s3://bucket/sweeps/g runs at http://head:8265"


def test_a_query_stays_behind_the_name_of_the_sweep() -> None:
    assert sending.sweep_in("s3://b/x/?region=eu", "g") == "s3://b/x/g?region=eu"
