"""Planted exponents come back from the collapse; what does not collapse is not said to."""

from contextlib import suppress

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.finite_size import fit_collapse
from phasediag.errors import AnalysisError

SIZES = (8, 16, 32, 64)


def sweep(mean, noise=0.03, seed=0, replicates=10, xs=None, scatter=0.0):
    """Counts with a relative noise, which scatters from cell to cell by so much in its logarithm."""
    rng = np.random.default_rng(seed)
    xs = np.geomspace(1e-3, 1, 14) if xs is None else xs
    axes = [SIZES, xs, range(replicates)]
    frame = pd.MultiIndex.from_product(axes, names=["width", "weight_decay", "replicate"])
    frame = frame.to_frame(index=False).assign(status="ok", converged=True, count_converged=True)
    value = mean(frame["weight_decay"].to_numpy(), frame["width"].to_numpy() / 16)
    chance = rng.normal(0, noise, len(frame))
    own = np.repeat(np.exp(rng.normal(0, scatter, len(frame) // replicates)), replicates)
    factor = np.exp(chance * own - (noise * own) ** 2 / 2)
    return frame.assign(neuron_count=value * factor)


def scaled_count(x, size, a=0.8, b=0.6):
    return 10 * size**a / (1 + (x * size**b / 0.03) ** 1.2)


def test_the_exponents_of_a_scaled_count_are_recovered():
    collapse = fit_collapse(sweep(scaled_count), resamples=50)
    assert collapse.parameters.loc["y_exponent", "value"] == pytest.approx(0.8, abs=0.03)
    assert collapse.parameters.loc["x_exponent", "value"] == pytest.approx(0.6, abs=0.04)
    assert collapse.collapses
    assert collapse.unscaled_quality > 10 * collapse.quality
    assert "the curves collapse" in collapse.summary()


def test_the_scaled_points_lie_on_one_curve():
    """Scaled by the sizes in units of their geometric mean, all lie on the curve of that size."""
    points = fit_collapse(sweep(scaled_count, noise=0.005), resamples=5).points
    middle = np.exp(np.log(SIZES).mean()) / 16
    np.testing.assert_allclose(points["scaled_y"], scaled_count(points["scaled_x"], middle), rtol=0.06)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scatter", [0.0, 0.7], ids=["noise alike", "noise of each cell its own"])
def test_the_intervals_cover_the_exponents(scatter):
    """Of 500 draws with 10 replicates, each 95 % interval covers its exponent in 90 to 99 %."""
    truth = pd.Series({"y_exponent": 0.8, "x_exponent": 0.6})
    hits = []
    for seed in range(500):
        trials = sweep(scaled_count, 0.1, seed, scatter=scatter)
        parameters = fit_collapse(
            trials, resamples=100, seed=seed, room=1
        ).parameters  # no width limits these
        hits.append((parameters["low"] <= truth) & (parameters["high"] >= truth))
    share = pd.DataFrame(hits).mean()
    assert share.between(0.90, 0.99).all(), share.to_string()


def test_a_count_independent_of_the_width_has_no_exponents():
    collapse = fit_collapse(sweep(lambda x, _: 10 / (1 + (x / 0.03) ** 1.2)), resamples=30)
    assert (collapse.parameters["low"] <= 0).all()
    assert (collapse.parameters["high"] >= 0).all()
    assert collapse.parameters["value"].abs().max() < 0.03


def test_curves_of_different_shape_do_not_collapse():
    collapse = fit_collapse(sweep(lambda x, s: 10 * x ** (-0.2 * s)), resamples=5)
    assert not collapse.collapses
    assert "do not collapse" in collapse.summary()


def test_a_critical_point_and_its_exponents_are_recovered():
    """m = L^-a F((x - 1) L^b) with a sigmoid F."""
    xs = np.linspace(0.4, 1.7, 27)

    def mean(x, size):
        return size**-0.25 / (1 + np.exp((x - 1.0) * size**0.5 / 0.1))

    frame = sweep(mean, noise=0.02, xs=xs).rename(columns={"neuron_count": "order"})
    collapse = fit_collapse(frame, y="order", form="critical", resamples=50)
    values = collapse.parameters["value"]
    assert values["critical"] == pytest.approx(1.0, abs=0.01)
    assert values["x_exponent"] == pytest.approx(0.5, abs=0.06)
    assert values["y_exponent"] == pytest.approx(-0.25, abs=0.03)


def order_parameter(mean, noise=0.01, seed=0, xs=None):
    """Of `mean(x, L)` with additive noise, 10 replicates."""
    frame = sweep(mean, 0.0, xs=np.linspace(0.2, 0.8, 13) if xs is None else xs)
    order = frame["neuron_count"] + np.random.default_rng(seed).normal(0, noise, len(frame))
    return frame.assign(order=order)


def shifting(x, size):
    """Curves that shift with log L: there is no critical point."""
    return 1 / (1 + np.exp((x - 0.5 - 0.06 * np.log(size)) / 0.08))


def test_curves_that_only_shift_have_no_critical_point():
    """It lies outside the data (as at -1.13 with x from 0.2 to 0.8, "the curves collapse"): refused."""
    frame = order_parameter(shifting)
    with pytest.raises(AnalysisError, match=r"no critical point in the data.*only shift.*no worse"):
        fit_collapse(frame, y="order", form="critical", resamples=5)
    collapse = fit_collapse(frame, y="order", form="shift", resamples=100)
    row = collapse.parameters.loc["x_shift"]
    assert row["low"] <= -0.06 <= row["high"]
    assert collapse.collapses
    assert collapse.excludes_shift is None


def test_a_critical_point_beyond_the_scan_is_refused():
    frame = order_parameter(lambda x, size: 1 / (1 + np.exp((x - 1.2) * size / 0.5)), noise=0.002)
    with pytest.raises(AnalysisError, match=r"outside the measured 0\.2 to 0\.8.*Scan farther"):
        fit_collapse(frame, y="order", form="critical", resamples=5)


def test_a_critical_point_is_claimed_only_where_a_shift_is_excluded():
    """A steepness that hardly grows with the size is nothing that data with this noise could show."""
    strong = order_parameter(lambda x, size: 1 / (1 + np.exp((x - 0.5) * size / 0.1)))
    collapse = fit_collapse(strong, y="order", form="critical", resamples=5)
    assert collapse.excludes_shift
    assert "curves that only shift with log width are excluded" in collapse.summary()
    excluded = 0
    for seed in range(4):
        weak = order_parameter(lambda x, size: 1 / (1 + np.exp((x - 0.5) * size**0.1 / 0.1)), 0.15, seed)
        with suppress(AnalysisError):  # one that lies outside the data is refused
            collapse = fit_collapse(weak, y="order", form="critical", resamples=5)
            assert not collapse.excludes_shift
            assert "no critical point is shown" in collapse.summary()
            excluded += 1
    assert excluded


def corrected(x, size, analytic=0.0):
    """m = L^(1/4) (F(z) + 0.2 / L): without corrections the exponents are off by many errors."""
    z = (x - 0.5) * (1 + analytic * (x - 0.5)) * size
    return size**0.25 * (1 / (1 + np.exp(-z / 0.6)) + 0.2 / size)


@pytest.mark.parametrize("analytic", [0.0, 0.4])
def test_corrections_to_scaling_are_noticed_and_taken_off(analytic):
    frame = order_parameter(lambda x, size: corrected(x, size, analytic), noise=0.003)
    bare = fit_collapse(frame, y="order", form="critical", resamples=50)
    assert not bare.parameters.loc["y_exponent", "stable"]
    assert bare.parameters.loc["y_exponent", "moves"] > 0.02
    assert "y_exponent is not stable: it moves by" in bare.summary()
    assert any("y_exponent" in warning for warning in bare.warnings)
    collapse = fit_collapse(frame, y="order", form="critical", omega=1.0, resamples=50)
    truth = pd.Series({"y_exponent": 0.25, "x_exponent": 1.0, "critical": 0.5})
    off = (bare.parameters["value"] - truth).abs() > bare.parameters["high"] - bare.parameters["value"]
    assert off["y_exponent"]
    half = (collapse.parameters["high"] - collapse.parameters["low"]) / 2
    errors = (collapse.parameters["value"] - truth) / (half / 1.96)
    assert (errors.abs() < 3).all(), errors.to_string()
    assert half["y_exponent"] < 0.2
    assert collapse.quality < bare.quality
    assert "corrections of omega 1" in collapse.summary()


def test_exponents_without_corrections_are_stable():
    """Each choice that could have been another one is named, with what it gives."""
    collapse = fit_collapse(sweep(scaled_count), resamples=50)
    assert set(collapse.scan["choice"]) == {
        "without width 8", "without the lowest 25% of x", "without the highest 25% of x",
        "corrections of omega 1",
    }  # fmt: skip
    assert collapse.parameters["stable"].all()
    assert collapse.warnings == ()
    assert "x_exponent is stable: it moves most" in collapse.summary()
    assert (collapse.parameters["moves"] < 0.2).all()


def test_too_few_sizes_for_another_choice_are_told():
    frame = sweep(scaled_count, xs=np.geomspace(1e-2, 0.1, 4))
    collapse = fit_collapse(frame[frame["width"] > 16], resamples=5)
    assert not len(collapse.scan)
    assert collapse.parameters["stable"].isna().all()
    assert "whether it is stable is not known" in collapse.summary()
    with pytest.raises(AnalysisError, match="need 3 values of 'width'"):
        fit_collapse(frame[frame["width"] > 16], omega=1.0)


def test_two_replicates_give_no_interval():
    parameters = fit_collapse(sweep(scaled_count, replicates=2), resamples=5).parameters
    assert parameters[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f[f["width"] == 8], {}, "at least 2 values of 'width'"),
        (lambda f: f.assign(converged=False, count_converged=False), {}, "train longer"),
        (lambda f: f[(f["width"] > 8) | (f["weight_decay"] > 0.3)], {}, "width=8 has"),
        (lambda f: f, {"form": "exponential"}, "power, critical or shift"),
        (
            lambda f: f.assign(weight_decay=f["weight_decay"] * 1e9 ** f["width"].rank(method="dense")),
            {},
            "nothing can be said of a collapse",
        ),
        (lambda f: f, {"omega": -1.0}, "it is positive, or None"),
        (lambda f: f, {"size": "widht"}, "did you mean 'width'"),
    ],
)
def test_refusals_say_what_to_do(change, options, message):
    with pytest.raises(AnalysisError, match=message):
        fit_collapse(change(sweep(scaled_count)), **options)
