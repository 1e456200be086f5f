"""A sweep that an earlier version recorded: the same numbers, nothing to train, the same numbers again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import phasediag

RECORDED = Path(__file__).parent / "recorded"
NAMES = {"grid": "recorded", "own": "own"}
"""The names of the sweeps, by grid."""
ABOUT_THE_RUN = {
    "pack_id", "wall_s", "started_at", "device", "phasediag_version", "git_commit", "torch_version",
    "measured_bytes", "projected_bytes",
}  # fmt: skip


@pytest.fixture(params=NAMES)
def grid(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder(grid: str, tmp_path: Path) -> Path:
    """A copy of the grid, the user's file, and the sweep."""
    shutil.copytree(RECORDED, tmp_path, dirs_exist_ok=True)
    return tmp_path


def expected(grid: str, table: str) -> pd.DataFrame:
    return pd.DataFrame(json.loads((RECORDED / f"{grid}-{table}.json").read_text()))


def assert_same(ours: pd.DataFrame, theirs: pd.DataFrame, by: list[str], rtol: float) -> None:
    """Every column of theirs has the values that it had; rows in any order."""
    ours, theirs = (frame.sort_values(by).reset_index(drop=True) for frame in (ours, theirs))
    assert len(ours) == len(theirs) > 0
    assert set(theirs) <= set(ours)
    for name in theirs:
        for row, (own, old) in enumerate(zip(ours[name], theirs[name], strict=True)):
            assert same(own, old, rtol), f"{name} of row {row}: {own!r}, was {old!r}"


def same(own: Any, old: Any, rtol: float) -> bool:
    if isinstance(old, list):
        return len(own) == len(old) and bool(np.allclose(own, old, rtol=rtol, atol=1e-7 if rtol else 0))
    if old is None or pd.isna(old):
        return own is None or bool(pd.isna(own))
    if isinstance(old, float):
        return bool(np.isclose(own, old, rtol=rtol, atol=1e-7 if rtol else 0))
    return bool(own == old)


def test_it_loads_with_the_same_numbers(grid: str, folder: Path) -> None:
    sweep = folder / "sweeps" / NAMES[grid]
    assert_same(phasediag.load_trials(sweep), expected(grid, "trials"), ["trial_id"], 0.0)
    measurements = phasediag.load_measurements(sweep)
    key = ["trial_id", "step", "layer", "observable"]
    assert_same(measurements, expected(grid, "measurements"), key, 0.0)


def test_launching_its_grid_trains_nothing(grid: str, folder: Path) -> None:
    outcome = phasediag.launch(folder / f"{grid}.yaml", storage=str(folder / "sweeps"), executor="inline")
    assert (outcome.exit_code, outcome.trained, outcome.status.missing) == (0, 0, 0)


def test_training_it_again_gives_the_same_numbers(grid: str, folder: Path) -> None:
    storage = str(folder / "anew")
    phasediag.launch(folder / f"{grid}.yaml", storage=storage, executor="inline", compile="off")
    theirs = expected(grid, "trials")
    theirs = theirs.drop(columns=[name for name in ABOUT_THE_RUN if name in theirs])
    assert_same(phasediag.load_trials(f"{storage}/{NAMES[grid]}"), theirs, ["trial_id"], 1e-5)
