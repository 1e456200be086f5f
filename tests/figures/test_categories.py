"""Axes of categories: evenly spaced and named; nothing is interpolated, joined or fitted over them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh

from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.analysis.scaling import fit_scaling
from phasediag.errors import AnalysisError
from phasediag.figures.style import figure_of, save
from phasediag.report.choice import choose

DECAYS = np.geomspace(0.01, 1, 9)
BOUNDARY = {"adam": 0.05, "my_opt.py:SharpnessAware": 0.4, "sgd": 0.15}
"""Where the order parameter crosses its level, by optimizer."""
NAMES = list(BOUNDARY)


def sweep(**columns: Any) -> pd.DataFrame:
    rows = [
        {
            "optimizer": name, "weight_decay": decay, "replicate": replicate, "status": "ok",
            "converged": True, "activation": activation, "bias": bias,
            "degree_normalized": 1 / (1 + np.exp(-6 * np.log(decay / at) - 0.3 * (replicate - 1.5))),
        }
        for name, at in BOUNDARY.items()
        for decay in DECAYS
        for replicate in range(4)
        for activation in ("tanh",)
        for bias in (False,)
    ]  # fmt: skip
    frame = pd.DataFrame(rows).sample(frac=1, random_state=0).reset_index(drop=True)
    return frame.assign(**columns)


def both(frame: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The frame twice, with two values of a further column."""
    (name, pair), *_ = values.items()
    return pd.concat([frame.assign(**{name: value}) for value in pair], ignore_index=True)


def ticks(axis: Any) -> dict[str, float]:
    figure_of(axis.axes).draw_without_rendering()
    texts = [text.get_text() for text in axis.get_ticklabels()]
    return dict(zip(texts, map(float, axis.get_ticklocs()), strict=True))


def mesh_of(ax: Axes) -> QuadMesh:
    return next(artist for artist in ax.collections if isinstance(artist, QuadMesh))


def strokes(ax: Axes, label: str) -> list[np.ndarray]:
    return [
        segment for artist in ax.collections if isinstance(artist, LineCollection)
        for segment in artist.get_segments() if artist.get_label() == label
    ]  # fmt: skip


def assert_nothing_joins(ax: Axes, axis: int) -> None:
    """No line or stroke reaches from one category into the next."""
    for line in ax.lines:
        points = np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float)
        if line.get_linestyle() == "None" or line.get_transform() != ax.transData:
            continue
        for one, other in pairwise(points):
            assert np.isnan([one, other]).any() or abs(one[axis] - other[axis]) <= 1
    for segment in (*strokes(ax, "_boundary"), *strokes(ax, "_front"), *strokes(ax, "_interval")):
        assert np.ptp(segment[:, axis]) < 1


@pytest.mark.parametrize("upwards", [False, True])
def test_categories_are_even_named_and_each_has_its_own_boundary(upwards: bool, tmp_path: Path) -> None:
    x, y = ("weight_decay", "optimizer") if upwards else ("optimizer", "weight_decay")
    diagram = phase_diagram(sweep(), x, y)
    ax = diagram.plot()
    axis, place = (ax.yaxis, 1) if upwards else (ax.xaxis, 0)
    assert ticks(axis) == {name: number for number, name in enumerate(NAMES)}
    assert not axis.get_minorticklocs().size
    corners = mesh_of(ax).get_coordinates()
    np.testing.assert_array_equal(corners[:, 0, 1] if upwards else corners[0, :, 0], [-0.5, 0.5, 1.5, 2.5])
    table = diagram.boundary if upwards else diagram.across
    assert table is not None
    positions = table.set_index("optimizer")["position"]
    for name, at in BOUNDARY.items():
        assert positions[name] == pytest.approx(at, rel=0.1)
    assert diagram.across is None or not upwards
    assert upwards or diagram.boundary["position"].isna().all()
    drawn = sorted(float(segment[:, 1 - place].mean()) for segment in strokes(ax, "_boundary"))
    np.testing.assert_allclose(drawn, sorted(positions))
    assert len(strokes(ax, "_interval")) == len(NAMES)
    assert_nothing_joins(ax, place)
    save(ax, tmp_path / "figure.png")


def test_cells_say_the_names(tmp_path: Path) -> None:
    cells = phase_diagram(sweep(), "optimizer", "weight_decay").cells
    means = sweep().groupby(["optimizer", "weight_decay"])["degree_normalized"].mean()
    for row in cells.itertuples():
        assert row.mean == pytest.approx(means[row.optimizer, row.weight_decay])


def test_a_missing_category_takes_nothing_from_its_neighbour() -> None:
    frame = sweep()
    gone = (frame["optimizer"] == "sgd") & (frame["weight_decay"] > 0.1)
    diagram = phase_diagram(frame[~gone], "optimizer", "weight_decay")
    values = mesh_of(diagram.plot()).get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(values)[:, NAMES.index("sgd")], DECAYS > 0.1)


def test_along_one_axis_of_categories_points_stand_by_themselves() -> None:
    frame = both(sweep(), activation=("relu", "tanh"))
    frame = frame[frame["weight_decay"] == DECAYS[4]]
    diagram = phase_diagram(frame, "optimizer")
    ax = diagram.plot()
    assert ticks(ax.xaxis) == {name: number for number, name in enumerate(NAMES)}
    assert diagram.boundary["position"].isna().all()
    assert "have no order: no boundary is looked for between them" in diagram.summary()
    assert not any("No row crosses" in text for text in diagram.warnings)
    curves = [line for line in ax.lines if len(line.get_xdata()) == 3]
    assert curves
    assert {line.get_linestyle() for line in curves} == {"None"}


def test_two_axes_of_categories_are_a_table() -> None:
    frame = both(sweep(), bias=(True, False))
    frame = frame[frame["weight_decay"] == DECAYS[4]]
    diagram = phase_diagram(frame, "optimizer", "bias")
    ax = diagram.plot()
    assert list(ticks(ax.yaxis)) == ["False", "True"]
    assert mesh_of(ax).get_array().shape == (2, 3)
    assert not strokes(ax, "_boundary")
    assert not figure_of(ax).legends


def test_long_names_are_upright_and_inside_the_figure() -> None:
    names = [f"a_long_name_of_a_class.py:Optimizer{number}" for number in range(6)]
    parts = [sweep()[lambda f: f["optimizer"] == "sgd"].assign(optimizer=name) for name in names]
    ax = phase_diagram(pd.concat(parts, ignore_index=True), "optimizer", "weight_decay").plot()
    figure = figure_of(ax)
    figure.draw_without_rendering()
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {90.0}
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    page = figure.bbox
    assert all(page.x0 <= box.x0 and page.y0 <= box.y0 and box.x1 <= page.x1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_categories_in_facets_are_named_too() -> None:
    frame = both(sweep(), activation=("relu", "tanh"))
    drawing = phase_diagram(frame, "weight_decay", "optimizer", facet="activation").plot()
    assert [ax.get_title() for ax in drawing.axes[:2]] == ["activation = relu", "activation = tanh"]
    assert list(ticks(drawing.axes[0].yaxis)) == NAMES
    for ax in drawing.axes[:2]:
        assert_nothing_joins(ax, 1)


def test_numbers_lie_where_they_lay() -> None:
    """A numeric axis beside one of categories keeps its scale and its interpolation."""
    diagram = phase_diagram(sweep(), "weight_decay", "optimizer")
    alone = {
        name: phase_diagram(part, "weight_decay").boundary["position"].iloc[0]
        for name, part in sweep().groupby("optimizer")
    }
    assert diagram.x_scale.kind == "log"
    assert diagram.boundary.set_index("optimizer")["position"].to_dict() == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("options", [{"x_scale": "log"}, {"x_limits": (0, 1)}])
def test_categories_have_neither_scale_nor_limits(options: dict[str, Any]) -> None:
    diagram = phase_diagram(sweep(), "optimizer", "weight_decay")
    with pytest.raises(AnalysisError, match="optimizer has categories, which have neither"):
        diagram.plot(**options)


def test_no_law_is_fitted_over_categories() -> None:
    with pytest.raises(AnalysisError, match=r"no law is fitted over them; .*--where optimizer="):
        fit_scaling(sweep(neuron_count=3), "optimizer")


def test_too_many_texts_are_no_axis() -> None:
    frame = sweep(name=[f"n{row}" for row in range(len(sweep()))])
    with pytest.raises(AnalysisError, match="108 different texts, more than the 40 that an axis names"):
        phase_diagram(frame, "name", "weight_decay")


def test_a_report_of_categories_alone_shows_them() -> None:
    frame = both(sweep(), activation=("relu", "tanh"))
    frame = frame[frame["weight_decay"] == DECAYS[0]]
    assert choose(frame).x in ("optimizer", "activation")
    mixed = choose(sweep())
    assert (mixed.x, mixed.facets) == ("weight_decay", ("optimizer",))


def test_greys_tell_the_phases_apart(tmp_path: Path) -> None:
    """The lightness of the colours rises with the order parameter, so that a print in grey reads the same."""
    diagram: PhaseDiagram = phase_diagram(sweep(), "optimizer", "weight_decay")
    mesh = mesh_of(diagram.plot())
    values = np.asarray(mesh.get_array(), dtype=float).ravel()
    grey = mesh.to_rgba(values)[:, :3] @ [0.299, 0.587, 0.114]
    order = np.argsort(values)
    assert (np.diff(grey[order]) > -1e-9).all()
    assert np.ptp(grey) > 0.5
