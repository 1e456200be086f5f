"""The figure of a calibration puts every reading where its ratio is, or at the edge that lies there."""

import numpy as np
import pytest

from phasediag.calibration.figure import draw_calibration
from phasediag.calibration.reading import Reading


@pytest.mark.parametrize(
    ("ratio", "text", "side"), [(2.0, "2 ▸", 1), (0.3, "◂ 0.3", 0), (np.nan, "not found ▸", 1)]
)
def test_what_is_far_off_stands_at_its_edge(ratio, text, side):
    readings = [
        Reading(result="E1", quantity="weight decay", exact=0.5, measured=0.5 * value, low=0.49, high=0.51,
                tolerance=0.02, kind="boundary")
        for value in (1.001, ratio)
    ]  # fmt: skip
    ax = draw_calibration(readings).axes[0]
    (label,) = ax.texts
    assert label.get_text() == text
    assert label.get_position()[0] == pytest.approx(ax.get_xlim()[side])
