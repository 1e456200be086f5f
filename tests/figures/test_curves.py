"""Curves show what the tables behind them say: inspected by their artists."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from phasediag.analysis.finite_size import SizeCollapse
from phasediag.analysis.history import breaking_steps, trial_history
from phasediag.analysis.phases import phase_diagram
from phasediag.analysis.scaling import fit_scaling
from phasediag.analysis.slices import slices
from phasediag.analysis.spectra import spectra
from phasediag.errors import AnalysisError
from phasediag.figures.style import save, svg


def legend_texts(ax):
    own = [ax.get_legend()] if ax.get_legend() else []
    return {text.get_text() for legend in (*ax.figure.legends, *own) for text in legend.get_texts()}


def test_scaling_shows_means_law_and_zeros():
    xs = np.geomspace(1e-3, 1, 10)
    index = pd.MultiIndex.from_product([xs, range(4)], names=["weight_decay", "replicate"])
    frame = index.to_frame(index=False).assign(status="ok", converged=True)
    frame["neuron_count"] = np.round((0.5 + frame["replicate"] / 10) * frame["weight_decay"] ** -0.6 * 3)
    frame.loc[frame["weight_decay"] > 0.4, "neuron_count"] = 0
    fit = fit_scaling(frame)
    ax = fit.plot()
    assert isinstance(ax, Axes)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    texts = legend_texts(ax)
    assert {"mean 0", "outside the window"} & texts
    assert sum("behind by" in text for text in texts) == len(fit.models) - 1
    (law,) = (line for line in ax.lines if str(line.get_label()).startswith("power law"))
    slope = np.polyfit(np.log(law.get_xdata()), np.log(law.get_ydata()), 1)[0]
    assert slope == pytest.approx(fit.exponent)
    assert f"{abs(fit.exponent):.2f}" in ax.texts[0].get_text()


def replicated(**columns):
    index = pd.MultiIndex.from_product(
        [np.geomspace(0.01, 1, 5), [16, 32], range(5)], names=["weight_decay", "width", "replicate"]
    )
    frame = index.to_frame(index=False)
    noise = np.random.default_rng(0).normal(0, 0.1, len(frame))
    return frame.assign(train_loss=frame["weight_decay"] * frame["width"] + noise + 5, status="ok",
                        converged=frame["weight_decay"] > 0.02, **columns)  # fmt: skip


def test_slices_are_means_with_students_interval():
    frame = replicated()
    table = slices(frame, "weight_decay", "train_loss", by="width").means
    assert len(table) == 10
    for row in table.itertuples():
        same = (frame["weight_decay"] == row.weight_decay) & (frame["width"] == row.width)
        values = frame.loc[same, "train_loss"]
        low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
        assert (row.mean, row.low, row.high) == pytest.approx((values.mean(), low, high))
        assert row.trials == 5
        assert row.unconverged_share == (row.weight_decay < 0.02)


def test_slices_leave_out_what_has_no_value_and_state_no_interval_for_two():
    frame = replicated()
    first = frame["weight_decay"] == frame["weight_decay"].min()
    frame.loc[first & (frame["replicate"] > 1), "status"] = "diverged"
    frame.loc[first & (frame["replicate"] > 1), "train_loss"] = np.inf
    table = slices(frame, "weight_decay", "train_loss", by="width").means
    few = table["weight_decay"] == table["weight_decay"].min()
    assert table.loc[few, "trials"].eq(2).all()
    assert table.loc[few, ["low", "high"]].isna().all(axis=None)
    assert table.loc[~few, ["low", "high"]].notna().all(axis=None)


def test_the_unit_of_a_slice_is_the_replicate():
    """Trials of one replicate, which share its seeds, counted as several where another axis is averaged."""
    frame = replicated()
    frame["train_loss"] = np.random.default_rng(1).normal(size=5)[frame["replicate"]] + frame["width"]
    table = slices(frame, "weight_decay", "train_loss").means
    means = frame[frame["weight_decay"] == 0.01].groupby("replicate")["train_loss"].mean()
    low, high = stats.t.interval(0.95, 4, means.mean(), stats.sem(means))
    assert table.loc[0, ["mean", "low", "high", "trials"]].tolist() == pytest.approx(
        [means.mean(), low, high, 10]
    )


def test_values_that_agree_exactly_tell_nothing_of_the_error():
    """Means of phases without any scatter had intervals of width zero."""
    frame = replicated(degree_normalized=lambda f: (f["weight_decay"] > 0.02) * 1.0)
    table = slices(frame, "weight_decay", by="width").means
    assert set(table["mean"]) == {0.0, 1.0}
    assert table[["low", "high"]].isna().all(axis=None)


def test_intervals_of_shares_end_where_shares_end():
    frame = replicated(degree_normalized=lambda f: (f["replicate"] == 0).astype(float))
    table = slices(frame, "weight_decay", by="width").means
    assert (table["low"] == 0).all()
    assert (table["high"] < 1).all()


def test_slices_draw_one_curve_a_value_told_apart_without_colour():
    ax = slices(replicated(), "weight_decay", "train_loss", by="width", level=6).plot()
    curves = [line for line in ax.lines if line.get_label() in ("16", "32")]
    table = slices(replicated(), "weight_decay", "train_loss", by="width").means
    for curve, (_, part) in zip(curves, table.groupby("width"), strict=True):
        np.testing.assert_allclose(curve.get_data(), [part["weight_decay"], part["mean"]])
    assert len({(c.get_marker(), c.get_linestyle()) for c in curves}) == 2
    assert {"16", "32", "level 6", "unconverged"} == legend_texts(ax)
    hollow = [line for line in ax.lines if line.get_label() == "_unconverged"]
    assert [len(line.get_xdata()) for line in hollow] == [1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"x": "weigt_decay"}, "weight_decay"), ({"x": "width", "by": "trial"}, "at most 6"),
     ({"x": "width", "order": "empty"}, "finite empty")],
)  # fmt: skip
def test_slices_refuse_what_cannot_be_drawn(options, message):
    frame = replicated(empty=np.nan)
    with pytest.raises(AnalysisError, match=message):
        slices(frame.assign(trial=range(len(frame))), **{"order": "train_loss", **options})


def history(degrees, layer="hidden.1"):
    degrees = list(degrees)
    return pd.DataFrame({
        "trial_id": "a", "layer": layer, "observable": "permutation", "step": 10 * np.arange(len(degrees)),
        "degree": degrees, "max_degree": 3, "epsilon": 0.5,
        "distances": [np.where(np.arange(3) < d, 0.1, 1.0) for d in degrees],
    })  # fmt: skip


def test_symmetries_break_and_mend_at_the_recorded_steps():
    rows = pd.concat([history([3, 3, 1, 1, 2]), history([3, 3, 3, 3, 3], "hidden.2")])
    steps = breaking_steps(rows.sample(frac=1, random_state=0))
    assert steps[["layer", "after", "step", "degree_before", "degree", "broken"]].to_numpy().tolist() == [
        ["hidden.1", 10, 20, 3, 1, 2],
        ["hidden.1", 30, 40, 1, 2, -1],
    ]


def marked(ax):
    """Steps of the lines that cross the Axes, by label."""
    return [line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1]]


@pytest.mark.parametrize("with_losses", [True, False])
def test_a_history_marks_both_axes_where_symmetries_change(with_losses):
    losses = pd.DataFrame({"step": [0, 20, 40], "train_loss": [9.0, 3.0, 1.0], "test_loss": [9.5, 4.0, 2.0]})
    course = trial_history(history([3, 3, 1, 1, 2]), losses if with_losses else None)
    top, bottom = course.plot().axes
    assert marked(top) == marked(bottom) == [20, 40]
    degree = next(line for line in bottom.lines if str(line.get_label()).startswith("hidden.1"))
    np.testing.assert_array_equal(degree.get_data(), [[0, 10, 20, 30, 40], [3, 3, 1, 1, 2]])
    assert top.get_yscale() == "log"
    wanted = {"train loss", "test loss"} if with_losses else {"epsilon", "distances of neighbours"}
    texts = {text.get_text() for text in top.get_legend().get_texts()}
    assert texts == {*wanted, "broken", "mended"}


def test_a_history_is_of_one_trial():
    rows = pd.concat([history([3, 1]), history([3, 2]).assign(trial_id="b")])
    with pytest.raises(AnalysisError, match="2 with permutation"):
        trial_history(rows)
    with pytest.raises(AnalysisError, match="no distances"):
        trial_history(history([3, 1]).assign(distances=None)).plot()


def test_spectra_show_every_distance_on_its_side_of_epsilon():
    trials = pd.DataFrame({"trial_id": ["a", "b"], "weight_decay": [0.1, 1.0]})
    rows = pd.concat(
        [history([3, 1]), history([3, 3]).assign(trial_id="b"), history([0]).assign(trial_id="c")]
    )
    ax = spectra(rows, trials, "weight_decay").plot()
    points = {line.get_label(): line.get_data() for line in ax.lines}
    np.testing.assert_allclose(points["at least epsilon"], [[0.1, 0.1], [1, 1]])
    np.testing.assert_allclose(points["below epsilon"], [[0.1, 1, 1, 1], [0.1] * 4])
    np.testing.assert_allclose(points["epsilon (median)"], [[0.1, 1], [0.5, 0.5]])
    with pytest.raises(AnalysisError, match="no distances of rank"):
        spectra(rows, trials, "weight_decay", "rank")


def test_distances_of_zero_stay_on_the_figure():
    rows = history([3]).assign(distances=[np.zeros(3)])
    ax = spectra(rows, pd.DataFrame({"trial_id": ["a"], "weight_decay": [0.1]}), "weight_decay").plot()
    (below,) = (line for line in ax.lines if line.get_label() == "below epsilon")
    assert (below.get_ydata() > 0).all()


def collapse(at, size, **names):
    """Scaled points of several sizes, y ten times x."""
    points = pd.DataFrame({"width": size, "weight_decay": at, "scaled_x": at, "scaled_error": 0.1})
    value = {"y_exponent": -0.25, "x_exponent": 0.5, "critical": 1.0}
    return SizeCollapse(
        **{"x": "weight_decay", "y": "neuron_count", "size": "width", "form": "critical", **names},
        parameters=pd.DataFrame({"value": value, "low": np.nan, "high": np.nan}), quality=1.0,
        unscaled_quality=9.0, points=points.assign(scaled_y=10 * points["scaled_x"]), n=len(at), replicates=1,
        left_out={},
    )  # fmt: skip


@pytest.mark.parametrize(("form", "scale"), [("critical", "linear"), ("power", "log")])
def test_collapsed_sizes_are_drawn_in_order_and_told_apart(form, scale):
    x, size = np.array([2.0, 1, 3, 1, 2]), np.array([8, 8, 8, 16, 16])
    ax = collapse(x, size, form=form).plot()
    lines = [container.lines[0] for container in ax.containers]
    assert [line.get_xdata().tolist() for line in lines] == [[1, 2, 3], [1, 2]]
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 2
    assert legend_texts(ax) == {"width 8", "width 16"}
    assert (ax.get_xscale(), ax.get_yscale()) == (scale, scale)
    assert "L^0.50" in ax.get_xlabel()
    assert "L^0.25" in ax.get_ylabel()


def test_a_line_tells_what_each_mark_means():
    xs = np.geomspace(0.01, 1, 9)
    index = pd.MultiIndex.from_product([xs, range(5)], names=["weight_decay", "replicate"])
    frame = index.to_frame(index=False).assign(status="ok", converged=True)
    frame["degree_normalized"] = (frame["weight_decay"] > 0.05 + 0.03 * frame["replicate"]).astype(float)
    plain = {"mean ± sd", "boundary (0.5)", "its 95 % interval"}
    assert legend_texts(phase_diagram(frame, "weight_decay").plot()) == plain
    frame["converged"] = frame["weight_decay"] > 0.02
    frame.loc[frame["weight_decay"] > 0.9, "status"] = "diverged"
    assert legend_texts(phase_diagram(frame, "weight_decay").plot()) == plain | {"unconverged", "diverged"}


def drawings():
    frame = replicated(degree_normalized=lambda f: f["weight_decay"])
    yield "slices", slices(frame, "weight_decay", by="width").plot()
    yield "history", trial_history(history([3, 1, 2])).plot().axes[0]
    trials = pd.DataFrame({"trial_id": ["a"], "weight_decay": [0.1]})
    yield "spectra", spectra(history([1]), trials, "weight_decay").plot()
    sizes = [1.0, 2.0], [8, 8]
    yield "collapse", collapse(*sizes).plot()
    words = "a rather long name of a scaled quantity of the user's own"
    yield "long names", collapse(*sizes, x=words, y=words).plot()
    named = frame.rename(columns={"width": "activation_function_of_the_users_own_network"})
    name = named.columns[1]
    named[name] = "a_rather_long_name_of_activation_" + named[name].astype(str)
    yield "long legend", slices(named, "weight_decay", by=name).plot()
    steps = [0, 500_000, 1_000_000]
    yield "many steps", trial_history(history([3, 1, 2]).assign(step=steps)).plot().axes[0]
    facets = pd.concat([frame.assign(label_noise=noise) for noise in (0.0, 0.7)])
    yield "long line", phase_diagram(facets, "weight_decay").plot()


@pytest.mark.parametrize(
    "name",
    ["slices", "history", "spectra", "collapse", "long names", "long legend", "many steps", "long line"],
)
def test_nothing_is_cut_or_covered(name):
    figure = dict(drawings())[name].figure
    figure.draw_without_rendering()
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert figure.bbox.x0 - 1 <= box.x0
        assert box.x1 <= figure.bbox.x1 + 1
        assert figure.bbox.y0 - 1 <= box.y0
        assert box.y1 <= figure.bbox.y1 + 1
        inside = ax.get_window_extent()
        for legend in (*figure.legends, *([ax.get_legend()] if ax.get_legend() else [])):
            extent = legend.get_window_extent()
            assert not extent.shrunk(0.98, 0.9).overlaps(inside)
            assert not extent.shrunk(0.98, 0.98).overlaps(ax.yaxis.label.get_window_extent())
            assert figure.bbox.x0 <= extent.x0 < extent.x1 <= figure.bbox.x1


@pytest.mark.parametrize("name", ["slices", "history", "spectra", "collapse"])
def test_figures_go_into_the_callers_axes_and_out_as_vectors(name, tmp_path):
    drawing = dict(drawings())[name]
    assert isinstance(drawing, Axes)
    content = save(drawing, tmp_path / "figure.svg").read_text()
    assert "<image" not in content
    assert b"<text" not in svg(drawing)
    ax = Figure().add_subplot()
    if name == "collapse":
        assert collapse([1.0, 2.0], [8, 8]).plot(ax) is ax
    if name == "slices":
        assert slices(replicated(), "weight_decay", "train_loss").plot(ax) is ax
