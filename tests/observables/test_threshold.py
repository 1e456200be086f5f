from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from phasediag.observables.known import ALWAYS, distance_observables
from phasediag.observables.rank import RANK_TOLERANCE
from phasediag.observables.threshold import Threshold, living_scale

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 6))
DISTANCES = SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(0, 4, width=32)))
LEVELS = st.floats(0, 2)


@given(DISTANCES, LEVELS, LEVELS)
def test_epsilon_is_the_larger_of_absolute_and_relative(
    norms: np.ndarray, absolute: float, relative: float
) -> None:
    thresholds = Threshold(absolute=absolute, relative=relative).epsilon(norms)
    for row, epsilon in zip(norms.tolist(), thresholds.tolist(), strict=True):
        squares = math.fsum(v**2 for v in row)
        scale = math.sqrt(math.fsum(v**4 for v in row) / squares) if squares > 0 else 0.0
        assert epsilon == pytest.approx(max(absolute, relative * scale), rel=1e-12)


@given(DISTANCES, st.integers(1, 1000))
def test_the_scale_does_not_know_how_many_neurons_are_dead(norms: np.ndarray, dead: int) -> None:
    more = np.pad(norms, ((0, 0), (0, dead)))
    np.testing.assert_allclose(living_scale(more), living_scale(norms), rtol=1e-12)


@given(st.floats(1e-3, 1e3), st.integers(1, 20), st.integers(1, 20), st.floats(0, 0.05))
def test_neurons_below_the_threshold_hardly_move_the_scale(
    norm: float, living: int, dying: int, share: float
) -> None:
    """Living ones of equal norm: s is that norm, less at most dying * share^2 / living / 2 of it."""
    norms = np.array([[norm] * living + [share * norm] * dying])
    assert norm * (1 - dying * share**2 / living / 2 - 1e-12) <= living_scale(norms)[0] <= norm * (1 + 1e-12)


@pytest.mark.parametrize("largest", [1e-30, 1e30])
def test_the_scale_neither_overflows_nor_vanishes(largest: float) -> None:
    norms = np.array([[largest, largest, 0.0]], dtype=np.float32)
    assert living_scale(norms)[0] == pytest.approx(norms[0, 0], rel=1e-6)
    assert living_scale(np.zeros((2, 3))).tolist() == [0.0, 0.0]


@given(DISTANCES, st.floats(0.01, 100), st.floats(0, 1))
def test_the_relative_threshold_scales_with_the_layer(
    norms: np.ndarray, factor: float, relative: float
) -> None:
    threshold = Threshold(absolute=0.0, relative=relative)
    np.testing.assert_allclose(
        threshold.epsilon(norms.astype(np.float64) * factor), factor * threshold.epsilon(norms), rtol=1e-9
    )


@given(DISTANCES, LEVELS)
def test_degrees_count_one_by_one(distances: np.ndarray, epsilon: float) -> None:
    each = np.full(len(distances), epsilon)
    for observable in ALWAYS:
        degrees = distance_observables()[observable].count(distances, each, 1e-3).tolist()
        below = [sum(v < epsilon for v in row) for row in distances.tolist()]
        above = [sum(v >= epsilon for v in row) for row in distances.tolist()]
        assert degrees == (above if observable == "classes" else below)


@given(DISTANCES, LEVELS, LEVELS)
def test_degrees_follow_the_threshold(distances: np.ndarray, one: float, other: float) -> None:
    """Raising the threshold restores symmetry and merges classes, never the other way."""
    low, high = (np.full(len(distances), level) for level in sorted((one, other)))
    for observable in ALWAYS:
        change = distance_observables()[observable].count(distances, high, 0.0) - distance_observables()[
            observable
        ].count(distances, low, 0.0)
        assert ((change <= 0) if observable == "classes" else (change >= 0)).all()


@given(DISTANCES, st.randoms(use_true_random=False))
def test_degrees_do_not_depend_on_the_order(distances: np.ndarray, random: object) -> None:
    shuffled = distances.copy()
    np.random.default_rng(random.getrandbits(32)).permuted(shuffled, axis=1, out=shuffled)  # type: ignore[attr-defined]
    epsilon = np.full(len(distances), 1.0)
    for observable in (*ALWAYS, "rank"):
        np.testing.assert_array_equal(
            distance_observables()[observable].count(distances, epsilon, 1e-3),
            distance_observables()[observable].count(shuffled, epsilon, 1e-3),
        )


def test_each_trial_has_its_own_threshold() -> None:
    distances = np.array([[1.0, 2.0, 3.0]] * 3)
    assert distance_observables()["permutation"].count(
        distances, np.array([1.0, 2.5, 9.0]), 0.0
    ).tolist() == [0, 2, 3]
    assert distance_observables()["classes"].count(distances, np.array([1.0, 2.5, 9.0]), 0.0).tolist() == [
        3,
        1,
        0,
    ]


@given(DISTANCES, st.floats(0, 2))
def test_the_rank_counts_what_stands_out(singular: np.ndarray, absolute: float) -> None:
    ranks = distance_observables()["rank"].count(singular, np.full(len(singular), np.nan), absolute).tolist()
    expected = [
        sum(float(v) > max(absolute, float(np.float32(RANK_TOLERANCE) * row.max())) for v in row)
        for row in singular
    ]
    near = [
        any(np.isclose(float(v), max(absolute, RANK_TOLERANCE * float(row.max())), rtol=1e-5) for v in row)
        for row in singular
    ]
    assert all(a == b or close for a, b, close in zip(ranks, expected, near, strict=True))


def test_the_rank_of_known_matrices() -> None:
    rng = np.random.default_rng(0)
    for rank in range(5):
        matrix = rng.standard_normal((7, rank)) @ rng.standard_normal((rank, 5))
        singular = np.linalg.svd(matrix, compute_uv=False)[None]
        assert distance_observables()["rank"].count(singular, np.zeros(1), 1e-6).tolist() == [rank]


def test_one_neuron_has_no_neighbours() -> None:
    assert distance_observables()["permutation"].count(np.empty((2, 0)), np.ones(2), 0.0).tolist() == [0, 0]


@pytest.mark.parametrize(
    "threshold", [{"absolute": -1.0}, {"relative": math.inf}, {"absolute": "1"}, {"size": 1.0}]
)
def test_thresholds_are_checked(threshold: dict) -> None:
    with pytest.raises(ValidationError):
        Threshold(**threshold)
