"""`launch --wait`: a sweep that another launch holds is waited for, as long as was said."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from phasediag.cli import main
from phasediag.commands import launching
from phasediag.storage.lease import take
from phasediag.storage.store import Store
from small_sweeps import grid_text, write

TINY = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 10})


def launched(grid: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["launch", str(grid), "--storage", str(grid.parent), "--executor", "inline", *options])
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "ATTEMPT_SECONDS", 0.05)


def test_a_sweep_that_becomes_free_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other launch ends while this one waits."""
    lease = take(Store.at(tmp_path / "g"))
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: lease.release())
    monkeypatch.setattr(launching, "time", clock)
    assert launched(write(tmp_path, TINY), "--compile", "off", "--wait", "2m") == 0
    printed = capsys.readouterr().err
    assert printed.count("note: waiting for 120 s: the sweep") == 1
    assert "2 of 2 trials done" in printed


def test_a_sweep_that_stays_held_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with take(Store.at(tmp_path / "g")):
        assert launched(write(tmp_path, TINY), "--wait", "1s") == 2
    assert "error: the sweep" in capsys.readouterr().err


def test_a_wait_that_is_no_time_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launched(write(tmp_path, TINY), "--wait", "long") == 2
    assert "--wait: 'long' is no time" in capsys.readouterr().err
