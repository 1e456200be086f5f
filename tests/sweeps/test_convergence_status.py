"""`status` tells how many trials are unconverged and how many more steps they need."""

from __future__ import annotations

from pathlib import Path

import phasediag
from phasediag.sweeps.status import status
from small_sweeps import grid_text, launched


def test_status_tells_the_steps_that_are_missing(tmp_path: Path) -> None:
    """With decay d a trial needs at least 10 / (learning_rate d) steps; without hidden layer null."""
    launched(tmp_path, grid_text({"weight_decay": [0.5, 1.0, 50.0]}, {"steps": 100, "teacher_scale": 0}))
    counts = status(tmp_path / "g")
    trials = phasediag.load_trials(tmp_path / "g").sort_values("weight_decay")
    assert trials["converged"].tolist()[:2] == [False, False]
    assert (trials["more_steps"].to_numpy()[:2] >= [900, 400]).all()
    unconverged = trials[~trials["converged"].astype(bool)]
    assert counts.unconverged == len(unconverged)
    assert counts.more_steps == unconverged["more_steps"].median()
    assert counts.more_steps_most == unconverged["more_steps"].max()


def test_without_hidden_layer_nothing_is_said(tmp_path: Path) -> None:
    launched(tmp_path, grid_text({"weight_decay": [0.5, 1.0]}, {"steps": 5, "depth": 1}))
    assert phasediag.load_trials(tmp_path / "g")["converged"].isna().all()
    assert status(tmp_path / "g").unconverged == 0
