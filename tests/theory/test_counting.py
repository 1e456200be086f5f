"""Theorem 4 and Conjecture 1 as functions, against packings, asymptotics and trained networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasediag
from phasediag.errors import AnalysisError, PhasediagError
from phasediag.theory.counting import bound_exponent, neuron_bound, packing_bound
from phasediag.theory.separation import separation_test, separations
from small_sweeps import launched


@given(st.integers(1, 3), st.integers(2, 30), st.integers(0, 2**31))
def test_no_set_of_points_is_larger_than_its_packing_bound(dimension: int, count: int, seed: int) -> None:
    points = np.random.default_rng(seed).standard_normal((count, dimension))
    distances = np.linalg.norm(points[:, None] - points, axis=2)[~np.eye(count, dtype=bool)]
    assert count <= packing_bound(np.linalg.norm(points, axis=1).max(), distances.min(), dimension)


def test_the_packing_bound_is_nearly_reached_in_one_dimension() -> None:
    assert packing_bound(3.0, 1.0, 1) == 7 == len(range(-3, 4))


@pytest.mark.parametrize("dimension", [1, 2, 5, 50])
def test_the_neuron_bound_solves_its_equation_and_has_the_exponent_of_the_theorem(dimension: int) -> None:
    loss, curvature = 2.0, 3.0
    for gamma in (1e-6, 1e-3, 1.0):
        count = neuron_bound(gamma, dimension, loss, curvature)
        radius, apart = np.sqrt(loss / (gamma * count)), gamma / (2 * curvature)
        assert packing_bound(radius, apart, dimension) == pytest.approx(count, rel=1e-8)
    small, smaller = (neuron_bound(gamma, dimension, loss, curvature) for gamma in (1e-80, 1e-81))
    assert np.log10(smaller / small) == pytest.approx(bound_exponent(dimension), abs=0.01)
    assert bound_exponent(dimension) < min(3, 1.5 * dimension + 1e-9)
    assert bound_exponent(dimension, squared=True) == pytest.approx(2 / 3 * bound_exponent(dimension))


@pytest.mark.parametrize("wrong", [{"gamma": 0}, {"gamma": 0.1, "loss": -1}, {"gamma": 0.1, "curvature": 0}])
def test_what_bounds_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PhasediagError, match="give one > 0"):
        neuron_bound(dimension=3, **wrong)
    with pytest.raises(PhasediagError, match="give one > 0"):
        packing_bound(1.0, 0.0, 2)


def planted(exponent: float, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    gamma = np.repeat(np.geomspace(1e-3, 1e-1, 8), 10)
    apart = 2 * gamma**exponent * (1 + generator.exponential(1.0, len(gamma)))
    return pd.DataFrame({"gamma": gamma, "temperature": 0.0, "separation": apart})


def test_a_planted_power_is_recovered_and_only_a_faster_fall_rejects_the_conjecture() -> None:
    for exponent, rejected in ((0.5, False), (1.0, False), (1.5, True), (2.0, True)):
        found = separation_test(planted(exponent))
        assert found.exponent == pytest.approx(exponent, abs=0.1)
        assert found.rejected == rejected
        assert ("rejected" in str(found)) == rejected
    assert separation_test(planted(1.0)).constant == pytest.approx(2, rel=0.2)
    with pytest.raises(AnalysisError, match="0 values of temperature > 0"):
        separation_test(planted(1.0), "temperature")


def swept(folder: Path, fixed: str, axes: str, rest: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    launched(folder, f"name: g\nfixed: {{{fixed}}}\naxes: {{{axes}}}\n{rest}")
    classes = phasediag.load_measurements(folder / "g", observable="classes", last=True)
    return phasediag.load_trials(folder / "g"), classes


def test_a_continuous_transition_leaves_no_room_for_a_constant(tmp_path: Path) -> None:
    """E9 with two neurons: |w_1 - w_2| = sqrt(gamma_c - gamma) is as small as one likes."""
    trials, classes = swept(
        tmp_path,
        "task: hermite, model: hermite, width: 2, teacher_weights: [1, 0.2], batch_size: 0, steps: 1500, "
        "learning_rate: 0.08, init_scale: 0.3, dtype: float64",
        "weight_decay: [0.4, 0.8, 1.0, 1.1, 1.2]",
        "measure: {threshold: {absolute: 1e-3, relative: 0}}\n",
    )
    found = separations(trials, classes).set_index("gamma")["separation"]
    for gamma, separation in found.items():
        apart = np.sqrt(0.64 - float(gamma))
        mean = 0.6
        assert separation == pytest.approx(min(apart, mean - apart / 2), rel=0.01)
    result = separation_test(separations(trials, classes))
    assert result.constant_at == 0.6
    assert result.constant == pytest.approx(np.sqrt(0.04) / 0.6, rel=0.01)


def test_trained_layers_hold_no_more_neurons_than_fit(tmp_path: Path) -> None:
    """The stored neuron count against the packing bound from the stored distances, for real networks."""
    trials, classes = swept(
        tmp_path,
        "task: teacher_student, inputs: 2, outputs: 1, samples: 64, test_samples: 2, teacher_width: 3, "
        "width: 24, batch_size: 0, steps: 1500, learning_rate: 0.1",
        "weight_decay: [0.003, 0.01, 0.03, 0.1]",
        "replicates: 2\n",
    )
    found = separations(trials, classes).set_index("trial_id")
    assert len(found) >= 6
    largest = classes.set_index("trial_id")["distances"].map(lambda d: float(np.max(d)))
    counts = trials.set_index("trial_id")["neuron_count"]
    for trial_id, row in found.iterrows():
        assert row["neuron_count"] == counts[trial_id]
        assert row["neuron_count"] <= packing_bound(largest[trial_id], row["separation"], 3)
        assert row["merged"] < row["separation"] or np.isnan(row["merged"])
    with pytest.raises(AnalysisError, match="observable="):
        separations(trials, phasediag.load_measurements(tmp_path / "g", last=True))
