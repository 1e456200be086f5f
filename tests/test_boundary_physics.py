"""Boundaries in two planes of trained systems, with their intervals, against the exact curves.

E5 of `docs/physics.md` in the plane of learning rate and label noise, E9 in that of weight decay and width.
Each scan reaches a factor of two to each side of every exact value and is centred on none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

import phasediag

pytestmark = [pytest.mark.physics, pytest.mark.timeout(900)]


def trained(folder: Path, grid: dict[str, Any]) -> pd.DataFrame:
    path = folder / "grid.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump({"name": "exact", **grid}, file)
    outcome = phasediag.launch(path, str(folder), executor="inline", compile="off")
    assert outcome.exit_code == 0
    return phasediag.load_trials(folder / "exact")


def check(boundary: pd.DataFrame, axis: np.ndarray, exact: np.ndarray, widest: float) -> None:
    """Every row within 2 %, its interval covers the exact value and is no wider than stated.

    At a continuous transition relaxation slows without bound, so that whatever the number of steps a cell
    beside the boundary may be unsettled: its row, and no second one, may be without an interval.
    """
    assert (axis.min() <= exact / 2).all()
    assert (axis.max() >= 2 * exact).all()
    assert (np.abs(np.log(axis.min() * axis.max() / exact**2)) > 0.1).all()
    np.testing.assert_allclose(boundary["position"], exact, rtol=0.02)
    table = boundary.assign(exact=exact).to_string()
    settled = boundary["converged"].to_numpy(dtype=bool)
    assert settled.sum() >= len(boundary) - 1, table
    assert (boundary["low"] <= exact)[settled].all(), table
    assert (boundary["high"] >= exact)[settled].all(), table
    assert ((boundary["high"] - boundary["low"]) / exact < widest)[settled].all(), table
    assert boundary["crossings"].eq(1).all()


def test_the_noise_that_collapses_a_chain_at_each_learning_rate(tmp_path: Path) -> None:
    """E5: |(1 - 2 eta gamma + 2 eta c)^2 - 4 eta^2 sigma^2| = 1 for x = +-1, y = c x +- sigma, batch 1.

    The start is so small that no chain settles meanwhile: once it has, its rate is zero up to noise.
    """
    signal, decay = 0.5, 0.1
    trials = trained(
        tmp_path,
        {
            "fixed": {
                "task": "scalar_linear", "signal": signal, "model": "mlp", "depth": 2, "width": 1,
                "activation": "linear", "bias": False, "init": "balanced", "init_scale": 1e-100,
                "weight_decay": decay, "batch_size": 1, "steps": 1000, "dtype": "float64", "test_samples": 1,
            },
            "axes": {
                "label_noise": {"logspace": [0.7, 4.9], "num": 20},
                "learning_rate": [0.08, 0.1, 0.12],
            },
            "replicates": 300,
        },
    )  # fmt: skip
    assert set(trials["status"]) == {"ok"}
    diagram = phasediag.phase_diagram(trials, "label_noise", "learning_rate", "log_rate", 0.0)
    rate = diagram.boundary["learning_rate"].to_numpy()
    exact = np.sqrt(((1 - rate * decay + 2 * rate * signal) ** 2 - 1) / (4 * rate**2))
    check(diagram.boundary, trials["label_noise"].to_numpy(), exact, widest=0.06)


def test_the_decay_that_makes_neurons_equal_at_each_width(tmp_path: Path) -> None:
    """E9: gamma_c = 2 (Q - S^2 / h), read off the degree of permutation symmetry."""
    teacher = np.array([1.0, 0.2])
    trials = trained(
        tmp_path,
        {
            "fixed": {
                "task": "hermite", "teacher_weights": teacher.tolist(), "model": "hermite",
                "learning_rate": 0.04, "batch_size": 0, "init_scale": 0.25, "steps": 16000,
                "dtype": "float64",
            },
            "axes": {
                "weight_decay": {"logspace": [0.5, 8.9], "num": 96},
                "width": [2, 3, 6, 16],
            },
            "replicates": 3,
        },
    )  # fmt: skip
    assert set(trials["status"]) == {"ok"}
    diagram = phasediag.phase_diagram(trials, "weight_decay", "width")
    width = diagram.boundary["width"].to_numpy()
    exact = 2 * 2 * ((teacher**2).sum() - teacher.sum() ** 2 / width)
    check(diagram.boundary, trials["weight_decay"].to_numpy(), exact, widest=0.05)
