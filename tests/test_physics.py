"""Grids, trained and read as users do it, against exact results (`docs/physics.md`): the calibration.

Boundaries within 2 % (E5 3 %, E6 and E7 5 %, E14 8 %), scans that span a factor of two to each side.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from phasediag.calibration.calibrate import EXPERIMENTS
from phasediag.calibration.instrument import Instrument

pytestmark = [pytest.mark.physics, pytest.mark.slow]


@pytest.mark.parametrize("result", EXPERIMENTS)
def test_the_instrument_agrees_with_the_exact_result(tmp_path: Path, result: str) -> None:
    readings = EXPERIMENTS[result](Instrument(folder=tmp_path), True)
    assert {reading.result for reading in readings} == {result}
    faults = {reading.quantity: reading.fault for reading in readings if reading.fault}
    assert faults == {}
