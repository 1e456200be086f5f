from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.coincidence import coincidence
from phasediag.errors import AnalysisError

STEPS = np.arange(0, 10_100, 100)


def course(breaks: np.ndarray, drops: np.ndarray, trial: str = "a") -> pd.DataFrame:
    """A trial whose degree falls by `breaks` and whose log loss falls by `drops` in each interval."""
    degree = 63 - np.concatenate([[0], np.cumsum(breaks)])
    loss = np.exp(-np.concatenate([[0.0], np.cumsum(drops)]))
    rows = pd.DataFrame({"step": STEPS, "degree": degree, "train_loss": loss})
    return rows.assign(trial_id=trial, layer="hidden.1", observable="permutation")


def pulses(at: list[int], height: float, width: int = 4) -> np.ndarray:
    rates = np.zeros(len(STEPS) - 1)
    for start in at:
        rates[start : start + width] = height
    return rates


def test_breaks_in_the_drops_are_found_and_told_by_how_much() -> None:
    drops = 0.01 + pulses([20, 60], 0.5)
    overlap = coincidence(course(pulses([20, 60], 2), drops))
    assert (overlap.broken, overlap.trials) == (16, 1)
    assert overlap.ratio == pytest.approx(0.51 / drops.mean())
    assert overlap.p_value < 0.05
    several = [course(pulses([20 + k, 60], 2), 0.01 + pulses([20 + k, 60], 0.5), str(k)) for k in range(3)]
    assert coincidence(pd.concat(several)).p_value < 0.001


def test_p_values_of_independent_courses_are_uniform() -> None:
    """Both courses are bursts of a random length at a random place, around the circle."""
    generator = np.random.default_rng(0)

    def burst() -> np.ndarray:
        return np.roll(pulses([0], 1, int(generator.integers(3, 20))), int(generator.integers(0, 100)))

    p = [coincidence(course(burst(), 0.01 + burst()), shifts=199, seed=i).p_value for i in range(300)]
    assert np.mean(np.array(p) <= 0.05) < 0.09
    assert 0.4 < np.mean(p) <= 1


def test_a_quiet_end_makes_early_courses_coincide_but_not_on_the_descent() -> None:
    """Independent bursts in the first fifth of a run that is over by then."""
    generator = np.random.default_rng(0)

    def burst() -> np.ndarray:
        return pulses([int(generator.integers(0, 17))], 1)

    complete, falling = [], []
    for _ in range(200):
        rows = course(burst(), 1e-6 + burst())
        complete.append(coincidence(rows, shifts=199).p_value)
        falling.append(coincidence(rows, shifts=199, descent=0.99).p_value)
    decided = np.array(falling)[~np.isnan(falling)]
    assert np.mean(np.array(complete) <= 0.1) > 0.25
    assert len(decided) > 50
    assert np.mean(decided <= 0.1) < 0.15


def test_the_descent_ends_where_the_loss_has_fallen_by_its_share() -> None:
    drops = pulses([10, 60], 0.5)
    rows = course(pulses([10, 60], 1), drops)
    assert coincidence(rows, descent=0.5).broken == 4
    assert coincidence(rows, descent=1).broken == 8
    with pytest.raises(AnalysisError, match="descent=0 is not allowed"):
        coincidence(rows, descent=0)


def test_breaks_away_from_the_drops_are_not_significant() -> None:
    overlap = coincidence(course(pulses([80], 2), 0.001 + pulses([20], 0.5)))
    assert overlap.ratio < 0.1
    assert overlap.p_value > 0.5


def test_a_degree_that_only_grows_breaks_nothing() -> None:
    overlap = coincidence(course(-pulses([20], 1), pulses([20], 0.5)))
    assert overlap.broken == 0
    assert np.isnan(overlap.ratio)
    assert np.isnan(overlap.p_value)


def test_a_history_without_losses_is_refused() -> None:
    rows = course(pulses([20], 1), pulses([20], 0.5))
    with pytest.raises(AnalysisError, match="losses: true"):
        coincidence(rows.assign(train_loss=np.nan))
    with pytest.raises(AnalysisError, match=r"lower measure\.every"):
        coincidence(rows[:2])
