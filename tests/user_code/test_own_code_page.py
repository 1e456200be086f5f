"""The examples of `docs/own-code.md`, as they stand there: planned without a remark, trained, measured."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import phasediag

PAGE = Path(__file__).parents[2] / "docs" / "own-code.md"


def test_the_examples_are_planned_trained_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the number of steps is another one than on the page."""
    blocks = re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == ["my_net.py", "grid.yaml", "my_task.py"]
    assert len(blocks) == PAGE.read_text().count("```") / 2, "an example without the name of its file"
    for name, text in blocks:
        (tmp_path / name).write_text(text.replace("steps: 3000", "steps: 300"))
    monkeypatch.chdir(tmp_path)
    plan = phasediag.plan("grid.yaml", "sweeps")
    assert len(plan.survey.trials) == 16
    assert [note for note in plan.notes if "starts otherwise than its constructor says" not in note] == []
    outcome = phasediag.launch("grid.yaml", "sweeps", executor="inline", compile="off")
    assert (outcome.exit_code, outcome.status.ok) == (0, 16), outcome.first_error
    trials = phasediag.load_trials("sweeps/own")
    assert trials.set_index(["frequency", "sharpness", "replicate"]).index.nunique() == 8
    assert trials["neuron_count"].between(1, 16).all()
    assert trials["max_degree"].unique().tolist() == [15]
    scale = 0.5  # the mean of sin^2: what a network that gives 0 loses
    assert (trials.loc[np.isclose(trials["frequency"], 1), "test_loss"] < scale / 2).all()
