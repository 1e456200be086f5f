"""Other ways to tell phases apart, one-dimensional diagrams, and what the spread of a cell says."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from phasediag.analysis.mixture import Mixture
from phasediag.analysis.phases import phase_diagram
from phasediag.errors import AnalysisError
from properties import examples

X, Y = "weight_decay", "lr_over_batch"
RATES = np.array([3e-4, 3e-3])


def truth(rates):
    return 0.1 * (rates / 1e-3) ** -0.5


def grid(points=21, replicates=10, ys=RATES):
    axes = [np.geomspace(9e-3, 1.3, points), ys, range(replicates)]
    frame = pd.MultiIndex.from_product(axes, names=[X, Y, "replicate"]).to_frame(index=False)
    return frame.assign(status="ok", converged=True)


def away(frame, rng, shift=0.2, noise=0.1):
    """Signed distance from the planted boundary in log x, shifted by one number a replicate."""
    shifts = rng.normal(0, shift, int(frame["replicate"].max()) + 1)
    return np.log(frame[X] / truth(frame[Y])) + shifts[frame["replicate"]] + rng.normal(0, noise, len(frame))


def two_states(seed):
    """Trials on either side of a switch, with unequal spreads about 0.2 and 0.9."""
    rng, frame = np.random.default_rng(seed), grid()
    upper = away(frame, rng, noise=0.4) > 0
    value = np.where(upper, rng.normal(0.9, 0.02, len(frame)), rng.normal(0.2, 0.06, len(frame)))
    return frame.assign(degree_normalized=value)


def sigmoid(seed):
    rng, frame = np.random.default_rng(seed), grid()
    return frame.assign(
        degree_normalized=1 / (1 + np.exp(-3 * away(frame, rng))) * 0.7 + 0.2 * (frame[Y] > 1e-3)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "plant"), [("mixture", two_states), ("slope", sigmoid), ("level", two_states)]
)
def test_the_interval_covers_the_planted_boundary(method, plant):
    hits, errors = [], []
    for seed in range(500):
        boundary = phase_diagram(
            plant(seed), X, Y, level=0.55, method=method, resamples=400, seed=seed
        ).boundary
        hits.append(boundary["low"].le(truth(boundary[Y])) & boundary["high"].ge(truth(boundary[Y])))
        errors.append(np.log(boundary["position"] / truth(boundary[Y])))
    assert 0.90 <= np.mean(hits) <= 0.99
    assert abs(np.mean(errors)) < 0.03


def test_the_level_of_a_mixture_is_equally_likely_in_both():
    diagram = phase_diagram(two_states(0), X, Y, method="mixture", resamples=10)
    shares = diagram.cells.set_index([X, Y])["upper_share"]
    upper = shares.mean()

    def excess(value):
        both = (1 - upper) * stats.norm.pdf(value, 0.2, 0.06), upper * stats.norm.pdf(value, 0.9, 0.02)
        return np.log(both[1] / both[0])

    assert diagram.level == pytest.approx(brentq(excess, 0.4, 0.89), abs=0.03)
    same = (shares >= 0.5) == (diagram.cells.set_index([X, Y])["phase"] == "symmetric")
    assert same.all()


@settings(max_examples=examples(25))
@given(shift=st.floats(-100, 100), scale=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
def test_a_mixture_follows_units_and_its_probability_never_falls(shift, scale, seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0, 0.1, 60), rng.normal(1, 0.3, 90)])
    one, other = Mixture.of(values), Mixture.of(shift + scale * values)
    np.testing.assert_allclose((np.array(other.mean) - shift) / scale, one.mean, atol=1e-3)
    probability = one.upper(np.linspace(-3, 4, 200))
    assert (np.diff(probability) >= 0).all()
    assert one.upper(np.array([one.level]))[0] == pytest.approx(0.5, abs=1e-6)


def test_a_mixture_is_the_best_of_its_optima():
    """From the ends of the range alone the fit ended in one that a single component beats."""
    rng = np.random.default_rng(86)
    mixture = Mixture.of(np.concatenate([rng.normal(0, 0.1, 60), rng.normal(1, 0.3, 90)]))
    np.testing.assert_allclose(mixture.mean, [0, 1], atol=0.1)
    assert mixture.bic_gain > 10


def test_one_component_is_no_mixture():
    rng = np.random.default_rng(0)
    frame = grid().assign(degree_normalized=rng.normal(0.5, 0.1, len(grid())))
    with pytest.raises(AnalysisError, match="does not fall into two components"):
        phase_diagram(frame, X, Y, method="mixture")
    with pytest.raises(AnalysisError, match="does not fall"):
        phase_diagram(frame.assign(degree_normalized=0.5), X, Y, method="mixture")


def test_the_steepest_place_needs_no_level():
    """A background that differs by row moves a level, not the steepest place."""
    frame = grid(points=41, replicates=4)
    raw = 1 / (1 + np.exp(-4 * np.log(frame[X] / truth(frame[Y]))))
    frame["degree_normalized"] = 0.3 * raw + 0.6 * (frame[Y] > 1e-3)
    diagram = phase_diagram(frame, X, Y, method="slope")
    np.testing.assert_allclose(diagram.boundary["position"], truth(RATES), rtol=0.01)
    side = np.where(diagram.cells[X] < truth(diagram.cells[Y]), "broken", "symmetric")
    assert (diagram.cells["phase"] == side).all()


def test_a_flat_row_has_no_steepest_place():
    frame = grid().assign(degree_normalized=lambda f: np.where(f[Y] > 1e-3, 0.3, f[X].clip(0.05, 0.2)))
    boundary = phase_diagram(frame, X, Y, method="slope").boundary
    assert boundary["position"].isna().tolist() == [False, True]
    assert boundary["converged"].isna().tolist() == [False, True]


def test_without_y_a_diagram_is_a_row_of_the_diagram():
    frame = sigmoid(0)
    one = phase_diagram(frame[frame[Y] == RATES[0]], X, resamples=100)
    both = phase_diagram(frame, X, Y, resamples=100)
    assert one.y == ""
    columns = [
        "position", "low", "high", "crossings", "replicates", "converged", "branch", "direction", "censored",
        "support", "plateau",
    ]  # fmt: skip
    assert list(one.boundary.columns) == columns
    pd.testing.assert_frame_equal(one.boundary, both.boundary.loc[[0], columns])
    faceted = phase_diagram(frame, X, resamples=100)
    assert faceted.facets == (Y,)
    pd.testing.assert_frame_equal(faceted.boundary, both.boundary)


def test_an_expression_is_an_order_parameter():
    frame = sigmoid(1).assign(width=8, neuron_count=lambda f: f["degree_normalized"] * 8)
    diagram = phase_diagram(frame, X, Y, order="neuron_count / width", resamples=50)
    pd.testing.assert_frame_equal(diagram.boundary, phase_diagram(frame, X, Y, resamples=50).boundary)
    above = phase_diagram(frame, X, Y, order="degree_normalized >= 0.5", resamples=50)
    share = frame.groupby([Y, X])["degree_normalized"].apply(lambda v: (v >= 0.5).mean())
    np.testing.assert_allclose(above.cells["mean"], share)


def test_a_null_in_an_expression_is_no_value():
    frame = sigmoid(1).assign(rank=pd.array([2, None] * 210, dtype="Int64"))
    diagram = phase_diagram(frame, X, Y, order="rank >= 2", level=0.5)
    assert diagram.cells["mean"].eq(1).all()
    assert diagram.cells["replicates"].eq(5).all()


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("neuron_counts / 2", "'neuron_counts' is not a column of the trials"),
        ("degree_normalized +", "cannot be read"),
        ("status", "not numeric"),
        ("degree_normalized + status", "is text where a number is needed"),
        ("__import__('os')", "not allowed"),
        ("degree_normalised", "did you mean 'degree_normalized'"),
    ],
)
def test_expressions_that_are_refused(order, message):
    with pytest.raises(AnalysisError, match=message.replace("(", r"\(")):
        phase_diagram(sigmoid(0), X, Y, order=order)


def test_divergence_has_a_boundary_of_its_own():
    frame = sigmoid(2)
    frame["status"] = frame["status"].mask(frame[X] > 0.5, "diverged")
    frame.loc[frame["status"] == "diverged", "degree_normalized"] = np.nan
    diagram = phase_diagram(frame, X, Y, order="diverged")
    edge = np.sort(frame[X].unique())
    inside = edge[edge < 0.5].max(), edge[edge > 0.5].min()
    assert diagram.boundary["low"].to_numpy() == pytest.approx([inside[0]] * 2)
    assert diagram.boundary["high"].to_numpy() == pytest.approx([inside[1]] * 2)
    assert set(diagram.cells["phase"]) == {"stable", "diverged"}


def test_unconverged_is_a_phase_and_marks_the_boundary():
    frame = sigmoid(3)
    near = np.abs(np.log(frame[X] / truth(frame[Y]))) < 0.4
    frame["converged"] = ~(near & (frame[Y] < 1e-3))
    diagram = phase_diagram(frame, X, Y, resamples=50)
    assert diagram.boundary["converged"].tolist() == [False, True]
    unconverged = diagram.cells["phase"] == "unconverged"
    assert unconverged.any()
    assert (diagram.cells.loc[unconverged, "unconverged_share"] > 0.5).all()
    assert set(diagram.cells["phase"]) == {"broken", "symmetric", "unconverged"}
    rate = phase_diagram(frame.assign(log_rate=0.5 - frame["degree_normalized"]), X, Y, "log_rate", 0.0)
    assert set(rate.cells["phase"]) == {"growing", "collapsing"}


@pytest.mark.parametrize("law", ["normal", "uniform", "bimodal"])
def test_the_interval_of_a_susceptibility_covers_it(law):
    rng = np.random.default_rng(5)
    frame = grid(points=500, replicates=12, ys=[1.0, 2.0])
    size = len(frame)
    values = {
        "normal": rng.normal(0, 2, size), "uniform": rng.uniform(-np.sqrt(12), np.sqrt(12), size),
        "bimodal": rng.choice([-1.96, 1.96], size) + rng.normal(0, 0.4, size),
    }[law]  # fmt: skip
    true = 4.0 if law != "bimodal" else 1.96**2 + 0.16
    cells = phase_diagram(frame.assign(degree_normalized=values), X, Y, level=0.0, resamples=10).cells
    covered = cells["susceptibility_low"].le(true) & cells["susceptibility_high"].ge(true)
    assert 0.90 <= covered.mean() <= 0.995
    np.testing.assert_allclose(cells["susceptibility"], cells["std"] ** 2)


def test_the_binder_ratio_tells_one_peak_from_two():
    frame = grid(points=3, replicates=4000, ys=[1.0, 2.0])
    rng = np.random.default_rng(0)
    one, two = rng.normal(0, 1, len(frame)), np.where(frame["replicate"] % 2 == 0, -1.0, 1.0)
    cells = phase_diagram(frame.assign(degree_normalized=np.where(frame[Y] == 1, one, two)), X, Y,
                          level=0.5, resamples=3).cells  # fmt: skip
    binder = cells.groupby(Y)["binder"].mean()
    assert binder[1.0] == pytest.approx(0, abs=0.05)
    assert binder[2.0] == pytest.approx(2 / 3, abs=1e-9)


def test_equal_replicates_say_nothing_of_the_spread():
    cells = phase_diagram(grid().assign(degree_normalized=lambda f: f[X]), X, Y).cells
    assert cells["susceptibility"].max() == pytest.approx(0, abs=1e-20)
    assert cells[["susceptibility_low", "binder"]].isna().all(axis=None)


def test_an_unknown_method_is_refused():
    with pytest.raises(AnalysisError, match="one of level, mixture, slope"):
        phase_diagram(sigmoid(0), X, Y, method="steepest")


def test_a_diagram_can_be_told_as_json():
    boundary = phase_diagram(sigmoid(0), X, Y, method="slope", resamples=20).boundary
    assert len(json.loads(boundary.to_json(orient="records"))) == 2


def test_a_line_shows_its_means_and_boundaries():
    frame = sigmoid(0)
    frame["status"] = frame["status"].mask(frame[X] > 1, "diverged")
    frame["converged"] = frame[X] > 0.02
    diagram = phase_diagram(frame, X, resamples=50)
    ax = diagram.plot()
    edges = [line.get_xdata()[0] for line in ax.lines if line.get_label() == "_boundary"]
    np.testing.assert_array_equal(edges, diagram.boundary["position"])
    drawn = ax.containers[0].lines[0]
    first = diagram.cells[(diagram.cells[Y] == RATES[0]) & (diagram.cells["phase"] != "diverged")]
    np.testing.assert_array_equal(drawn.get_ydata(), first["mean"])
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "weight decay")
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels[len(RATES) :] == ["boundary (0.5)", "its 95 % interval", "unconverged", "diverged"]
