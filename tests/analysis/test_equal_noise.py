"""Whether y depends on rate and batch through their temperature alone: planted both ways."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.equal_noise import compare_equal_noise
from phasediag.analysis.noise import with_temperature
from phasediag.errors import AnalysisError


def swept(excess: float, seed: int = 0, replicates: int = 8) -> pd.DataFrame:
    """A rate of growth that falls with T, and with the learning rate itself by so much."""
    rng = np.random.default_rng(seed)
    axes = [[0.01, 0.02], [1, 2, 4], np.linspace(1, 3, 5), range(replicates)]
    names = ["T", "batch_size", "label_noise", "replicate"]
    frame = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    frame = frame.assign(learning_rate=frame["T"] * frame["batch_size"], optimizer="sgd", status="ok")
    frame = with_temperature(frame.drop(columns="T"))
    shared = rng.normal(0, 0.02, replicates)[frame["replicate"]]
    mean = 1 - 10 * frame["temperature"] * frame["label_noise"] ** 2 - excess * frame["learning_rate"]
    return frame.assign(growth=mean + shared + rng.normal(0, 0.02, len(frame)), converged=True)


@pytest.mark.parametrize(
    ("excess", "verdict"), [(0.0, "supported"), (5.0, "not supported"), (2.1, "cannot tell")]
)
def test_what_is_planted_is_what_is_said(excess: float, verdict: str) -> None:
    said = compare_equal_noise(swept(excess), y="growth", x="label_noise")
    assert said.claim.verdict == verdict
    assert len(said.cells) == 10
    assert json.loads(json.dumps(said.as_dict(), allow_nan=False))["claim"]["verdict"] == verdict
    assert "growth depends on learning rate and batch size through their temperature" in said.summary()


def test_it_denies_what_is_true_in_few_of_fifty_draws() -> None:
    """By the mean, or by one point of ten together at 95 %: at most 6 of 50."""
    verdicts = [
        compare_equal_noise(swept(0.0, seed), y="growth", x="label_noise").claim.verdict for seed in range(50)
    ]
    assert verdicts.count("not supported") <= 6


def test_momentum_of_the_same_temperature_is_another_way_to_it() -> None:
    frame = swept(0.0)
    frame = frame[frame["batch_size"] <= 2].drop(columns="temperature")
    one = frame["batch_size"] == 1
    frame = frame.assign(batch_size=1, momentum=np.where(one, 0.5, 0.0))

    frame = with_temperature(frame)
    assert compare_equal_noise(frame, y="growth", x="label_noise").claim.verdict == "supported"


def test_where_nothing_has_converged_that_is_said() -> None:
    """Not that the grid has no two ways, which it has."""
    frame = swept(0.0).assign(converged=False, neuron_count=3.0)
    with pytest.raises(AnalysisError, match=f"no trial is left to compare: {len(frame)} not converged"):
        compare_equal_noise(frame, y="neuron_count", x="label_noise")


def test_two_ways_to_a_temperature_are_needed() -> None:
    frame = swept(0.0)
    with pytest.raises(AnalysisError, match="no temperature is reached in two ways"):
        compare_equal_noise(frame[frame["batch_size"] == 2], y="growth", x="label_noise")
    with pytest.raises(AnalysisError, match="no column 'temperature'"):
        compare_equal_noise(frame.drop(columns="temperature"), y="growth")
