"""A crossing at the end of a plateau at the level is no boundary that replicates tell the error of."""

import numpy as np
import pandas as pd
import pytest

from phasediag import exact
from phasediag.analysis.phases import phase_diagram

SIGNAL, RATE, GAMMA, BATCH, STEPS, REPLICATES = 0.7, 0.2, 0.05, 2, 1000, 100
TRUE = exact.noise_threshold(SIGNAL, RATE, GAMMA, batch=BATCH)


def chains(start, values, seed=0):
    """`log_rate` of E5's chains: they grow exponentially from their start until they settle at about 1."""
    rng = np.random.default_rng(seed)
    growth = np.array([
        exact.growth_exponent(SIGNAL, RATE, GAMMA, float(noise), BATCH, "rademacher") for noise in values
    ])  # fmt: skip
    half, end = (np.minimum(np.log(start) + growth * steps, 0.0) for steps in (STEPS / 2, STEPS))
    means = (end - half) / (STEPS / 2)
    index = pd.MultiIndex.from_product([values, range(REPLICATES)], names=["label_noise", "replicate"])
    frame = index.to_frame(index=False).assign(status="ok")
    return frame.assign(log_rate=np.repeat(means, REPLICATES) + rng.normal(0, 0.03, len(frame)))


@pytest.fixture(scope="module")
def values():
    return np.arange(1.0, 4.01, 0.25)


def test_chains_that_have_settled_give_no_interval(values):
    """E5 at rate 0.2: 2.304 [2.271, 2.343] was stated where the exact value is 2.447."""
    diagram = phase_diagram(chains(1e-12, values), "label_noise", None, "log_rate", 0.0)
    row = diagram.boundary.loc[(diagram.boundary["position"] - TRUE).abs().idxmin()]
    assert abs(row["position"] / TRUE - 1) > 0.02
    assert row["plateau"]
    assert np.isnan(row["low"])
    assert np.isnan(row["high"])
    assert any("start them smaller (init_scale)" in warning for warning in diagram.warnings)


def test_chains_that_have_not_settled_give_the_exact_value(values):
    diagram = phase_diagram(chains(1e-100, values), "label_noise", None, "log_rate", 0.0)
    row = diagram.boundary.iloc[0]
    assert row["position"] == pytest.approx(TRUE, rel=0.02)
    assert row["low"] <= row["position"] <= row["high"]
    assert not row["plateau"]
    assert not any("init_scale" in warning for warning in diagram.warnings)


@pytest.mark.parametrize("seed", range(10))
def test_a_fine_grid_is_no_plateau(seed):
    """Twenty cells within the error of the crossing: the curve is clear of the level farther away."""
    fine = np.linspace(2.2, 2.7, 101)
    diagram = phase_diagram(chains(1e-100, fine, seed), "label_noise", None, "log_rate", 0.0)
    assert not diagram.boundary["plateau"].any()
