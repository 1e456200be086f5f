"""Whether an address leads to a job server, and what is said where it does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from phasediag.errors import ClusterError
from phasediag.submission import jobs
from phasediag.submission.jobs import JobServer

TOKEN = 8 * "0123456789"


@contextmanager
def answering(body: str, token: str = "") -> Iterator[tuple[str, list[str]]]:
    """A server that gives one answer, to its token alone; its address, and the tokens that it was sent."""
    seen: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            seen.append(given)
            refused = 0 if given == f"Bearer {token}" or not token else 403 if given else 401
            text = ("refused" if refused else body).encode()
            self.send_response(refused or 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *given: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Of a user without a token."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def client(home: Path) -> None:
    pytest.importorskip("aiohttp", reason="Ray's client for jobs needs the extra `cluster`")


RAY = json.dumps({"ray_version": "2.60.0", "version": "4", "ray_commit": "", "session_name": ""})


@pytest.mark.parametrize(
    "address", ["auto", "head:6379", "ray://head:10001", "http://", "http://head:port", ""]
)
def test_what_is_no_url_of_a_dashboard_is_refused(address: str) -> None:
    with pytest.raises(ClusterError, match="is no URL; --address is that of the cluster's dashboard"):
        JobServer.at(address)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "find_spec", lambda name: None)
    with pytest.raises(ClusterError, match=r"pip install 'phasediag\[cluster\]'"):
        JobServer.at("http://127.0.0.1:1")


def test_an_address_at_which_nothing_answers_says_so(client: None) -> None:
    with pytest.raises(ClusterError, match="nothing answers at"):
        JobServer.at("http://127.0.0.1:1")


@pytest.mark.parametrize("body", ["<html></html>", "{}", "[1]"])
def test_another_server_is_no_job_server(client: None, body: str) -> None:
    with answering(body) as (address, _), pytest.raises(ClusterError, match="is no job server of Ray's"):
        JobServer.at(address)


def test_a_variable_of_the_environment_sends_it_nowhere_else(
    client: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's client would take the address in RAY_ADDRESS in place of the one that it is given."""
    with answering(RAY) as (address, seen):
        monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
        JobServer.at(address)
        assert seen


def test_a_token_is_sent_where_one_is_asked_for_and_nowhere_else(client: None, home: Path) -> None:
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text(f"{TOKEN}\n")
    with answering(RAY) as (address, seen):
        JobServer.at(address)
        assert set(seen) == {""}
    with answering(RAY, TOKEN) as (address, seen):
        JobServer.at(address)
        assert seen[-1] == f"Bearer {TOKEN}"


def test_a_missing_token_and_a_wrong_one_are_told_apart(
    client: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(RAY, TOKEN) as (address, _):
        with pytest.raises(ClusterError, match="asks for a token: give the cluster's token"):
            JobServer.at(address)
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN[::-1])
        with pytest.raises(ClusterError, match="does not accept the token of this machine"):
            JobServer.at(address)
