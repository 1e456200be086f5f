"""Which diagrams have an exact boundary, against the formulas of the paper's notes."""

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.exact_boundary import known_boundary
from phasediag.analysis.phases import phase_diagram
from phasediag.figures.diagram import draw_curve

HERMITE = {"task": "hermite", "model": "hermite", "optimizer": "sgd", "batch_size": 0}
CHAIN = {
    "task": "scalar_linear", "model": "mlp", "depth": 2, "activation": "linear", "bias": False,
    "optimizer": "sgd", "momentum": 0.0, "input_distribution": "rademacher",
    "noise_distribution": "rademacher", "signal": 0.5, "batch_size": 1,
}  # fmt: skip
LINEAR = {
    "task": "linear_map", "model": "mlp", "depth": 2, "activation": "linear", "bias": False,
    "optimizer": "sgd", "batch_size": 0, "label_noise": 0.0, "singular_values": (0.5, 0.25, 1.0),
    "control": "none",
}  # fmt: skip


def plane(axes, **fixed):
    """Trials on a plane; the order parameters follow the first axis."""
    index = pd.MultiIndex.from_product([*axes.values(), range(3)], names=[*axes, "replicate"])
    frame = index.to_frame(index=False)
    rank = frame[next(iter(axes))].rank(pct=True)
    frame = frame.assign(degree_normalized=rank, log_rate=0.5 - rank, status="ok", converged=True)
    for name, value in fixed.items():
        frame[name] = [value] * len(frame)
    return frame


def hermite(**changed):
    axes = {"weight_decay": [1.0, 2.0, 4.0], "width": [2, 3, 8]}
    return plane(axes, **{**HERMITE, "teacher_weights": (1.0, 0.2), **changed})


def known(frame, x, y, order):
    return known_boundary(
        frame, phase_diagram(frame, x, y, order=order, level=0.0 if order == "log_rate" else 0.5)
    )


@pytest.mark.parametrize("swap", [False, True])
def test_e9_in_the_plane_of_decay_and_width(swap):
    names = ("width", "weight_decay") if swap else ("weight_decay", "width")
    curve = known(hermite(), *names, "degree_normalized")
    assert curve.along == ("x" if swap else "y")
    np.testing.assert_allclose(curve.curve(np.array([2.0, 3, 8])), [1.28, 2.24, 3.44])


@pytest.mark.parametrize("other", ["learning_rate", "lr_over_batch", "weight_decay"])
def test_e5_against_label_noise(other):
    values = [0.02, 0.05, 0.1]
    fixed = {"weight_decay": 0.1, "learning_rate": 0.05, **CHAIN}
    fixed.pop(other, None)
    if other == "lr_over_batch":
        del fixed["learning_rate"]
    frame = plane({"label_noise": [1.0, 3.0, 5.0], other: values}, **fixed)
    if other == "lr_over_batch":
        frame["learning_rate"] = frame["lr_over_batch"]
    curve = known(frame, "label_noise", other, "log_rate")
    for value, sigma in zip(values, curve.curve(np.array(values)), strict=True):
        rate = 0.05 if other == "weight_decay" else value
        gamma = value / 2 if other == "weight_decay" else 0.05
        assert (1 - 2 * rate * gamma + 2 * rate * 0.5) ** 2 - 4 * rate**2 * sigma**2 == pytest.approx(1)
    ax = phase_diagram(frame, "label_noise", other, order="log_rate", level=0.0).plot()
    assert np.isfinite(draw_curve(ax, curve.curve, curve.along, curve.name).get_xdata()).all()


def test_e5_has_no_curve_at_rates_at_which_no_noise_collapses_the_chain():
    """At rate 1.5 it does so between 0.833333 and 0.833334 alone, which no sweep resolves; at 1 it does."""
    fixed = {"weight_decay": 0.0, **CHAIN, "batch_size": 4}
    frame = plane({"label_noise": [1.0, 3.0, 5.0], "learning_rate": [0.05, 1.0, 1.5]}, **fixed)
    curve = known(frame, "label_noise", "learning_rate", "log_rate").curve
    np.testing.assert_allclose(curve(np.array([1.0, 1.5])), [1.951117, np.nan], rtol=1e-6)
    assert np.isfinite(curve(np.array([0.05])))


def linear(axes, **changed):
    frame = plane(axes, **{**LINEAR, **changed})
    return frame.assign(rank=4 * (1 - frame["degree_normalized"]))


@pytest.mark.parametrize(("level", "mode"), [(0.5, 1.0), (1.5, 0.5), (2.0, 0.5), (2.5, 0.25)])
def test_e1_each_mode_of_the_rank_has_its_boundary(level, mode):
    frame = linear({"weight_decay": [0.25, 1.0, 4.0], "learning_rate": [0.01, 0.02]})
    diagram = phase_diagram(frame, "weight_decay", "learning_rate", order="rank", level=level)
    boundary = known_boundary(frame, diagram)
    assert (boundary.name, boundary.along) == ("exact (E1)", "y")
    np.testing.assert_allclose(boundary.curve(np.array([0.01, 0.02])), 2 * mode)


def test_e1_narrow_networks_do_not_reach_the_rank():
    frame = linear({"weight_decay": [0.25, 1.0, 4.0], "width": [1, 4]})
    diagram = phase_diagram(frame, "weight_decay", "width", order="rank", level=1.5)
    np.testing.assert_array_equal(known_boundary(frame, diagram).curve(np.array([1.0, 4.0])), [np.nan, 1.0])


@pytest.mark.parametrize("changed", [{"label_noise": 1.0}, {"batch_size": 8}, {"control": "syre"}])
def test_e1_has_no_curve_where_noise_or_control_moves_it(changed):
    axes = {"weight_decay": [0.25, 1.0, 4.0], "learning_rate": [0.01, 0.02]}
    for frame, there in ((linear(axes), True), (linear(axes, **changed), False)):
        diagram = phase_diagram(frame, "weight_decay", "learning_rate", order="rank", level=0.5)
        assert (known_boundary(frame, diagram) is not None) is there


@pytest.mark.parametrize(
    "changed",
    [{"optimizer": "adamw"}, {"task": "teacher_student"}, {"batch_size": 32}, {"control": "syre"}],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::phasediag.analysis.phases.DecoupledDecayWarning")
def test_no_curve_where_the_result_does_not_hold(changed):
    assert known(hermite(), "weight_decay", "width", "degree_normalized") is not None
    assert known(hermite(**changed), "weight_decay", "width", "degree_normalized") is None


def test_no_curve_for_an_order_parameter_that_it_is_not_about():
    frame = hermite().assign(rank=lambda f: f["degree_normalized"])
    assert known(frame, "weight_decay", "width", "rank") is None
