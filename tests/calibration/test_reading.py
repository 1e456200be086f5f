"""When a reading passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from phasediag.calibration.calibrate import EXPERIMENTS, calibrate
from phasediag.calibration.instrument import Instrument
from phasediag.calibration.reading import Reading, boundaries, spans, value
from phasediag.errors import PhasediagError

GOOD = Reading(
    result="E1", quantity="gamma", exact=1.0, measured=1.01, low=0.99, high=1.02, tolerance=0.02,
    kind="boundary", scan=(0.2, 4.0),
)  # fmt: skip


def test_a_boundary_passes_within_its_tolerance_found_by_a_fair_scan() -> None:
    assert GOOD.fault == ""
    assert "off by" in replace(GOOD, measured=1.03).fault
    assert "not found" in replace(GOOD, measured=float("nan")).fault
    assert "wider" in replace(GOOD, low=0.9).fault
    assert "wider" in replace(GOOD, low=float("nan")).fault
    assert "scan" in replace(GOOD, scan=(0.6, 4.0)).fault
    assert "scan" in replace(GOOD, scan=(0.25, 4.0)).fault


def test_a_value_passes_inside_an_interval_of_at_most_twice_the_tolerance() -> None:
    reading = replace(GOOD, kind="value", scan=None)
    assert reading.fault == ""
    assert "outside" in replace(reading, low=1.005).fault
    assert "wider" in replace(reading, high=1.04).fault


def test_scans() -> None:
    assert spans(0.4, 3.0, 1.0)
    assert not spans(0.51, 9.0, 1.0)
    assert not spans(0.1, 1.9, 1.0)
    assert not spans(0.1, 10.0, 1.0)


def test_the_interval_of_a_mean_is_students() -> None:
    reading = value("E1", "x", 2.0, [1.9, 2.0, 2.1], systematic=0.01)
    assert reading.measured == pytest.approx(2.0)
    assert reading.high - 2.0 == pytest.approx(4.3027 * 0.1 / np.sqrt(3) + 0.02, rel=1e-4)


def test_boundaries_are_those_of_the_phase_diagram() -> None:
    gamma = np.geomspace(0.2, 3.0, 60)
    trials = pd.DataFrame(
        [
            {"gamma": g, "width": w, "replicate": r, "order": float(g > 0.5 * w), "status": "ok"}
            for g in gamma for w in (1, 2) for r in range(3)
        ]
    )  # fmt: skip
    readings = boundaries(
        "E1",
        "at {}",
        trials,
        lambda w: 0.5 * w,
        x="gamma",
        y="width",
        order="order",
        level=0.5,
        tolerance=0.05,
    )
    assert [reading.quantity for reading in readings] == ["at 1", "at 2"]
    assert [reading.exact for reading in readings] == [0.5, 1.0]
    assert [reading.fault for reading in readings] == ["", ""]


def test_an_unknown_result_is_named(tmp_path) -> None:
    with pytest.raises(PhasediagError, match="no exact result 'E16'"):
        list(calibrate(Instrument(folder=tmp_path), only=["E16"]))
    assert list(EXPERIMENTS) == [*(f"E{n}" for n in range(1, 16)), "Ising"]
