"""Dimensions of boundaries whose dimension is known; the bounds were stated before the runs."""

from __future__ import annotations

from math import log

import numpy as np
import pandas as pd
import pytest
from matplotlib.path import Path as Outline

from phasediag import PhaseDiagram, phase_diagram
from phasediag.analysis.roughness import Roughness, boundary_roughness
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

SIDE = 512


def roughness_of(upper: FloatArray) -> Roughness:
    """Of an image, on logarithmic axes."""
    return boundary_roughness(diagram_of(upper))


def diagram_of(upper: FloatArray, low: float = -2.0, high: float = 0.0) -> PhaseDiagram:
    """The phase diagram whose cells are the pixels of an image."""
    rows, columns = upper.shape
    x, y = np.geomspace(10**low, 10**high, columns), np.geomspace(1, 100, rows)
    frame = pd.DataFrame({
        "learning_rate": np.tile(x, rows), "weight_decay": np.repeat(y, columns),
        "degree_normalized": upper.ravel().astype(float), "replicate": 0, "status": "ok", "converged": True,
    })  # fmt: skip
    return phase_diagram(frame, "learning_rate", "weight_decay", resamples=1)


def grid(side: int = SIDE) -> tuple[FloatArray, FloatArray]:
    one = (np.arange(side) + 0.5) / side
    return np.meshgrid(one, one)


def koch(levels: int) -> FloatArray:
    """The corners of Koch's snowflake in the unit square."""
    corners = 0.5 + 0.45 * np.exp(2j * np.pi * (np.arange(4) / 3 + 0.04))
    for _ in range(levels):
        start, step = corners[:-1], np.diff(corners) / 3
        tip = start + step + step * np.exp(-1j * np.pi / 3)
        corners = np.append(
            np.stack([start, start + step, tip, start + 2 * step], axis=1).ravel(), corners[-1]
        )
    return np.stack([corners.real, corners.imag], axis=1)


def field(hurst: float, seed: int, side: int = SIDE) -> FloatArray:
    """A Gaussian field with spectrum k^-(2 hurst + 2); its contours have dimension 2 - hurst.

    Made on a grid twice as fine, as no wave is shorter than two cells of that, and twice as large, as it
    is periodic.
    """
    generator = np.random.default_rng(seed)
    k = np.hypot(*np.meshgrid(*[np.fft.fftfreq(4 * side) * 4 * side] * 2))
    k[0, 0] = 1
    spectrum = k ** -(hurst + 1)
    spectrum[0, 0] = 0
    noise = np.fft.fft2(generator.standard_normal(k.shape))
    return np.fft.ifft2(noise * spectrum).real[: 2 * side : 2, : 2 * side : 2]


def test_a_circle_is_a_smooth_line() -> None:
    x, y = grid()
    roughness = roughness_of(np.hypot(x - 0.47, y - 0.51) < 0.4)
    assert roughness.dimension == pytest.approx(1, abs=0.03)
    assert roughness.rough is False
    assert "a smooth line" in roughness.findings[0]


def test_a_straight_boundary_has_a_position() -> None:
    x, y = grid()
    roughness = roughness_of(y < 0.3 + 0.37 * x)
    assert roughness.dimension == pytest.approx(1, abs=0.03)
    assert roughness.crossings == 1
    assert not diagram_of(y < 0.3 + 0.37 * x).scattered
    assert len(roughness.findings) == 1


def test_koch_s_snowflake() -> None:
    """log 4 / log 3 = 1.262, within 0.05 at 512 cells."""
    x, y = grid()
    inside = Outline(koch(5)).contains_points(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    roughness = roughness_of(inside)
    assert roughness.dimension == pytest.approx(log(4) / log(3), abs=0.05)
    assert roughness.low < log(4) / log(3) < roughness.high
    assert roughness.rough is True
    assert roughness.stable


def test_a_dimension_that_changes_with_the_distance_is_none_of_all() -> None:
    """A straight line that is blurred over six cells: rough at short distances and smooth at long ones."""
    side = np.arange(SIDE)
    edge = 60 + 0.7 * side + np.random.default_rng(0).integers(-3, 4, SIDE)
    roughness = roughness_of(side[None, :] > edge[:, None])
    assert roughness.small > roughness.large + 0.05
    assert not roughness.stable
    assert "NOT stable" in roughness.findings[0]


def test_douady_s_rabbit() -> None:
    """The Julia set of z^2 - 0.123 + 0.745i: 1.3934 (C. McMullen, Amer. J. Math. 120, 691, 1998)."""
    x, y = grid()
    z = 3.2 * (x - 0.5) + 2.6j * (y - 0.5)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(400):
            z = z * z + (-0.122561 + 0.744862j)
    roughness = roughness_of(np.abs(z) < 4)
    assert roughness.dimension == pytest.approx(1.3934, abs=0.05)


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.8])
def test_contours_of_random_fields(hurst: float) -> None:
    """2 - H: the mean of 6 fields within 0.07, and 4 of 6 intervals hold it or miss by less than 0.05."""
    surfaces = [roughness_of(f > np.median(f)) for f in (field(hurst, seed, 256) for seed in range(6))]
    assert np.mean([each.dimension for each in surfaces]) == pytest.approx(2 - hurst, abs=0.07)
    assert sum(each.low - 0.05 < 2 - hurst < each.high + 0.05 for each in surfaces) >= 4


def test_the_spread_of_a_rough_boundary_is_told_in_decades() -> None:
    """Rows that jump to and fro between 0.4 and 0.6 of two decades are spread over 0.4 decades."""
    column = np.arange(128)
    teeth = np.where((column >= 51) & (column <= 76), column % 2 == 0, column > 76)
    image = np.tile(teeth, (128, 1))
    roughness = roughness_of(image)
    assert diagram_of(image).scattered
    assert "the boundary is no line, and none is drawn" in " ".join(diagram_of(image).warnings)
    step = 2 / 127
    assert roughness.spread == pytest.approx(26 * step, abs=2 * step)
    assert roughness.crossings > 20
    assert "below that it has no position" in roughness.findings[1]


@pytest.mark.parametrize(
    ("upper", "message"),
    [
        (np.ones((100, 100), bool), "no boundary"),
        (np.arange(40 * 100).reshape(40, 100) > 1000, "100 x 40 cells are too few"),
    ],
)
def test_what_has_no_dimension_is_refused(upper: FloatArray, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        roughness_of(upper)


def test_few_blocks_have_no_interval() -> None:
    upper = np.zeros((128, 128), bool)
    upper[10:20, 10:20] = True
    roughness = roughness_of(upper)
    assert np.isnan(roughness.low)
    assert roughness.rough is None
    assert "no interval" in roughness.warnings[0]
    assert roughness.as_dict()["low"] is None
