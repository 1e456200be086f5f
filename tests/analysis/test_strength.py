"""A planted combined strength is recovered; another dependence is not taken for it."""

import json

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.scaling import fit_scaling
from phasediag.analysis.strength import fit_strength
from phasediag.errors import AnalysisError


def sweep(mean, seed=0, replicates=10, noises=(0.0, 1.0)):
    rng = np.random.default_rng(seed)
    axes = [np.geomspace(1e-3, 0.3, 6), np.geomspace(3e-4, 1e-2, 5), noises, range(replicates)]
    names = ["weight_decay", "lr_over_batch", "label_noise", "replicate"]
    frame = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    frame = frame.assign(status="ok", converged=True)
    factor = np.exp(rng.normal(0, 0.1, replicates))[frame["replicate"]]
    expected = mean(frame["weight_decay"] / 2, frame["lr_over_batch"], frame["label_noise"])
    return frame.assign(neuron_count=rng.poisson(expected * factor))


def planted(gamma, rate, sigma):
    return 3 * (gamma + rate * (2.0 + 6.0 * sigma**2)) ** -0.5


def test_the_planted_strength_is_recovered():
    found = fit_strength(sweep(planted), resamples=40)
    truth = pd.Series({"exponent": -0.5, "variance": 2.0, "noise": 6.0})
    assert (found.parameters["low"] <= truth).all()
    assert (found.parameters["high"] >= truth).all()
    np.testing.assert_allclose(found.parameters["value"], truth, rtol=0.35)
    assert found.models[0]["name"] == "combined strength"
    assert found.claim.verdict == "supported"
    assert json.loads(json.dumps(found.as_dict()))["claim"]["verdict"] == "supported"


def test_the_fitted_strength_is_an_axis_of_a_scaling():
    frame = sweep(planted)
    found = fit_strength(frame, resamples=3)
    fit = fit_scaling(frame, x=found.formula, window=(0, 1), resamples=50)
    assert fit.models[0]["name"] == "power law"
    assert fit.exponent == pytest.approx(found.parameters.loc["exponent", "value"], abs=0.02)


@pytest.mark.parametrize(
    "mean",
    [
        lambda g, t, s: 3 * (g + 0.01) ** -0.5 + 0 * t,
        lambda g, t, s: 0.3 * g**-0.4 * (t * (2 + 6 * s**2)) ** -0.4,
    ],
    ids=["decay with an offset", "both apart"],
)
def test_another_dependence_is_not_supported(mean):
    assert fit_strength(sweep(mean), resamples=3).claim.verdict != "supported"


def test_without_label_noise_its_coefficient_is_zero():
    frame = sweep(planted, noises=(0.0,)).drop(columns="label_noise")
    found = fit_strength(frame, resamples=10)
    assert found.parameters.loc["noise", "value"] == 0
    assert "label_noise" not in found.formula


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[(f["lr_over_batch"] < 4e-4) & (f["label_noise"] == 0)], "one that varies"),
        (lambda f: f[f["weight_decay"] > 0.2][lambda g: g["lr_over_batch"] > 5e-3], "needs 6"),
        (lambda f: f.drop(columns="lr_over_batch"), "no column 'lr_over_batch'"),
        (lambda f: f.assign(neuron_count=-1), "negative"),
    ],
)  # fmt: skip
def test_refusals_say_what_to_do(change, message):
    with pytest.raises(AnalysisError, match=message):
        fit_strength(change(sweep(planted, replicates=3)))
