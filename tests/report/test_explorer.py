"""What the page's script is given: the sweep's own numbers, at every threshold of its range."""

from pathlib import Path

import numpy as np
import pytest

from phasediag.analysis.courses import Courses
from phasediag.analysis.frames import load_measurements, load_recounted, load_trials
from phasediag.analysis.threshold_range import RANGE, RECORDED, ThresholdRange
from phasediag.report.embedded import embedded, smallest

from .stored_sweep import stored_sweep

SWEEP = Path(__file__).parents[1] / "recorded/sweeps/recorded"
"""One that an earlier version recorded."""


@pytest.fixture(scope="module", params=["recorded", "planted"])
def sweep(request, tmp_path_factory):
    if request.param == "recorded":
        return SWEEP
    folder = tmp_path_factory.mktemp("sweeps") / "planted"
    stored_sweep(folder)
    return folder


@pytest.mark.parametrize("place", [0, 7, 24, RECORDED, 45, len(RANGE) - 1])
def test_counts_of_the_range_are_those_of_counting_again(sweep, place):
    trials = load_trials(sweep)
    thresholds = ThresholdRange.of(sweep, trials)
    again = load_recounted(sweep, trials, RANGE[place])
    assert set(thresholds.passed) == {"degree_of_symmetry", "neuron_count", "alive_count", "rank"}
    for name in thresholds.passed:
        np.testing.assert_array_equal(thresholds.counts(name, place), again[name].to_numpy(np.float64))


def test_counts_move_within_the_range(tmp_path):
    """Else the equality above would say little."""
    stored_sweep(tmp_path / "planted")
    thresholds = ThresholdRange.of(tmp_path / "planted", load_trials(tmp_path / "planted"))
    ends = [thresholds.counts("neuron_count", place) for place in (0, RECORDED, len(RANGE) - 1)]
    assert (ends[0] > ends[1]).any()
    assert (ends[1] > ends[2]).any()


def test_trials_may_be_some_of_the_sweep_in_any_order():
    every = load_trials(SWEEP)
    some = every.iloc[[11, 3, 7]]
    passed = ThresholdRange.of(SWEEP, some).passed
    for name, values in ThresholdRange.of(SWEEP, every).passed.items():
        np.testing.assert_array_equal(passed[name], values[[11, 3, 7]])


def test_counts_by_other_rules_have_no_range():
    trials = load_trials(SWEEP)
    thresholds = ThresholdRange.of(SWEEP, trials.assign(neuron_count=trials["neuron_count"] + 1))
    assert not thresholds.passed
    assert "neuron_count was recorded by other rules" in thresholds.reason


def test_courses_are_the_measurements_of_the_measured_layer():
    trials = load_trials(SWEEP)
    courses = Courses.of(SWEEP, trials)
    rows = load_measurements(SWEEP, "permutation", layer=trials["measure_layer"].iloc[0])
    at = rows["trial_id"].map({own: place for place, own in enumerate(trials["trial_id"])})
    own = {(t, s): d for t, s, d in zip(at, rows["step"], rows["degree"], strict=True)}
    name = "degree_of_symmetry"
    parts = (courses.trial[name], courses.step[name], courses.count[name])
    assert {(t, s): c for t, s, c in zip(*parts, strict=True)} == own


def test_whole_numbers_are_embedded_in_the_smallest_type():
    assert [smallest(np.array([0, most])).dtype.name for most in (255, 256, 65_536)] == [
        "uint8", "uint16", "uint32",
    ]  # fmt: skip


def test_a_number_that_json_does_not_know_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded({"level": float("nan")}, {})
