"""`converged` against motions whose end is known, and against chains of known relaxation time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasediag
from phasediag import exact
from phasediag.measuring.convergence import (
    RELAXATIONS,
    MarginCourse,
    log_margin,
    more_steps,
    relaxed,
    steps_to_crossing,
)
from phasediag.measuring.result_columns import results
from trained_tiles import grid_of, recorded, tile_of

STEPS = 1000


def waits(distance: Any, steps: int = STEPS) -> float:
    """The forecast for one distance that is this function of the step, in thresholds."""
    moments = (steps // 2, round(0.9 * steps), steps)
    margins = [log_margin(np.array([[distance(at)]]), np.ones(1)) for at in moments]
    course = MarginCourse(half=margins[0], late=margins[1], last=margins[2])
    return float(steps_to_crossing(course, np.array([float(steps)]))[0, 0])


@given(rate=st.floats(1e-5, 2e-2), start=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]))
def test_an_exponential_is_forecast_exactly(rate: float, start: float, sign: int) -> None:
    crossing = -sign * np.log(start) / rate - STEPS
    steps_left = waits(lambda step: start * np.exp(sign * rate * step))
    if crossing > 1e-3:
        assert steps_left == pytest.approx(crossing, rel=1e-4)
    elif crossing < -1e-3:
        assert steps_left == np.inf


def test_an_algebraic_decay_is_not_forecast_too_late() -> None:
    """At a transition distances fall as step^(-1/2): 1.3 of the threshold is reached at 1.69 of the run."""
    steps_left = waits(lambda step: 1.3 * np.sqrt(STEPS / step))
    assert 0.3 * STEPS < steps_left <= 0.69 * STEPS


def test_what_has_ended_or_only_fluctuates_does_not_move() -> None:
    assert (
        waits(lambda step: 5 * np.exp(-step / 50) + 1.01) == np.inf
        or waits(lambda step: 5 * np.exp(-step / 50) + 1.01) > STEPS
    )
    assert waits(lambda step: 3.0 if step < 800 else 1.05) == np.inf
    assert waits(lambda step: {500: 1.3, 900: 1.1, 1000: 1.2}[step]) == np.inf


@pytest.mark.parametrize(("short", "enough"), [(0.0, True), (7.5e-8, True), (9e-7, True), (2e-6, False)])
def test_relaxations_that_lack_no_more_than_rounding_are_enough(short: float, enough: bool) -> None:
    """learning_time 200 at decay 0.05 is 9.9999999 relaxations in single precision."""
    steps = np.array([1e7])
    speed = RELAXATIONS * (1 - short) / steps
    lacking = more_steps([], np.zeros(1), steps, RELAXATIONS / speed)
    assert (lacking[0] == 0) == enough == bool(relaxed(speed * steps)[0])
    assert relaxed(speed * (steps + lacking)).all()


def test_the_steps_that_are_missing_are_the_largest_of_all_reasons() -> None:
    steps, none = np.full(4, 100.0), np.full((4, 20), np.inf)
    moving = none.copy()
    moving[1, :2] = (30.0, 50.0)
    moving[2, :2] = (30.0, 150.0)
    lacking = more_steps([moving, none], np.array([0, 0, 0.01, 0.2]), steps, np.array([0, 0, 120.0, 0]))
    assert lacking.tolist() == [0, 50, 20, 100]


def chain(signal: float, decay: float, steps: int) -> dict[str, np.ndarray]:
    fixed = {
        "task": "scalar_linear", "signal": signal, "test_samples": 1, "model": "mlp", "depth": 2, "width": 1,
        "activation": "linear", "init": "balanced", "init_scale": 0.5, "batch_size": 1, "dtype": "float64",
        "learning_rate": 0.05, "steps": steps, "weight_decay": decay,
    }  # fmt: skip
    tile = tile_of(grid_of(fixed, replicates=2).trials())
    rates = {name: tile.rates[name].numpy() for name in ("learning_rate", "weight_decay")}
    recorder = recorded(tile, grid_of(fixed).measure)
    return results(recorder, rates, tile.state.steps_done.numpy(), "hidden.1")


def test_a_dying_chain_is_converged_once_it_is_dead_and_says_when_that_will_be() -> None:
    """Above the transition u falls as exp(2 (c - gamma) t): E10. Dead: norm below 1e-3."""
    signal, decay = 0.5, 1.2
    late = exact.learning_curve(signal - decay / 2, 0.25, 10.0)
    time = 10 + np.log(np.sqrt(2 * late) / 1e-3) / (2 * (decay / 2 - signal))
    death = float(time / 0.05)
    halfway = chain(signal, decay, round(0.6 * death))
    assert halfway["alive_count"][0] == 1
    assert halfway["converged"][0] == 0
    assert halfway["more_steps"][0] == pytest.approx(0.4 * death, rel=0.1)
    after = chain(signal, decay, round(1.05 * death))
    assert after["alive_count"][0] == 0
    assert after["converged"][0] == 1
    assert after["more_steps"][0] == 0


def test_a_chain_that_learned_is_converged_as_soon_as_decay_has_acted() -> None:
    signal, decay = 0.8, 0.8
    short, long = (chain(signal, decay, steps) for steps in (200, 300))
    assert short["more_steps"][0] == pytest.approx(RELAXATIONS / (0.05 * decay) - 200)
    assert long["converged"][0] == 1


@pytest.mark.parametrize(("relaxations", "rank", "converged"), [(12, 2, False), (60, 1, True)])
def test_a_rank_that_still_falls_is_not_converged(
    relaxations: int, rank: int, converged: bool, tmp_path: Path
) -> None:
    """The second mode, of singular value 0.5 at gamma = 0.65, dies as exp(-0.23 relaxations); E1: rank 1."""
    text = f"""
name: falling
fixed:
  {{task: linear_map, inputs: 2, outputs: 2, singular_values: [1.0, 0.5], samples: 100, batch_size: 0,
   model: mlp, activation: linear, width: 4, weight_decay: 1.3, relaxations: {relaxations}}}
replicates: 2
measure: {{observables: [rank]}}
"""
    (tmp_path / "grid.yaml").write_text(text)
    phasediag.launch(tmp_path / "grid.yaml", storage=str(tmp_path), executor="inline", compile="off")
    trials = phasediag.load_trials(tmp_path / "falling")
    assert trials["rank"].tolist() == [rank] * 2
    assert trials["converged"].tolist() == [converged] * 2
