"""A cluster that is gone ends the launch; one that is late does not, nor a launch that stood still."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from phasediag.executors.ray_tune import gone, local
from phasediag.executors.ray_tune.gone import GONE_SECONDS, ClusterHead


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr(gone.time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What comes of each knock, the next one first."""
    coming = list[bool]()

    def knock(address: str, within: float) -> bool:
        if not coming.pop(0):
            raise ConnectionRefusedError
        return True

    def ended(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(gone, "knock", knock)
    monkeypatch.setattr(gone.os, "_exit", ended)
    return coming


def test_a_cluster_that_does_not_answer_for_long_ends_the_process(
    now: list[float], answers: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    head = ClusterHead(address="1.2.3.4:6379", scratch="/nonexistent")
    answers += [True, False, False, False]
    assert head.look()
    assert head.look()
    now[0] += GONE_SECONDS - 1
    assert head.look()
    now[0] += 1
    with pytest.raises(SystemExit) as caught:
        head.look()
    assert caught.value.code == 3
    assert (
        "the Ray cluster at '1.2.3.4:6379' is gone; all that was recorded is kept" in capsys.readouterr().err
    )


def test_one_knock_in_vain_after_a_launch_stood_still_ends_nothing(
    now: list[float], answers: list[bool]
) -> None:
    """Before, the time since the last answer counted, in which nobody had knocked."""
    head = ClusterHead(address="1.2.3.4:6379", scratch="/nonexistent")
    answers += [True, False, True, False]
    assert head.look()
    now[0] += 10 * GONE_SECONDS
    assert head.look()
    assert head.look()
    now[0] += 10 * GONE_SECONDS
    assert head.look()


@pytest.mark.parametrize(("name", "ends"), [("raylet", True), ("gcs_server", True), ("log_monitor", False)])
def test_a_local_ray_whose_raylet_has_ended_is_gone_though_its_store_answers(
    name: str, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[bool],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Ray would end the launch half a minute later, with exit 1 and no sentence."""
    program = tmp_path / name
    program.symlink_to("/bin/sleep")
    started = [subprocess.Popen([program, "600"]), subprocess.Popen(["/bin/sleep", "600"])]
    monkeypatch.setattr(local, "_STARTED", list(started))
    monkeypatch.setattr(gone, "end_processes", lambda: None)
    head = ClusterHead(address="1.2.3.4:6379", scratch=str(tmp_path / "scratch"), local=True)
    answers += [True, True]
    assert head.look()
    started[0].kill()
    started[0].wait()
    if ends:
        with pytest.raises(SystemExit) as caught:
            head.look()
        assert caught.value.code == 3
        assert "the Ray of this launch at '1.2.3.4:6379' is gone" in capsys.readouterr().err
    else:
        assert head.look()
    started[1].kill()
    started[1].wait()


def test_a_local_ray_is_ended_with_what_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its agents, which are in its process groups, would wait for its control store for a minute."""
    monkeypatch.setattr(local, "_STARTED", [])
    agent = "import time; print('here', flush=True); time.sleep(600)"
    raylet = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {agent!r}])"
    with local._own_process_groups():
        started = subprocess.Popen([sys.executable, "-c", raylet], stdout=subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"here\n"
        local.end_processes()
        assert started.stdout.read() == b""  # nobody holds the other end any more, the agent neither
    assert started.returncode == -signal.SIGKILL
    assert other.poll() is None
    other.communicate(b"\n")
    assert other.returncode == 0


@pytest.mark.parametrize("refused", [True, False], ids=["the shortcuts are refused", "a launch before"])
def test_a_ray_that_ended_before_says_nothing_of_the_one_that_runs(
    refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the second launch of a notebook, or one whose first start failed, would be ended at once."""
    program = tmp_path / "raylet"
    program.symlink_to("/bin/sleep")
    begun: list[subprocess.Popen[bytes]] = []

    def init(**options: object) -> None:
        begun.append(subprocess.Popen([program, "600"]))
        if refused and len(begun) == 1:
            raise TypeError("not this way")

    def shutdown() -> None:
        begun[-1].kill()
        begun[-1].wait()

    monkeypatch.setattr(local, "_STARTED", [])
    monkeypatch.setattr(local.ray, "init", init)
    monkeypatch.setattr(local.ray, "shutdown", shutdown)
    monkeypatch.setattr(local.quick_start, "wanted", lambda: refused)
    local.start(None, {})
    if not refused:
        local.ray.shutdown()
        assert local.crashed()
        local.start(None, {})
    assert len(begun) == 2
    assert not local.crashed()
    shutdown()
    assert local.crashed()
