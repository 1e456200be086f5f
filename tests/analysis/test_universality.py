"""Networks whose layers are planted alike, or not, are told apart by their least alike layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.alignment import alignment
from phasediag.analysis.universality import universality
from phasediag.errors import AnalysisError

PROBES = 20


def planted(strange: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Networks on two data sets: all layers are one set of features, turned, but for hidden.2 of one."""
    rng = np.random.default_rng(0)
    features, inputs = rng.normal(size=(PROBES, 6)), rng.normal(size=(PROBES, 30))
    upper = np.triu_indices(PROBES)
    rows, trials = [], []
    for seed in range(4):
        for transform in ("none", "gaussian"):
            trial = f"{transform}{seed}"
            trials.append({"trial_id": trial, "seed": seed, "replicate": seed, "transform": transform})
            for layer in (1, 2, 3):
                turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
                other = strange * rng.normal(size=(PROBES, 6)) * (layer == 2) * (transform == "gaussian")
                h = features @ turn + other
                rows.append((trial, f"hidden.{layer}", "gram", (h @ h.T)[upper]))
            rows.append((trial, "hidden.1", "input_gram", (inputs @ inputs.T)[upper]))
    frame = pd.DataFrame(rows, columns=["trial_id", "layer", "observable", "distances"]).assign(step=1)
    return frame, pd.DataFrame(trials).assign(status="ok", data_seed=0, task="planted", point_id="p")


def test_turned_copies_are_aligned_and_inputs_are_not() -> None:
    (row,) = universality(alignment(*planted(0.0), by="transform")).groups.to_dict("records")
    assert row["verdict"] == "aligned"
    assert row["least"] == pytest.approx(1)
    assert row["inputs_high"] < 0.9


def test_one_strange_layer_is_told() -> None:
    result = universality(alignment(*planted(2.0), by="transform"))
    (row,) = result.groups.to_dict("records")
    assert row["verdict"] == "not aligned"
    assert "hidden.2" in row["layers"]
    assert row["median"] > 0.9
    assert "not aligned" in result.findings[0]


def test_networks_that_were_not_compared_are_refused() -> None:
    measured, trials = planted(0.0)
    with pytest.raises(AnalysisError, match="no two networks"):
        universality(alignment(measured, trials[trials["transform"] == "none"], by="transform"))
