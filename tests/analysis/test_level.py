"""One rule of crossing for boundaries, walks and the curves of two sizes."""

from __future__ import annotations

import numpy as np
import pytest

from phasediag.analysis.boundary import Rows, SingleValues, find_boundary
from phasediag.analysis.equal_cumulants import _zero
from phasediag.analysis.level import between, crosses, untied
from phasediag.analysis.walk import Leg

LEVEL = 0.5
# A value at the level is above it.
VALUES = {
    (0.0, 1.0): 0.5, (0.0, 0.5, 1.0): 1.0, (0.5, 1.0): None, (1.0, 0.5): None, (0.5, 0.0): 0.0,
    (1.0, 0.5, 0.0): 1.0, (0.5, 0.5, 0.5): None, (0.0, 0.0, 0.25, 0.75): 2.5,
}  # fmt: skip


@pytest.mark.parametrize(("values", "position"), VALUES.items(), ids=str)
def test_a_boundary_and_a_walk_cross_at_the_same_place(
    values: tuple[float, ...], position: float | None
) -> None:
    value, x = np.array(values), np.arange(len(values), dtype=np.float64)
    crossing = Leg(x=x, value=value, settled=np.ones(len(x), dtype=bool)).crossing(LEVEL)
    rows = Rows(
        row=np.zeros(len(x), dtype=np.int64), coordinate=x, value=value,
        replicates=np.ones(len(x), dtype=np.int64), linked=np.ones(len(x) - 1, dtype=bool),
    )  # fmt: skip
    single = SingleValues(cell=np.arange(len(x)), replicate=np.zeros(len(x), dtype=np.int64), value=value)
    boundary = find_boundary(rows, single, LEVEL, 10, 0)
    if position is None:
        assert crossing is None
        assert np.isnan(boundary.position).all()
    else:
        assert crossing is not None
        assert crossing.position == pytest.approx(position)
        assert boundary.position.tolist() == pytest.approx([position])


def test_no_crossing_to_or_from_nan() -> None:
    values = np.array([0.0, np.nan, 1.0, 0.0])
    crossed, rising = crosses(values[:-1], values[1:], LEVEL)
    assert crossed.tolist() == [False, False, True]
    assert not rising[2]


@pytest.mark.parametrize(
    ("difference", "sides"),
    [
        ([-1, 0, 1], [-1, -1, 1]), ([0, 0, -1, -2], [-1, -1, -1, -1]), ([1, 0, 0, 2], [1, 1, 1, 1]),
        ([2, 0, 0, -3, 0], [1, 1, 1, -1, -1]), ([0, 0], [0, 0]), ([np.nan, 0, 1], [np.nan, 1, 1]),
    ],
    ids=str,
)  # fmt: skip
def test_a_difference_of_zero_keeps_the_side_it_came_from(
    difference: list[float], sides: list[float]
) -> None:
    given = np.array(difference, dtype=np.float64)
    both = untied(np.stack([given, np.ones(len(given))], axis=1))
    np.testing.assert_array_equal(np.sign(both[:, 0]), sides)
    np.testing.assert_array_equal(both[given != 0, 0], given[given != 0])
    assert (both[:, 1] == 1).all()


def test_curves_that_are_equal_at_a_place_cross_there_and_not_where_they_only_part() -> None:
    """The first has its zero at a place that was measured: before, it was not looked at."""
    at, error = np.array([1.0, 2.0, 3.0]), np.ones(3)
    assert _zero(at, np.array([[-1.0], [0.0], [1.0]]), error) == pytest.approx([2.0])
    assert np.isnan(_zero(at, np.array([[0.0], [0.0], [1.0]]), error)).all()


def test_between_is_the_zero_of_the_line() -> None:
    rng = np.random.default_rng(7)
    first, last, start = rng.normal(size=(3, 50))
    end = start + rng.choice([-1, 1], 50) * rng.uniform(0.1, 2, 50)
    position = between(first, last, start, end, LEVEL)
    np.testing.assert_allclose(start + (position - first) / (last - first) * (end - start), LEVEL)
