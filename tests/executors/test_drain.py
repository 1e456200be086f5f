"""A launch ends early by itself: when its time is over, or when another launch has taken its sweep over."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from phasediag.executors import drain as draining
from phasediag.executors.drain import Drain
from phasediag.running.job import Breakdown
from phasediag.storage.holder import Holder
from phasediag.storage.lease import HEARTBEAT_S, held_by, take
from phasediag.storage.store import Store
from small_sweeps import grid_text, write

WITHIN_S = HEARTBEAT_S + 5
"""A heartbeat, and what a worker needs to look up and to keep a checkpoint."""
LONG = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 3_000_000}, resources="{trials_per_pack: 2}")
"""Minutes of training in one pack."""


def test_the_deadline_is_noticed_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(draining.time, "monotonic", lambda: now[0])
    drain = Drain(deadline=5.0)
    assert not drain.due()
    now[0] = 5.1
    assert drain.reason == ""
    assert drain.due()
    assert drain.reason == "the time limit is near"


def test_the_first_reason_and_the_first_breakdown_stay() -> None:
    drain = Drain()
    drain.begin("SIGTERM")
    first, second = (Breakdown(error=text, of_machine=True) for text in ("disk full", "no memory"))
    drain.fail(first)
    drain.fail(second)
    assert (drain.reason, drain.breakdown) == ("SIGTERM", first)


def test_a_lease_that_is_lost_is_told_of_by_time_alone(tmp_path: Path) -> None:
    """Nothing asks the lease, and nothing reports: its own heartbeat tells."""
    store, drain = Store.at(tmp_path), Drain()
    lost = Breakdown(error="taken over", of_machine=True)
    with take(store, heartbeat_s=0.05, on_lost=lambda cause: drain.fail(lost)):
        time.sleep(0.3)
        assert not drain.due()
        other = replace(Holder.this_process("launch"), token="another")
        # again and again: a heartbeat that had begun before writes over it
        until(lambda: drain.due() or store.folder.write("lease", other.text), 120)
    assert drain.breakdown == lost


HOLDER = """
import sys, time
from phasediag.errors import LeaseHeldError
from phasediag.storage import holder
from phasediag.storage.lease import take
from phasediag.storage.store import Store
holder._machine = lambda: "another"  # from where nobody sees whether the other process runs
while True:  # where a heartbeat comes at the same instant, it is taken again
    try:
        with take(Store.at(sys.argv[1]), heartbeat_s=0.2, silence_s=0.0) as lease:  # as if long silent
            while not lease.lost:
                time.sleep(0.1)
    except LeaseHeldError:
        time.sleep(0.05)
"""


LAUNCH = """
import sys
from phasediag.cli import main
from phasediag.storage.lease import take
take.__kwdefaults__["heartbeat_s"] = float(sys.argv[1])
main(["launch", *sys.argv[2:], "--executor", "inline", "--compile", "off"])
"""


@pytest.mark.parametrize("heartbeat_s", [0.5, pytest.param(HEARTBEAT_S, marks=pytest.mark.slow)])
def test_a_launch_whose_sweep_is_taken_over_ends_in_time(heartbeat_s: float, tmp_path: Path) -> None:
    """While one long pack trains, a second process takes the lease."""
    grid = write(tmp_path, LONG)
    launch = [sys.executable, "-c", LAUNCH, str(heartbeat_s), str(grid), "--storage", str(tmp_path)]
    with (tmp_path / "said").open("wb") as said:
        started = subprocess.Popen(launch, stdout=subprocess.DEVNULL, stderr=said)
    second = None
    try:
        until(lambda: "trials/s" in (tmp_path / "said").read_text(), 120)
        second = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "g")])
        assert started.wait(timeout=4 * WITHIN_S) == 2  # machines of tests are busy
        holder = held_by(Store.at(tmp_path / "g"))
        assert holder is not None
        assert holder.pid == second.pid
    finally:
        for each in (started, second):
            if each is not None and each.poll() is None:
                each.kill()
                each.wait()
    text = (tmp_path / "said").read_text()
    assert f"error: another launch has taken over the sweep {tmp_path / 'g'}" in text
    assert "Traceback" not in text
    assert Store.at(tmp_path / "g").checkpoints()


def until(true: object, within: float) -> None:
    deadline = time.monotonic() + within
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
