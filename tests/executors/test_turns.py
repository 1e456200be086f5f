"""Workers that outnumber the cores beside a compiler wait for it, whatever becomes of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from phasediag.executors.turns import Turns

MANY = 6
"""Workers that ask for a turn, one after the other."""


@pytest.fixture
def compiler() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends after half a second."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"]) as process:
        yield process


@pytest.mark.parametrize(("cores", "at_once"), [(1, 1), (2, 1), (4, 3), (16, MANY)])
def test_as_many_go_on_as_there_are_cores_beside_the_compiler(
    cores: int,
    at_once: int,
    compiler: subprocess.Popen[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda: cores)
    turns = Turns.beside(compiler.pid, tmp_path)
    beside = 0
    for _ in range(MANY):
        turns.wait()
        beside += psutil.Process(compiler.pid).status() != psutil.STATUS_ZOMBIE
    assert beside == at_once


def test_nobody_waits_for_a_compiler_that_is_gone(compiler: subprocess.Popen[bytes], tmp_path: Path) -> None:
    compiler.kill()
    compiler.wait()
    turns, started = Turns.beside(compiler.pid, tmp_path), time.monotonic()
    for _ in range(MANY):
        turns.wait()
    assert time.monotonic() - started < 0.5
