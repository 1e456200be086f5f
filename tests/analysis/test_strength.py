"""A planted combined strength is recovered; another dependence is not taken for it."""

import json

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.scaling import fit_scaling
from phasediag.analysis.strength import fit_strength
from phasediag.errors import AnalysisError


def sweep(mean, seed=0, replicates=10, noises=(0.0, 1.0), decays=6):
    rng = np.random.default_rng(seed)
    axes = [np.geomspace(1e-3, 0.3, decays), np.geomspace(3e-4, 1e-2, 5), noises, range(replicates)]
    names = ["weight_decay", "lr_over_batch", "label_noise", "replicate"]
    frame = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    frame = frame.assign(status="ok", converged=True)
    factor = np.exp(rng.normal(0, 0.1, replicates))[frame["replicate"]]
    expected = mean(frame["weight_decay"] / 2, frame["lr_over_batch"], frame["label_noise"])
    return frame.assign(neuron_count=rng.poisson(expected * factor))


def planted(gamma, rate, sigma):
    return 3 * (gamma + rate * (2.0 + 6.0 * sigma**2)) ** -0.5


def ranks(replicates=8):
    """Trials of a linear network that keeps a mode while gamma + 4 T is below its singular value."""
    rng = np.random.default_rng(0)
    axes = [np.geomspace(0.45, 2.7, 22), np.geomspace(1e-2, 6e-2, 5), range(replicates)]
    names = ["weight_decay", "lr_over_batch", "replicate"]
    frame = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    modes = np.array([1, 1 / 2, 1 / 3, 1 / 4]) * np.exp(rng.normal(0, 0.02, (replicates, 4)))
    strength = frame["weight_decay"] / 2 + 4 * frame["lr_over_batch"]
    kept = strength.to_numpy()[:, None] < modes[frame["replicate"]]
    return frame.assign(status="ok", converged=True, neuron_count=kept.sum(axis=1))


def test_the_planted_strength_is_recovered():
    fit = fit_strength(sweep(planted), resamples=20)
    truth = pd.Series({"variance": 2.0, "noise": 6.0})
    assert (fit.parameters["low"] <= truth).all()
    assert (fit.parameters["high"] >= truth).all()
    np.testing.assert_allclose(fit.parameters["value"], truth, rtol=0.4)
    assert fit.models[0]["name"] == "one strength"
    assert fit.claim.verdict == "supported"
    assert json.loads(json.dumps(fit.as_dict()))["claim"]["verdict"] == "supported"
    assert "AIC" not in fit.summary()


def test_no_law_of_the_counts_is_assumed():
    """Steps from rank 4 to 0: the power that was fitted before gave 3.2 [3.0, 3.4], and "not supported"."""
    fit = fit_strength(ranks(), resamples=20)
    assert fit.claim.verdict == "supported"
    assert fit.parameters.loc["variance", "low"] <= 4 <= fit.parameters.loc["variance", "high"]
    assert fit.parameters.loc["variance", "value"] == pytest.approx(4, rel=0.05)


def test_the_fitted_strength_is_an_axis_of_a_scaling():
    frame = sweep(planted, noises=(0.0,))
    strength = fit_strength(frame, resamples=3)
    fit = fit_scaling(frame, x=strength.formula, window=(0, 1), resamples=50)
    assert fit.models[0]["name"] == "power law"
    assert fit.exponent == pytest.approx(-0.5, abs=0.05)


@pytest.mark.parametrize(
    "mean",
    [
        lambda g, t, s: 0.3 * g**-0.4 * (t * 2) ** -0.4 + 0 * s,
        lambda g, t, s: 3 * g**-0.3 * (t * 1e3) ** 0.3 + 0 * s,
        lambda g, t, s: 3 * (2 * t) ** -0.5 + 0 * g + 0 * s,
    ],
    ids=["a factor of each", "noise against decay", "noise alone"],
)
def test_a_wrong_exchange_is_not_supported(mean):
    assert fit_strength(sweep(mean, noises=(0.0,)), resamples=3).claim.verdict == "not supported"


@pytest.mark.parametrize(
    "mean",
    [
        lambda g, t, s: 3 * (g + 100 * t**2 * 2) ** -0.5 + 0 * s,
        lambda g, t, s: 3 * (g + 0.01) ** -0.5 + 0 * t + 0 * s,
    ],
    ids=["the square of T", "no noise"],
)
def test_neither_another_power_of_noise_nor_none_is_taken_for_the_exchange(mean):
    frame = sweep(mean, noises=(0.0,), decays=14)
    assert fit_strength(frame, resamples=3).claim.verdict != "supported"


NEAREST = {
    "the square of T": lambda g, t, s: 3 * (g + 200 * t**2) ** -0.5 + 0 * s,
    "the root of T": lambda g, t, s: 3 * (g + 0.1 * t**0.5) ** -0.5 + 0 * s,
}


def verdicts(mean, seeds, decays=6):
    """Of sweeps with 8 replicates and without label noise."""
    sweeps = (sweep(mean, seed, 8, noises=(0.0,), decays=decays) for seed in seeds)
    return [fit_strength(each, resamples=2).claim for each in sweeps]


@pytest.mark.parametrize("mean", NEAREST.values(), ids=NEAREST)
def test_six_decays_do_not_support_the_nearest_strengths_that_are_none(mean):
    """Of 20 sweeps of the square, 4 were "supported" before the power of noise was asked for."""
    assert "supported" not in {claim.verdict for claim in verdicts(mean, (2001, 2002))}


@pytest.mark.slow
@pytest.mark.parametrize("mean", NEAREST.values(), ids=NEAREST)
def test_six_decays_support_them_in_no_draw_of_forty(mean):
    """Seeds 3000 to 3039."""
    assert "supported" not in {claim.verdict for claim in verdicts(mean, range(3000, 3040))}


def test_two_values_of_noise_tell_nothing_of_its_power():
    """Any power of it moves the one level against the other as any other does."""
    frame = sweep(planted, 0, noises=(0.0,), decays=14)
    two = frame[frame["lr_over_batch"].isin(sorted(frame["lr_over_batch"].unique())[::4])]
    claim = fit_strength(two, resamples=2).claim
    assert claim.verdict != "supported"


def test_without_label_noise_its_coefficient_is_zero():
    frame = sweep(planted, noises=(0.0,)).drop(columns="label_noise")
    fit = fit_strength(frame, resamples=10)
    assert fit.parameters.loc["noise", "value"] == 0
    assert "label_noise" not in fit.formula


def test_other_axes_and_a_pinned_teacher_are_told():
    frame = sweep(planted, noises=(0.0,), replicates=4)
    frame = pd.concat([frame.assign(init_scale=scale, point_id=f"p{scale}") for scale in (1, 2)])
    frame["point_id"] = frame["point_id"] + frame.groupby(["weight_decay", "lr_over_batch"]).ngroup().astype(
        str
    )
    fit = fit_strength(frame.assign(data_seed=3), resamples=10)
    assert "Pooled over init_scale" in fit.summary()
    assert "conditional on one teacher" in fit.summary()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[(f["lr_over_batch"] < 4e-4) & (f["label_noise"] == 0)], "one that varies"),
        (lambda f: f[f["weight_decay"] > 0.2][lambda g: g["lr_over_batch"] > 5e-3], "needs 6"),
        (lambda f: f[f["weight_decay"] > 0.2], "takes several"),
        (lambda f: f.drop(columns="lr_over_batch"), "no column 'lr_over_batch'"),
        (lambda f: f.assign(neuron_count=-1), "negative"),
    ],
)  # fmt: skip
def test_refusals_say_what_to_do(change, message):
    with pytest.raises(AnalysisError, match=message):
        fit_strength(change(sweep(planted, replicates=3)))
