"""`count_converged` in units of what is counted: more neurons in a layer allow no more to merge."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasediag.measuring.convergence import (
    LONGER,
    MarginCourse,
    count_more_steps,
    log_margin,
    more_steps,
    steps_to_change,
    steps_to_crossing,
    tolerated,
)
from phasediag.measuring.judgement import counts_of, judged, words
from phasediag.measuring.moments import UNIT, CourseMoments, changes_of
from phasediag.observables.known import distance_observables

STEPS = 1000


def course(distance: Callable[[float], float], steps: int = STEPS) -> MarginCourse:
    """One distance that is this function of the step, in thresholds."""
    half, late, last = (
        log_margin(np.array([[distance(at)]]), np.ones(1)) for at in (steps // 2, 0.9 * steps, steps)
    )
    return MarginCourse(half=half, late=late, last=last)


def wait(distance: Callable[[float], float]) -> float:
    return float(steps_to_change(course(distance), np.array([float(STEPS)]))[0, 0])


@pytest.mark.parametrize("width", [16, 64, 96, 512])
def test_four_neurons_that_merge_move_a_count_whatever_the_width(width: int) -> None:
    """The referee's case: 4 of 96 distances merge within 10 of the next 1000 steps; the phase stands."""
    waits = np.where(np.arange(width) < 4, 10.0, np.inf)[None]
    steps, none = np.array([1000.0]), np.zeros(1)
    moves = count_more_steps(waits, np.array([8.0]))
    assert moves[0] == 10
    assert more_steps([waits], none, steps, none)[0] == (0 if width > 64 else 10)


@pytest.mark.parametrize(("count", "allowed"), [(0, 0), (20, 0), (39, 0), (40, 1), (59, 1), (500, 24)])
def test_what_may_cross_is_a_share_of_the_count_beyond_twenty(count: int, allowed: int) -> None:
    assert tolerated(np.array([float(count)])) == allowed
    waits = np.full((2, 600), np.inf)
    waits[0, :allowed], waits[1, : allowed + 1] = 5.0, 5.0
    assert count_more_steps(waits, np.full(2, float(count))).tolist() == [0, 5]


@given(rate=st.floats(1e-5, 2e-2), start=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]))
def test_an_exponential_is_followed_for_three_more_lengths(rate: float, start: float, sign: int) -> None:
    crossing = -sign * np.log(start) / rate - STEPS
    steps_left = wait(lambda step: start * np.exp(sign * rate * step))
    if 1e-3 < crossing < 0.999 * LONGER * STEPS:
        assert steps_left == pytest.approx(crossing, rel=1e-4)
    elif crossing > 1.001 * LONGER * STEPS:
        assert steps_left == np.inf


def test_the_slow_merging_that_the_phase_lets_pass_moves_a_count() -> None:
    """Later and later: the last tenth is slower than the last half, and the crossing is at 3.3 lengths."""

    def late(step: float) -> float:
        return np.exp(0.6) * (STEPS / step) ** 0.5

    asked = np.array([float(STEPS)])
    assert steps_to_crossing(course(late), asked)[0, 0] > STEPS
    assert np.isfinite(wait(late))
    assert wait(lambda step: 5 * (STEPS / step) ** 0.2) == np.inf


def test_what_fluctuates_as_far_as_its_threshold_is_not_settled() -> None:
    near = {500: 1.05, 900: 0.95, 1000: 1.1}
    far = {500: 2.05, 900: 2.45, 1000: 2.4}
    assert wait(lambda step: near[round(step)]) == STEPS
    assert wait(lambda step: far[round(step)]) == np.inf
    assert wait(lambda step: 1.0001) == np.inf


def moments(half: list[float], late: list[float], last: list[float]) -> CourseMoments:
    ends = np.array([last])
    return CourseMoments.of(ends, changes_of(np.array([half]), np.array([late]), ends))


def planted(merging: float) -> dict[str, CourseMoments]:
    """A layer of 30 neurons: five of norm 1, the others dead; two of the five approach each other."""
    dead = [1e-9] * 25
    norms = [1.0] * 5
    ways = [merging * np.exp(0.1), merging * np.exp(0.02), merging]
    classes = [[1.0] * 4 + [way, *dead] for way in ways]
    degrees = [[0.9] * 4 + [1e-9] * 25] * 3
    return {
        "permutation": moments(*degrees),
        "sign_flip": moments(*([[*norms, *dead]] * 3)),
        "classes": moments(*classes),
    }


@pytest.mark.parametrize(("merging", "unsettled"), [(0.25, ""), (0.054, "neuron_count")])
def test_the_count_that_moves_is_named(merging: float, unsettled: str) -> None:
    """Threshold 0.05; at 0.2 a length 0.054 crosses after 0.38, 0.25 after 8 lengths of the run."""
    rules = {name: distance_observables()[name] for name in planted(1.0)}
    cut = (np.full(1, 1e-3), np.full(1, 0.05))
    steps = np.full(1, 1e5)
    judgement = judged(planted(merging), rules, cut, steps, np.full(1, 20 / 1e5))
    assert words(judgement.unsettled, counts_of(rules)).tolist() == [unsettled]
    assert (judgement.count_more_steps[0] == 0) == (not unsettled)
    assert judgement.more_steps[0] == 0
    short = judged(planted(merging), rules, cut, steps, np.full(1, 5 / 1e5))
    assert words(short.unsettled, counts_of(rules)).tolist() == [
        "alive_count degree_of_symmetry neuron_count"
    ]
    assert short.count_more_steps[0] == short.more_steps[0] == pytest.approx(1e5, rel=1e-4)


def test_moments_come_back_to_a_hundredth_of_a_per_cent() -> None:
    rng = np.random.default_rng(0)
    half, late, last = (np.exp(rng.normal(0, 1.5, (5, 12))).astype(np.float32) for _ in range(3))
    again = CourseMoments.of(last, changes_of(half, late, last))
    for measured, back in ((half, again.half), (late, again.late), (last, again.last)):
        np.testing.assert_allclose(back, np.sort(measured, axis=1), rtol=0.6 / UNIT)
    zero = CourseMoments.of(np.zeros((1, 2)), changes_of(np.zeros((1, 2)), np.ones((1, 2)), np.zeros((1, 2))))
    assert np.isfinite(zero.half).all()
    assert zero.last.max() == 0
