"""The calibration passes, and fails with every planted fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phasediag.calibration.calibrate import EXPERIMENTS
from phasediag.calibration.instrument import FAULTS, Instrument, with_fault
from small_sweeps import run


@pytest.mark.parametrize("result", ["E10", "E12"])
def test_quick_results_agree(tmp_path: Path, result: str) -> None:
    """The shortest two; all of them are `test_physics.py`'s."""
    for reading in EXPERIMENTS[result](Instrument(folder=tmp_path), True):
        assert not reading.fault, f"{reading.quantity}: {reading.fault}"


@pytest.mark.physics
@pytest.mark.slow
@pytest.mark.parametrize(("fault", "result"), [("gamma", "E1"), ("optimizer", "E13"), ("threshold", "E9")])
def test_planted_faults_are_noticed(tmp_path: Path, fault: str, result: str) -> None:
    readings = EXPERIMENTS[result](with_fault(Instrument(folder=tmp_path), fault), True)
    assert any(reading.fault for reading in readings)
    assert {"gamma", "optimizer", "threshold"} == set(FAULTS)


@pytest.mark.physics
@pytest.mark.slow
def test_the_command_exits_1_where_a_reading_fails(tmp_path: Path) -> None:
    figure = tmp_path / "calibration.png"
    good = run("calibrate", "--quick", "--only", "E12", "--json", "--output", figure)
    assert good.returncode == 0, good.stderr
    assert all(row["passed"] for row in json.loads(good.stdout))
    assert figure.read_bytes().startswith(b"\x89PNG")
    bad = run("calibrate", "--quick", "--only", "E12", "--fault", "gamma")
    assert bad.returncode == 1
    assert "FAILED" in bad.stdout
