"""Whatever asks a launch to end drains it: Ctrl-C, supervisors, batch systems, a terminal that is closed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from phasediag.executors import drain as draining
from phasediag.executors.drain import ONE_SIGNAL, Drain, draining_on_signals
from phasediag.executors.signals import STOPPING, handled
from small_sweeps import command, grid_text, write

GRID = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 300_000}, resources="{trials_per_pack: 2}")
"""Minutes of training in one pack."""
ENDS_S = 120
"""Within which a launch ends that was asked to, on a machine that is busy."""


@contextmanager
def launching(folder: Path, *wrapper: str) -> Iterator[subprocess.Popen[bytes]]:
    """A launch in one process that trains already; ended with the block."""
    with (folder / "said").open("wb") as said:
        started = started_with(folder, *wrapper, stdout=subprocess.DEVNULL, stderr=said)
        try:
            wait_for(lambda: "trials/s" in (folder / "said").read_text(), started)
            yield started
        finally:
            end(started)


def started_with(folder: Path, *wrapper: str, **options: Any) -> subprocess.Popen[bytes]:
    grid = write(folder, GRID)
    launch = command("launch", grid, "--storage", folder, "--executor", "inline", "--compile", "off")
    return subprocess.Popen([*wrapper, *launch], **options)


def wait_for(condition: Callable[[], object], started: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert started.poll() is None, "it ended early"
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def end(started: subprocess.Popen[bytes]) -> None:
    if started.poll() is None:
        started.kill()
        started.wait()


def checkpoints(folder: Path) -> list[Path]:
    return list((folder / "g" / "checkpoints").glob("*/*"))


@pytest.mark.parametrize("number", ["SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_the_first_one_drains(tmp_path: Path, number: str) -> None:
    with launching(tmp_path) as started:
        started.send_signal(signal.Signals[number])
        assert started.wait(timeout=ENDS_S) == 130
    said = (tmp_path / "said").read_text()
    insisting = "; again to stop at once" if number == "SIGHUP" else ""
    assert f"drained: {number}{insisting}; launch the same grid again" in said
    assert "Traceback" not in said
    assert checkpoints(tmp_path)


def test_nohup_keeps_a_launch_from_hanging_up(tmp_path: Path) -> None:
    with launching(tmp_path, "nohup") as started:
        started.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            started.wait(timeout=2)
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=ENDS_S) == 130
    assert "drained: SIGTERM" in (tmp_path / "said").read_text()


def test_a_terminal_that_is_closed_drains_a_launch(tmp_path: Path) -> None:
    """The kernel hangs up, and there is nobody to speak to any more."""
    master, slave = pty.openpty()
    terminal, ends = [sys.executable, "-c", OF_ITS_OWN], {"stdin": slave, "stdout": slave, "stderr": slave}
    started = started_with(tmp_path, *terminal, **ends, start_new_session=True)
    os.close(slave)
    seen = bytearray()

    def trains() -> bool:
        seen.extend(os.read(master, 4096))
        return b"trials/s" in seen

    try:
        wait_for(trains, started)
        os.close(master)
        assert started.wait(timeout=ENDS_S) == 130
    finally:
        end(started)
    assert checkpoints(tmp_path)


OF_ITS_OWN = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal that a process speaks to the one that controls it, and runs a command."""


def test_others_take_no_signal_away(monkeypatch: pytest.MonkeyPatch) -> None:
    now, drain = [100.0], Drain()
    monkeypatch.setattr(draining.time, "monotonic", lambda: now[0])
    before = {number: signal.getsignal(number) for number in STOPPING}
    with draining_on_signals(drain):
        signal.signal(signal.SIGUSR1, lambda number, frame: None)  # as Ray Tune does
        drain.keep_signals()
        signal.raise_signal(signal.SIGUSR1)
        assert drain.reason.startswith("SIGUSR1")
        now[0] += 0.9 * ONE_SIGNAL
        signal.raise_signal(signal.SIGHUP)  # within the same fifth of a second: the same request
    assert {number: signal.getsignal(number) for number in STOPPING} == before


@pytest.mark.parametrize(
    ("numbers", "ends"),
    [
        (["SIGTERM", "SIGTERM"], True),
        (["SIGINT", "SIGHUP"], True),
        (["SIGUSR2", "SIGTERM", "SIGINT"], True),
        (["SIGTERM", "SIGUSR2", "SIGUSR2"], False),
        (["SIGUSR2", "SIGUSR1", "SIGTERM"], False),
        (["SIGUSR1", "SIGUSR1", "SIGUSR2"], False),
    ],
)
@pytest.mark.parametrize("reason", ["", "the time limit is near"])
def test_a_second_one_of_those_that_insist_ends_a_launch_at_once(
    numbers: list[str], ends: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever hands on what the launch has heard already takes SIGUSR2; a drain by itself is no signal."""
    now, ended, drain = [100.0], list[int](), Drain(reason=reason)
    monkeypatch.setattr(draining.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(draining.os, "_exit", ended.append)
    with draining_on_signals(drain):
        for number in numbers[:-1]:
            signal.raise_signal(signal.Signals[number])
            now[0] += 2 * ONE_SIGNAL
        assert ended == []
        signal.raise_signal(signal.Signals[numbers[-1]])
    assert ended == [130] * ends
    assert drain.reason.startswith(reason or numbers[0])


def test_what_is_ignored_stays_so_but_for_ctrl_c() -> None:
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        with handled(lambda number, frame: None, STOPPING) as taken:
            assert taken == (signal.SIGINT,)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
