"""The benchmark of a launch reads the words that a launch prints."""

from __future__ import annotations

import overhead
import pytest

from phasediag.commands.progress import described_split
from phasediag.sweeps.status import Status
from phasediag.sweeps.sweep import Outcome

SPLIT = {"start-up": 2.0, "compilation": 0.5, "training": 16.0, "measurement": 1.0, "idle": 0.5}


def outcome(foretold: tuple[float, float] | None) -> Outcome:
    """A launch whose workers took 20 s."""
    status = Status(total=0, done=0, ok=0, diverged=0, failed=0, missing=0)
    return Outcome(
        status=status, trained=0, seconds=10.0, drained="", too_many_failures=False, first_error="",
        sweep="", split=SPLIT, foretold=foretold,
    )  # fmt: skip


def test_what_a_launch_says_of_its_time_is_read() -> None:
    read = overhead.described(f"  10.0 s done\n{described_split(outcome((18.1, 17.5)))}\n")
    assert read["split"] == pytest.approx({phase: s / 20 for phase, s in SPLIT.items()})
    assert (read["forecast_s"], read["taken_s"]) == (18.1, 17.5)


def test_a_launch_too_short_for_a_forecast_has_none() -> None:
    read = overhead.described(described_split(outcome(None)))
    assert read["forecast_s"] != read["forecast_s"]
