"""Refinement where the boundary is known: as good as a dense 64 by 64 grid, at most 15 % of its trials."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

import phasediag
from phasediag.sweeps.refine import refine
from phasediag.sweeps.rounds import Goal

pytestmark = [pytest.mark.physics, pytest.mark.timeout(3600)]
Axes = dict[str, Any]
DENSE, SHARE = 64, 0.15
inline = partial(phasediag.launch, executor="inline", compile="auto")


def swept(folder: Path, name: str, grid: dict[str, Any]) -> Path:
    path = folder / f"{name}.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump({"name": name, **grid}, file)
    assert inline(path, str(folder)).exit_code == 0
    return folder / name


def error(
    sweep: Path, x: str, y: str, order: str, level: float, exact: Callable[[Any], Any], at: Any
) -> float:
    """Root mean square of log(boundary / exact) at these y; between rows log-log straight."""
    rows = phasediag.phase_diagram(
        phasediag.load_trials(sweep), x=x, y=y, order=order, level=level, resamples=2
    ).boundary.dropna(subset="position")
    assert rows[y].min() == min(at)
    assert rows[y].max() == max(at)
    interpolated = np.interp(np.log(at), np.log(rows[y]), np.log(rows["position"]))
    return float(np.sqrt(np.mean((interpolated - np.log(exact(at))) ** 2)))


def compared(
    folder: Path, grid: Axes, dense: Axes, start: Axes, replicates: int, resolution: float,
    question: tuple[str, str, str, float], exact: Callable[[Any], Any], at: Any,
) -> tuple[float, float, float]:  # fmt: skip
    """The errors of a dense grid and of a refinement, and the share of the dense grid's trials it took."""
    x, y, order, level = question
    every = swept(folder, "dense", {**grid, "axes": dense, "replicates": replicates})
    few = swept(folder, "few", {**grid, "axes": start, "replicates": replicates})
    goal = Goal(x=x, y=y, order=order, level=level, resolution=resolution)
    done = refine(few, goal, train=inline)
    assert (done.exit_code, done.stopped) == (0, "")
    counts = [phasediag.status(sweep).total for sweep in (few, every)]
    errors = [error(sweep, x, y, order, level, exact, at) for sweep in (every, few)]
    return errors[0], errors[1], counts[0] / counts[1]


def test_noise_collapse_in_the_plane_of_noise_and_rate(tmp_path: Path) -> None:
    """E5, two-point closed form: sigma_c^2 = c / eta + c^2 at batch 1 without decay."""
    signal, noises, rates = 0.5, [1.3, 9.0], [0.02, 0.08]
    fixed = {
        "task": "scalar_linear", "signal": signal, "model": "mlp", "depth": 2, "width": 1, "bias": False,
        "activation": "linear", "init": "balanced", "init_scale": 1e-12, "batch_size": 1, "steps": 1000,
        "dtype": "float64", "test_samples": 1,
    }  # fmt: skip
    dense, few, share = compared(
        tmp_path, {"fixed": fixed},
        {"label_noise": logs(noises, DENSE), "learning_rate": logs(rates, DENSE)},
        {"label_noise": logs(noises, 9), "learning_rate": logs(rates, 9)},
        replicates=8, resolution=np.log10(noises[1] / noises[0]) / (DENSE - 1),
        question=("label_noise", "learning_rate", "log_rate", 0.0),
        exact=lambda rate: np.sqrt(signal / rate + signal**2), at=np.geomspace(*rates, 200),
    )  # fmt: skip
    assert share <= SHARE
    assert few <= 1.02 * dense, "both share the noise of their replicates, which is most of either error"


def test_equal_neurons_in_the_plane_of_decay_and_width(tmp_path: Path) -> None:
    """E9: weight_decay = 4 (Q - S^2 / h) at widths 2 to 65; rows are whole numbers.

    Neurons that differ by less than at the start count as equal. Small differences grow below the exact
    decay and shrink above it, so that the boundary is there after any time. Neighbours among h normal numbers
    of std s lie about 2 s / h apart, and neurons end at S / h: the threshold is relative, 2 s / S. Momentum
    makes the time tenfold; the rate is what width 65 bears.
    """
    teacher = np.array([1.0, 0.2])
    decays, widths = [0.5, 7.2], np.arange(2, 2 + DENSE)
    scale = 0.004
    threshold = {"absolute": 1e-9, "relative": float(2 * np.sqrt(2) * scale / teacher.sum())}
    fixed = {
        "task": "hermite", "teacher_weights": teacher.tolist(), "model": "hermite", "learning_rate": 0.0135,
        "momentum": 0.9, "batch_size": 0, "init_scale": scale, "steps": 600, "dtype": "float64",
    }  # fmt: skip
    dense, few, share = compared(
        tmp_path, {"fixed": fixed, "measure": {"threshold": threshold}},
        {"weight_decay": logs(decays, DENSE), "width": widths.tolist()},
        {"weight_decay": logs(decays, 9), "width": [2, 4, 8, 16, 32, 65]},
        replicates=1, resolution=np.log10(decays[1] / decays[0]) / (2 * DENSE - 2),
        question=("weight_decay", "width", "degree_normalized", 0.5),
        exact=lambda width: 4 * ((teacher**2).sum() - teacher.sum() ** 2 / width), at=widths,
    )  # fmt: skip
    assert share <= SHARE
    assert few <= dense


def logs(ends: list[float], number: int) -> Axes:
    return {"logspace": ends, "num": number}
