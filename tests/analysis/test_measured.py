"""A sweep that measured nothing says so, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.frames import load_trials
from phasediag.analysis.measured import nothing_measured, unmeasured, valueless
from phasediag.analysis.scaling import fit_scaling
from phasediag.errors import AnalysisError
from phasediag.report.warnings import about_trials
from phasediag.storage.store import Store
from synthetic_sweep import measured_rows, pack_name, trial_rows


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"status": "ok", "neuron_count": np.nan, **columns}, index=range(4))


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"model": "net.py:Net"}, "nothing is measured: the model states no neuron_groups"),
        ({"model": "mlp", "depth": 1}, "nothing is measured: no network has hidden neurons"),
        ({"model": "mlp", "depth": 2, "measure_layer": "hidden.9"},
         "nothing is measured: no network has a layer hidden.9"),
        ({"neuron_count": [1, np.nan, np.nan, np.nan]}, ""),
        ({"status": "diverged"}, ""),
        ({"status": "failed"}, ""),
        ({"status": ["ok", "diverged", "failed", "diverged"], "model": "net.py:Net"},
         "nothing is measured: the model states no neuron_groups"),
    ],
)  # fmt: skip
def test_why_nothing_is_measured(columns: dict[str, object], reason: str) -> None:
    assert unmeasured(frame(**columns)) == reason


def test_a_column_without_values_is_told_from_a_sweep_without_measurements() -> None:
    one = frame(neuron_count=1.0, width=1)
    reason = valueless(one, "degree_normalized", np.full(4, np.nan))
    assert reason == (
        "no trial that is ok has a value of 'degree_normalized': one neuron has no other to be equal to"
    )
    assert valueless(one, "test_accuracy", np.full(4, np.nan)).endswith("of 'test_accuracy'")
    assert valueless(one, "neuron_count", np.ones(4)) == ""


@pytest.fixture
def sweep(tmp_path: Path) -> str:
    store = Store.open(tmp_path, "sweep")
    columns = {"model": ["net.py:Net"] * 8, "measure_layer": ["hidden.1"] * 8}
    rows = trial_rows(pack_name(1), range(1, 9), **columns)
    store.write_fragment(pack_name(1), rows, measured_rows(pack_name(1), []))
    return store.folder.uri


def test_a_store_is_asked(sweep: str) -> None:
    assert nothing_measured(sweep) == "nothing is measured: the model states no neuron_groups"


def test_report_and_scaling_say_so(sweep: str) -> None:
    trials = load_trials(sweep)
    assert "Nothing is measured" in about_trials(trials, 8)[0].text
    with pytest.raises(AnalysisError, match="states no neuron_groups; there is nothing to fit"):
        fit_scaling(trials)
