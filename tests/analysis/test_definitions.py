"""Counts that follow different definitions are told apart, never averaged, and can be made alike."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import phasediag
from phasediag.analysis.versions import VersionsWarning, newest
from phasediag.commands.where import filtered
from phasediag.observables.known import DEFINITIONS
from small_sweeps import grid_text, launched, rewrite

RECORDED = Path(__file__).parents[1] / "recorded" / "sweeps" / "recorded"


def mixed() -> pd.DataFrame:
    """Counts 1 / x by definitions 1 with 100 too many, and by definitions 2; one trial that diverged."""
    rows = [
        {
            "weight_decay": x, "width": 512, "replicate": r, "definitions": d, "status": "ok",
            "converged": True, "neuron_count": round(8 / x) + 100 * (d == 1), "train_loss": x,
        }
        for x in (0.02, 0.05, 0.1, 0.2, 0.5) for r in range(4) for d in (1, 2)
    ]  # fmt: skip
    lost = {**rows[0], "status": "diverged", "neuron_count": np.nan, "replicate": 9}
    return pd.DataFrame([*rows, lost])


def test_statistics_of_counts_take_the_newest_definitions_and_say_so() -> None:
    with pytest.warns(VersionsWarning, match=r"20 trials were counted by older definitions .*--remeasure"):
        fit = phasediag.fit_scaling(mixed(), x="weight_decay", window=(0, 1))
    assert fit.exponent == pytest.approx(-1, abs=0.02)


def test_trials_without_counts_and_columns_that_are_no_counts_stay() -> None:
    with pytest.warns(VersionsWarning):
        kept = newest(mixed(), ("weight_decay", "neuron_count"))
    assert kept["status"].tolist().count("diverged") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(newest(mixed(), ("weight_decay", "train_loss"))) == 41
        assert len(newest(mixed(), ("weight_decay", "neuron_count", "definitions"))) == 41


def test_older_definitions_can_be_asked_for() -> None:
    trials = phasediag.load_trials(RECORDED)
    assert trials["definitions"].tolist() == [1] * len(trials)
    assert len(filtered(trials, ["definitions=1"])) == len(trials)


def without_definitions(rows: pa.Table) -> pa.Table:
    at = rows.schema.get_field_index("definitions")
    return rows.set_column(at, rows.schema.field(at), pa.nulls(len(rows), pa.int64()))


def test_remeasuring_counts_by_the_newest_definitions(tmp_path: Path) -> None:
    """Launched again a sweep of older definitions trains nothing, unless it is to be measured anew."""
    text = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 20})
    launched(tmp_path, text)
    assert phasediag.load_trials(tmp_path / "g")["definitions"].tolist() == [DEFINITIONS] * 2
    assert launched(tmp_path, text, remeasure=True).trained == 0
    rewrite(tmp_path / "g", without_definitions)
    assert phasediag.load_trials(tmp_path / "g")["definitions"].tolist() == [1, 1]
    assert launched(tmp_path, text).trained == 0
    assert launched(tmp_path, text, remeasure=True).trained == 2
    assert phasediag.load_trials(tmp_path / "g")["definitions"].tolist() == [DEFINITIONS] * 2


def test_layers_of_homogeneity_1_are_counted_by_directions(tmp_path: Path) -> None:
    """Recorded, and counted again from stored distances; layers of tanh by classes, as ever."""
    axes = {"weight_decay": "[0.0, 0.1]", "activation": "[relu, tanh, linear]"}
    launched(tmp_path, grid_text(axes, {"steps": 30, "inputs": 2, "outputs": 1}))
    for cut in (None, {"absolute": 0.0, "relative": 0.5}):
        trials = phasediag.load_trials(tmp_path / "g", threshold=cut)
        measured = phasediag.load_measurements(tmp_path / "g", last=True, threshold=cut)
        degrees = measured.pivot(index="trial_id", columns="observable", values="degree")
        activations = trials.set_index("trial_id")["activation"]
        expected = degrees["directions"].where(activations != "tanh", degrees["classes"])
        assert degrees["directions"].isna().tolist() == (activations[degrees.index] == "tanh").tolist()
        counts = trials.set_index("trial_id")["neuron_count"]
        assert counts.tolist() == expected[counts.index].tolist()
        assert (degrees["directions"] < degrees["classes"]).any()
