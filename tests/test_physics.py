"""Grids, trained and read as users do it, against exact results (`science.md` section 5).

Each experiment scans one grid of values, the same for all its cases, at least a factor of two to
each side of every exact value and centred on none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

import phasediag

pytestmark = pytest.mark.physics


def trained(folder: Path, grid: dict[str, Any]) -> pd.DataFrame:
    path = folder / "grid.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump({"name": "exact", **grid}, file)
    outcome = phasediag.launch(path, str(folder), executor="inline", compile="off")
    assert outcome.exit_code == 0
    return phasediag.load_trials(folder / "exact")


def boundary(trials: pd.DataFrame, x: str, y: str, order: str, level: float) -> pd.DataFrame:
    """The located boundary by the value of y."""
    return phasediag.phase_diagram(trials, x=x, y=y, order=order, level=level).boundary.set_index(y)


def spans(axis: np.ndarray, exact: float) -> bool:
    """Whether a scan reaches a factor of two to each side of a value without being centred on it."""
    low, high = axis.min(), axis.max()
    return bool(low <= exact / 2 and high >= 2 * exact and abs(np.log(low * high / exact**2)) > 0.1)


def two_point_noise(signal: float, rate: float, gamma: float) -> float:
    """The noise at which u + w and u - w both stop growing, x = +-1, y = signal x +- noise, batch 1."""

    def collapses(noise: float) -> bool:
        growth = [
            np.mean(
                [np.log(abs(1 - 2 * rate * gamma + 2 * rate * sign * (signal + s * noise))) for s in (-1, 1)]
            )
            for sign in (-1, 1)
        ]
        return bool(max(growth) < 0)

    low, high = signal, 2 * np.sqrt(signal / rate)
    assert collapses(high)
    assert not collapses(low)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if collapses(middle) else (middle, high)
    return high


def test_label_noise_collapses_a_chain_where_the_exact_exponent_turns(tmp_path: Path) -> None:
    """E5: the mean growth rate of the layer changes sign at the closed form's noise, within 3 %."""
    trials = trained(
        tmp_path,
        {
            "fixed": {
                "task": "scalar_linear", "signal": 0.5, "model": "mlp", "depth": 2, "width": 1,
                "activation": "linear", "bias": False, "init": "balanced", "init_scale": 1e-12,
                "learning_rate": 0.05, "batch_size": 1, "steps": 1000, "dtype": "float64", "test_samples": 1,
            },
            "axes": {
                "label_noise": {"logspace": [0.9, 7.0], "num": 18},
                "weight_decay": [0.0, 0.2],
            },
            "replicates": 200,
        },
    )  # fmt: skip
    assert set(trials["status"]) == {"ok"}
    located = boundary(trials, "label_noise", "weight_decay", "log_rate", 0.0)
    for decay in (0.0, 0.2):
        exact = two_point_noise(0.5, 0.05, decay / 2)
        closed_form = np.sqrt(((1 - 0.05 * decay + 0.05) ** 2 - 1) / 0.01)
        assert exact == pytest.approx(closed_form, rel=1e-9)
        assert spans(trials["label_noise"].to_numpy(), exact)
        row = located.loc[decay]
        assert row["position"] == pytest.approx(exact, rel=0.03)
        assert row["low"] < exact < row["high"]
        assert row["high"] - row["low"] < 0.12 * exact


def test_decay_removes_the_singular_values_one_by_one_at_any_width(tmp_path: Path) -> None:
    """E1: mode k is lost at weight_decay = 2 s_k, within 2 %, for width 4 and 32."""
    singular_values = (1.0, 0.5)
    trials = trained(
        tmp_path,
        {
            "fixed": {
                "task": "linear_map", "inputs": 4, "outputs": 4, "samples": 8, "test_samples": 1,
                "singular_values": list(singular_values), "model": "mlp", "depth": 2, "activation": "linear",
                "init_scale": 0.2, "learning_rate": 0.15, "batch_size": 0, "steps": 3000,
            },
            "axes": {"weight_decay": {"logspace": [0.4, 4.5], "num": 110}, "width": [4, 32]},
            "measure": {"observables": ["rank"]},
        },
    )  # fmt: skip
    assert set(trials["status"]) == {"ok"}
    for rank, value in enumerate(singular_values):
        exact = 2 * value
        assert spans(trials["weight_decay"].to_numpy(), exact)
        located = boundary(trials, "weight_decay", "width", "rank", rank + 0.5)
        assert sorted(located.index) == [4, 32]
        for row in located.itertuples():
            assert row.position == pytest.approx(exact, rel=0.02)
            assert row.crossings == 1
    below = trials[trials["weight_decay"] < 0.98]
    np.testing.assert_array_equal(below["rank"], 2)
    exact_loss = sum(np.minimum(below["weight_decay"] / 2, s) ** 2 for s in singular_values)
    np.testing.assert_allclose(below["train_loss"], exact_loss, rtol=1e-3)


def test_neurons_become_equal_at_a_decay_that_grows_with_the_width(tmp_path: Path) -> None:
    """E9: gamma_c = 2 (Q - S^2 / h) within 2 %, read off the degree of permutation symmetry."""
    teacher = np.array([1.0, 0.2])
    trials = trained(
        tmp_path,
        {
            "fixed": {
                "task": "hermite", "teacher_weights": teacher.tolist(), "model": "hermite",
                "learning_rate": 0.04, "batch_size": 0, "init_scale": 0.25, "steps": 3500, "dtype": "float64",
            },
            "axes": {"weight_decay": {"logspace": [0.5, 7.2], "num": 90}, "width": [2, 3, 8]},
            "replicates": 3,
        },
    )  # fmt: skip
    assert set(trials["status"]) == {"ok"}
    located = boundary(trials, "weight_decay", "width", "degree_normalized", 0.5)
    assert sorted(located.index) == [2, 3, 8]
    for width, row in located.iterrows():
        exact = 2 * 2 * ((teacher**2).sum() - teacher.sum() ** 2 / width)
        assert spans(trials["weight_decay"].to_numpy(), exact)
        assert row["position"] == pytest.approx(exact, rel=0.02)


def test_the_time_of_learning_follows_gradient_flow(tmp_path: Path) -> None:
    """E10: u^2(t) of a balanced chain, read off the training loss at many lengths of training."""
    signal, gamma, start, rate = 0.8, 0.2, 0.01, 2e-3
    trials = trained(
        tmp_path,
        {
            "fixed": {
                "task": "linear_map", "inputs": 1, "outputs": 1, "samples": 4, "singular_values": [signal],
                "model": "mlp", "depth": 2, "width": 1, "activation": "linear", "init": "balanced",
                "init_scale": start, "learning_rate": rate, "batch_size": 0, "weight_decay": 2 * gamma,
                "dtype": "float64", "data_seed": 0,
            },
            "axes": {"steps": {"arange": [250, 3250, 250]}},
            "seed": 1,
        },
    )  # fmt: skip
    excess, time = signal - gamma, trials["steps"].to_numpy() * rate
    square = excess / (1 + (excess / start**2 - 1) * np.exp(-4 * excess * time))
    half = np.log(excess / start**2 - 1) / (4 * excess)
    assert time.min() < half < time.max()
    np.testing.assert_allclose(signal - np.sqrt(trials["train_loss"]), square, rtol=0.01, atol=1e-4)
