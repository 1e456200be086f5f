"""The temperature is that of the noise: with momentum, without noise, and where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import phasediag
from phasediag.analysis.equal_noise import compare_equal_noise
from phasediag.analysis.noise import noise_column, temperatures, ways, with_temperature
from phasediag.errors import AnalysisError
from small_sweeps import launched

PLAIN = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 4}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, 0.025),
        ({"momentum": 0.9}, 0.25),
        ({"batch_size": 0}, 0.0),
        ({"batch_size": 0, "noise": "fresh", "label_noise": 0.0}, 0.0),
        ({"batch_size": 0, "noise": "quenched", "label_noise": 0.5}, 0.0),
        ({"batch_size": 0, "noise": "fresh", "label_noise": 0.5}, np.nan),
        ({"optimizer": "adam"}, np.nan),
        ({"schedule": "cosine"}, np.nan),
        ({"gradient_clip": 1.0}, np.nan),
    ],
)
def test_the_temperature_of_a_trial(changed: dict[str, object], expected: float) -> None:
    trials = pd.DataFrame([PLAIN | changed])
    assert temperatures(trials)[0] == pytest.approx(expected, nan_ok=True)


def test_a_parameter_of_that_name_is_no_noise() -> None:
    trials = with_temperature(pd.DataFrame([PLAIN | {"temperature": 7.0}]))
    assert trials[["temperature", "noise_temperature"]].to_numpy().tolist() == [[7.0, 0.025]]
    assert noise_column(trials) == "noise_temperature"
    assert "temperature" not in ways(trials)
    assert "temperature" not in with_temperature(trials[["optimizer"]])


def test_trials_of_equal_softmax_temperature_are_none_of_equal_noise() -> None:
    rows = [
        PLAIN | {"learning_rate": rate, "batch_size": batch, "temperature": own, "weight_decay": 0.1,
                 "replicate": replicate, "status": "ok", "converged": True, "neuron_count": 1.0 + replicate}
        for rate, batch in ((0.05, 8), (0.1, 4)) for own in (0.5, 1.0) for replicate in range(3)
    ]  # fmt: skip
    with pytest.raises(AnalysisError, match="no temperature is reached in two ways"):
        compare_equal_noise(with_temperature(pd.DataFrame(rows)))


def test_a_sweep_has_it_besides_the_ratio(tmp_path: Path) -> None:
    launched(
        tmp_path,
        "name: g\nfixed: {task: teacher_student, inputs: 2, samples: 8, test_samples: 2, width: 4, steps: 3, "
        "learning_rate: 0.1, batch_size: 8}\naxes: {momentum: [0, 0.9]}\n",
    )
    trials = phasediag.load_trials(tmp_path / "g").sort_values("momentum")
    assert trials["lr_over_batch"].to_numpy() == pytest.approx(0.0125)
    assert trials["temperature"].to_numpy() == pytest.approx([0.0125, 0.125])
    some = phasediag.load_trials(tmp_path / "g", columns=["temperature", "momentum"])
    assert list(some.columns) == ["temperature", "momentum"]
