"""Counts of neurons of linear layers and heads: that they depend on a basis is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import phasediag


def trials(activation: str, layer: str) -> pd.DataFrame:
    rows = [
        {
            "weight_decay": x, "width": 64, "replicate": r, "activation": activation, "measure_layer": layer,
            "status": "ok", "converged": True, "neuron_count": round(8 / x + r % 2),
            "degree_normalized": float(x > 0.15), "rank": round(1 / x),
        }
        for x in np.geomspace(0.05, 0.8, 5) for r in range(8)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("activation", "layer", "what"),
    [("linear", "hidden.1", "a linear layer"), ("relu", "head.1.2", "a head"), ("tanh", "hidden.1", "")],
)
def test_a_count_of_a_linear_layer_says_what_it_rests_on(activation: str, layer: str, what: str) -> None:
    frame = trials(activation, layer)
    diagram = phasediag.phase_diagram(frame, x="weight_decay")
    fit = phasediag.fit_scaling(frame, x="weight_decay", window=(0.01, 1))
    for result, column in ((diagram, "degree_normalized"), (fit, "neuron_count")):
        said = [text for text in result.warnings if "depends on the basis" in text]
        assert len(said) == bool(what)
        assert all(text.startswith(f"{column} of {what} ") for text in said)
    other = phasediag.phase_diagram(frame, x="weight_decay", order="rank", level=5)
    assert not any("basis" in text for text in other.warnings)
