"""Theorem 4 and Conjecture 1 as functions, against packings, asymptotics and trained networks."""

from __future__ import annotations

from collections.abc import Callable
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


def planted(
    apart: Callable[[np.ndarray], np.ndarray], seed: int = 0, dtype: type = np.float64
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three neurons, two of them so far apart, and copies that have merged to rounding; 5 replicates."""
    rng = np.random.default_rng(seed)
    gamma, replicate = (each.ravel() for each in np.meshgrid(np.geomspace(1e-3, 1e-1, 8), np.arange(5)))
    ids = [str(number) for number in range(len(gamma))]
    trials = pd.DataFrame({
        "trial_id": ids, "status": "ok", "weight_decay": 2 * gamma, "lr_over_batch": 0.0,
        "replicate": replicate,
    })  # fmt: skip
    smallest = apart(gamma) * np.exp(rng.normal(0, 0.1, len(gamma)))
    distances = [np.array([1, 0.5, d, *(1e-13 * rng.random(3))], dtype=dtype) for d in smallest]
    classes = pd.DataFrame({
        "trial_id": ids, "observable": "classes", "epsilon": 0.05, "distances": distances,
    })  # fmt: skip
    return trials, classes


@pytest.mark.parametrize(("exponent", "verdict"), [
    (0.5, "compatible"), (1.0, "compatible"), (1.5, "rejected"), (2.0, "rejected"),
])  # fmt: skip
def test_a_planted_power_is_recovered_and_only_a_faster_fall_rejects_the_conjecture(
    exponent: float, verdict: str
) -> None:
    """Also below epsilon = 0.05, which kept every separation above itself: 3 gamma^2 was compatible."""
    tested = separation_test(
        separations(*planted(lambda gamma: (1 if exponent < 1 else 3) * gamma**exponent))
    )
    assert tested.exponent == pytest.approx(exponent, abs=0.1)
    assert tested.low <= exponent <= tested.high
    assert tested.verdict == verdict
    assert tested.rejected == (verdict == "rejected")
    assert ("rejected" in str(tested)) == tested.rejected


def test_the_constant_is_the_smallest_ratio() -> None:
    tested = separation_test(separations(*planted(lambda gamma: 2 * gamma)))
    assert tested.constant == pytest.approx(2, rel=0.3)
    with pytest.raises(AnalysisError, match="0 values of temperature > 0"):
        separation_test(separations(*planted(lambda gamma: gamma)), "temperature")


def test_the_interval_of_the_separation_covers_a_true_bound() -> None:
    """Of 200 draws of c gamma, 2.5 % or fewer are rejected: at most 12, three binomial errors above 5."""
    tests = (separation_test(separations(*planted(lambda g: 2 * g, seed))) for seed in range(200))
    assert sum(tested.rejected for tested in tests) <= 12


def test_trials_without_a_gap_are_left_out_and_counted() -> None:
    trials, classes = planted(lambda gamma: 2 * gamma)
    classes["distances"] = [
        np.array([1, 0.5, 0.3, 0.2, 0.1, 0.05]) if number % 4 == 0 else distances
        for number, distances in enumerate(classes["distances"])
    ]
    every = separations(trials, classes)
    assert (~every["decided"]).sum() == 10
    tested = separation_test(every)
    assert tested.undecided == 10
    assert tested.smallest["trials"].sum() == 30
    assert "10 trials without a gap above 10 are left out" in str(tested)


def test_one_replicate_gives_no_verdict_and_rounding_is_no_distance() -> None:
    trials, classes = planted(lambda gamma: 3 * gamma**2, dtype=np.float32)
    alone = separations(trials[trials["replicate"] == 0], classes)
    assert separation_test(alone).verdict == "cannot tell"
    classes["distances"] = [
        np.array([1, 0.5, 0.2, 1e-9, 1e-15, 0], dtype=np.float32) for _ in classes["distances"]
    ]
    rows = separations(trials, classes)
    assert (rows["neuron_count"] == 3).all()
    assert rows["separation"].to_numpy() == pytest.approx(0.2)


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
    by_trial = separations(trials, classes).set_index("gamma")
    for gamma, row in by_trial.iterrows():
        apart = np.sqrt(0.64 - float(gamma))
        mean = 0.6
        assert sorted([mean + apart / 2, min(apart, mean - apart / 2)])[0] == pytest.approx(
            classes.set_index("trial_id").loc[row["trial_id"], "distances"].min(), rel=0.01
        )


@pytest.mark.slow
def test_trained_layers_hold_no_more_neurons_than_fit(tmp_path: Path) -> None:
    """The stored neuron count against the packing bound from the stored distances, for real networks."""
    trials, classes = swept(
        tmp_path,
        "task: teacher_student, inputs: 2, outputs: 1, samples: 64, test_samples: 2, teacher_width: 3, "
        "width: 24, batch_size: 0, steps: 1500, learning_rate: 0.1",
        "weight_decay: [0.003, 0.01, 0.03, 0.1]",
        "replicates: 2\n",
    )
    by_trial = separations(trials, classes).set_index("trial_id")
    assert len(by_trial) >= 6
    largest = classes.set_index("trial_id")["distances"].map(lambda d: float(np.max(d)))
    for trial_id, row in by_trial.iterrows():
        assert row["neuron_count"] <= packing_bound(largest[trial_id], row["separation"], 3)
        assert row["merged"] < row["separation"] or np.isnan(row["merged"])
    with pytest.raises(AnalysisError, match="observable="):
        separations(trials, phasediag.load_measurements(tmp_path / "g", last=True))
