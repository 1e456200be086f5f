"""Figures show what the cells say: inspected by their artists."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import FillBetweenPolyCollection, PathCollection, QuadMesh
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from phasediag.analysis.phases import phase_diagram
from phasediag.errors import AnalysisError
from phasediag.figures.diagram import DIVERGED, draw_curve, draw_phase_diagram
from phasediag.figures.mesh import crossed, edges, panel_of
from phasediag.figures.style import save

XS, YS = np.geomspace(1e-3, 1, 7), np.geomspace(1e-4, 1e-2, 5)


def sweep(**columns):
    """Symmetric above weight decay 0.03, with a failed, a diverged, an absent and some unconverged cells."""
    index = pd.MultiIndex.from_product(
        [XS, YS, range(4)], names=["weight_decay", "lr_over_batch", "replicate"]
    )
    frame = index.to_frame(index=False)
    away = np.log(frame["weight_decay"] / 0.03) + 0.3 * (frame["replicate"] - 1.5)
    frame = frame.assign(degree_normalized=1 / (1 + np.exp(-away)), status="ok", **columns)
    at = (
        frame["weight_decay"].map({x: i for i, x in enumerate(XS)}),
        frame["lr_over_batch"].map({y: i for i, y in enumerate(YS)}),
    )
    frame["converged"] = pd.array(at[0].gt(0) & ~(at[0].eq(6) & at[1].eq(0)), dtype="boolean")
    frame["status"] = frame["status"].mask(at[0].eq(6) & at[1].eq(4), "diverged")
    frame["status"] = frame["status"].mask(at[0].eq(5) & at[1].eq(0), "failed")
    return frame[~(at[0].eq(1) & at[1].eq(1))]


def draw(frame, **options):
    return phase_diagram(frame, "weight_decay", "lr_over_batch", **options).plot()


def meshes(ax):
    return [artist for artist in ax.collections if isinstance(artist, QuadMesh)]


def legend_texts(drawing):
    figure = drawing if isinstance(drawing, Figure) else drawing.figure
    return {text.get_text() for legend in figure.legends for text in legend.get_texts()}


def hatched_cells(ax):
    hatched = [a for a in ax.collections if a.get_label() == "_unconverged"]
    assert all(isinstance(a, PathCollection) and a.get_hatch() for a in hatched)
    corners = [path.vertices[path.codes == path.MOVETO] for a in hatched for path in a.get_paths()]
    return {(int(np.searchsorted(XS, x)), int(np.searchsorted(YS, y))) for x, y in np.concatenate(corners)}


def test_cells_lie_at_their_true_positions():
    ax = draw(sweep())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    corners = meshes(ax)[0].get_coordinates()
    for lines, centres in ((corners[0, :, 0], XS), (corners[:, 0, 1], YS)):
        np.testing.assert_allclose(np.sqrt(lines[1:] * lines[:-1]), centres)
    assert ax.get_xlabel() == "weight decay"
    assert ax.get_ylabel() == "learning rate / batch size"


def test_missing_and_diverged_cells_have_no_value():
    ax = draw(sweep())
    values, diverged = (mesh.get_array() for mesh in meshes(ax))
    empty = np.zeros((5, 7), dtype=bool)
    empty[1, 1] = empty[0, 5] = empty[4, 6] = True
    np.testing.assert_array_equal(np.ma.getmaskarray(values), empty)
    assert np.argwhere(~np.ma.getmaskarray(diverged)).tolist() == [[4, 6]]
    np.testing.assert_allclose(meshes(ax)[1].cmap(0.0), to_rgba(DIVERGED))
    assert {"missing", "diverged", "unconverged", "boundary (0.5)", "95 % interval"} <= legend_texts(ax)


def test_unconverged_cells_are_hatched_and_no_others():
    assert hatched_cells(draw(sweep())) == {(0, row) for row in range(5)} | {(6, 0)}


def test_the_legend_names_only_what_is_drawn():
    frame = sweep()
    inner = frame[frame["weight_decay"].between(XS[2] * 0.99, XS[4] * 1.01)]
    assert legend_texts(draw(inner)) == {"boundary (0.5)", "95 % interval"}
    assert "95 % interval" not in legend_texts(draw(inner[inner["replicate"] < 2]))


def test_the_boundary_is_drawn_where_it_was_found():
    diagram = phase_diagram(sweep(), "weight_decay", "lr_over_batch")
    ax = diagram.plot()
    (line,) = (artist for artist in ax.lines if artist.get_label() == "_boundary")
    np.testing.assert_array_equal(line.get_xdata(), diagram.boundary["position"])
    np.testing.assert_array_equal(line.get_ydata(), diagram.boundary["lr_over_batch"])
    (band,) = (a for a in ax.collections if isinstance(a, FillBetweenPolyCollection))
    vertices = np.concatenate([path.vertices for path in band.get_paths()])
    assert {*diagram.boundary["low"], *diagram.boundary["high"]} <= {*vertices[:, 0]}
    assert {"broken", "symmetric"} <= {text.get_text() for text in ax.texts}


def drawn(ax, label):
    return [artist for artist in (*ax.lines, *ax.collections) if artist.get_label() == label]


def uncertain(rows):
    """The sweep, with unconverged cells on both sides of the boundary in some rows."""
    frame = sweep()
    beside = frame["weight_decay"].between(XS[2] * 0.99, XS[4] * 1.01)
    return frame.assign(converged=~(beside & frame["lr_over_batch"].isin(YS[rows])))


def test_a_boundary_beside_unconverged_cells_is_dashed_and_has_no_band():
    diagram = phase_diagram(uncertain([0, 1, 2, 3, 4]), "weight_decay", "lr_over_batch")
    assert diagram.boundary["converged"].eq(False).all()
    assert diagram.boundary[["low", "high"]].isna().all(axis=None)
    ax = diagram.plot()
    (front,) = drawn(ax, "_front")
    assert front.get_linestyle() == "--"
    np.testing.assert_array_equal(front.get_xdata(), diagram.boundary["position"])
    assert drawn(ax, "_boundary") == []
    assert all(len(path.vertices) == 0 for band in drawn(ax, "_interval") for path in band.get_paths())
    assert legend_texts(ax) == {"boundary, unconverged (0.5)", "unconverged", "diverged", "missing"}
    (title,) = (legend.get_title().get_text() for legend in ax.figure.legends)
    assert "5 of 5 boundary points lie beside unconverged cells" in title.replace("\n", " ")
    assert title.replace("\n", " ") in " ".join(diagram.warnings)


def test_only_the_part_beside_unconverged_cells_is_dashed():
    """Row 2 is uncertain: the line is dashed from row 1 to row 3, and solid beyond."""
    diagram = phase_diagram(uncertain([2]), "weight_decay", "lr_over_batch")
    ax = diagram.plot()
    at = diagram.boundary["position"].to_numpy()
    (solid,), (front,), (early,) = (drawn(ax, name) for name in ("_boundary", "_front", "_early"))
    np.testing.assert_array_equal(solid.get_xdata(), [*at[:2], np.nan, *at[3:]])
    np.testing.assert_array_equal(front.get_xdata(), [np.nan, *at[1:4], np.nan])
    np.testing.assert_array_equal(early.get_xdata(), at[[2]])
    assert diagram.boundary["low"].isna().tolist() == [False, False, True, False, False]
    assert {"boundary (0.5)", "boundary, unconverged (0.5)", "95 % interval"} <= legend_texts(ax)


def test_a_growth_rate_needs_no_convergence():
    frame = sweep().assign(converged=False, log_rate=lambda f: f["degree_normalized"] - 0.5)
    diagram = phase_diagram(frame, "weight_decay", "lr_over_batch", order="log_rate", level=0.0)
    assert diagram.boundary["converged"].all()
    assert diagram.boundary["low"].notna().any()
    assert drawn(diagram.plot(), "_front") == []


def test_a_diagram_without_values_says_why():
    nothing = sweep(neuron_count=np.nan, model="my_net.py:Net").assign(degree_normalized=np.nan)
    diagram = phase_diagram(nothing, "weight_decay", "lr_over_batch")
    (warning,) = diagram.warnings
    assert warning.startswith("Nothing is measured: the model states no neuron_groups;")
    (legend,) = diagram.plot().figure.legends
    assert "states no neuron_groups" in legend.get_title().get_text().replace("\n", " ")


@pytest.mark.parametrize("swap", [False, True])
def test_the_collapse_threshold_is_a_dashed_line(swap):
    frame = sweep(collapse_weight_decay=0.4)
    names = ("lr_over_batch", "weight_decay") if swap else ("weight_decay", "lr_over_batch")
    ax = phase_diagram(frame, *names).plot()
    (line,) = (artist for artist in ax.lines if artist.get_label() == "_collapse")
    assert line.get_linestyle() == "--"
    points = (line.get_ydata(), line.get_xdata()) if swap else line.get_data()
    np.testing.assert_allclose(points[0], 0.4)
    np.testing.assert_allclose(points[1], YS)
    assert "data's collapse threshold" in legend_texts(ax)


def test_facets_share_axes_and_colours():
    frame = pd.concat([sweep(label_noise=noise) for noise in (0.0, 0.5, 1.0)])
    figure = draw(frame)
    panels = [ax for ax in figure.axes if meshes(ax) and ax.get_title()]
    assert [ax.get_title() for ax in panels] == [
        "label noise = 0",
        "label noise = 0.5",
        "label noise = 1",
    ]
    assert len({ax.get_xlim() + ax.get_ylim() for ax in panels}) == 1
    assert len({meshes(ax)[0].get_clim() for ax in panels}) == 1
    with pytest.raises(AnalysisError, match=r"facets \(label_noise\)"):
        phase_diagram(frame, "weight_decay", "lr_over_batch").plot(Figure().add_subplot())


def test_draws_into_given_axes():
    ax = Figure(layout="constrained").add_subplot()
    assert draw_phase_diagram(phase_diagram(sweep(), "weight_decay", "lr_over_batch"), ax) is ax
    assert ax.get_legend() is not None


def test_refined_positions_show_their_row_and_missing_ones_stay_missing():
    frame = sweep()
    between = np.sqrt(XS[3] * XS[4])
    extra = frame[frame["weight_decay"].eq(XS[3]) & frame["lr_over_batch"].eq(YS[2])].assign(
        weight_decay=between
    )
    values = meshes(draw(pd.concat([frame, extra])))[0].get_array()
    assert values.shape == (5, 8)
    assert np.ma.getmaskarray(values).sum() == 3
    assert values[0, 4] in (values[0, 3], values[0, 5])


@pytest.mark.parametrize("order", ["log_rate", "train_loss"])
def test_other_order_parameters(order):
    frame = sweep().assign(**{order: lambda f: 0.5 - f["degree_normalized"]})
    ax = draw(frame, order=order, level=0.0)
    low, high = meshes(ax)[0].get_clim()
    assert low < 0 < high
    assert (low == -high) == (order == "log_rate")


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_saves_every_format(tmp_path, suffix):
    path = save(draw(sweep()), tmp_path / f"diagram.{suffix}")
    assert path.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])


def test_legend_and_labels_lie_inside_the_figure_and_off_the_cells():
    ax = draw(sweep(collapse_weight_decay=0.4))
    figure = ax.figure
    figure.draw_without_rendering()
    (legend,) = figure.legends
    inside, box = figure.bbox, legend.get_window_extent()
    assert not box.overlaps(ax.get_window_extent())
    for extent in (box, ax.get_tightbbox(), figure.axes[1].get_tightbbox()):
        assert inside.x0 - 1 <= extent.x0 < extent.x1 <= inside.x1 + 1
        assert inside.y0 - 1 <= extent.y0 < extent.y1 <= inside.y1 + 1


@pytest.mark.parametrize("path", ["diagram.xyz", "missing/diagram.png"])
def test_refuses_to_save_where_it_cannot(tmp_path, path):
    with pytest.raises(AnalysisError, match="cannot write"):
        save(draw(sweep()), tmp_path / path)


def test_colours_are_told_apart_without_colour():
    """Cells get lighter with the value throughout; what has no value has a pattern of its own."""
    ax = draw(sweep())
    mesh, _ = meshes(ax)
    grey = mesh.cmap(np.linspace(0, 1, 256))[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(grey) > 0).all()
    patterns = {a.get_label(): a.get_hatch() for a in ax.collections if a.get_hatch()}
    assert patterns.keys() == {"_unconverged", "_diverged", "_missing"}
    assert len(set(patterns.values())) == 3


def test_the_band_covers_the_hatching():
    """Read together they are unreadable: the interval is drawn above, and nearly opaque."""
    ax = draw(sweep(converged=False))
    order = list(ax.collections)
    (band,) = (a for a in order if a.get_label() == "_interval")
    hatched = [a for a in order if a.get_label() == "_unconverged"]
    assert hatched
    assert all((a.get_zorder(), order.index(a)) < (band.get_zorder(), order.index(band)) for a in hatched)
    assert band.get_facecolor()[0, 3] > 0.8


@pytest.mark.parametrize("along", ["x", "y"])
@pytest.mark.parametrize("own", [True, False])
def test_a_known_curve_spans_the_axes_and_joins_the_legend(along, own):
    diagram = phase_diagram(sweep(), "weight_decay", "lr_over_batch")
    ax = diagram.plot() if own else diagram.plot(Figure(layout="constrained").add_subplot())
    limits = ax.get_xlim(), ax.get_ylim()
    line = draw_curve(ax, (lambda y: 3 * y) if along == "y" else (lambda x: x / 3), along, "E5")
    x, y = line.get_data()
    np.testing.assert_allclose(x, 3 * y)
    here = y if along == "y" else x
    np.testing.assert_allclose([here[0], here[-1]], limits[along == "y"])
    np.testing.assert_allclose(np.diff(np.log(here)), np.diff(np.log(here)).mean())
    assert (ax.get_xlim(), ax.get_ylim()) == limits
    texts = legend_texts(ax) if own else {text.get_text() for text in ax.get_legend().get_texts()}
    assert {"E5", "boundary (0.5)", "diverged"} <= texts
    assert bool(ax.figure.legends) == own


def test_a_known_curve_needs_an_axis_to_run_along():
    with pytest.raises(AnalysisError, match="along='z'"):
        draw_curve(draw(sweep()), lambda z: z, along="z")


def test_panels_show_the_same_range_and_only_the_edge_has_labels():
    frame = pd.concat([sweep().assign(width=width) for width in (8, 16, 32, 64)])
    figure = draw(frame, facet="width")
    panels = figure.axes[:4]
    assert len({(*ax.get_xlim(), *ax.get_ylim(), ax.get_xscale(), ax.get_yscale()) for ax in panels}) == 1
    shown = [
        (ax.xaxis.get_tick_params()["labelbottom"], ax.yaxis.get_tick_params()["labelleft"]) for ax in panels
    ]
    assert shown == [(False, True), (False, False), (True, True), (True, False)]


POSITIONS = {
    "two": [0.004, 0.1], "from zero": [0, *np.geomspace(1e-4, 1, 9)],
    "zero and one decade": [0, *np.geomspace(0.06, 0.65, 9)],
    "in one decade": np.geomspace(0.11, 0.19, 9),
    "six decades": np.geomspace(1e-6, 1, 9), "a decade and a half": np.geomspace(1e-3, 0.04, 9),
    "even": np.linspace(0.1, 0.1008, 9), "many": np.linspace(1e5, 1e6, 10), "negative": np.linspace(-1, 1, 9),
}  # fmt: skip


def at(positions, **columns):
    """A sweep along these positions, symmetric above their middle."""
    index = pd.MultiIndex.from_product(
        [positions, YS, range(3)], names=["weight_decay", "lr_over_batch", "replicate"]
    )
    frame = index.to_frame(index=False).assign(status="ok", converged=True, **columns)
    above = frame["weight_decay"] > positions[len(positions) // 2] * (1 - 1e-9)
    return frame.assign(degree_normalized=above.astype(float))


def x_ticks(ax):
    low, high = sorted(ax.get_xlim())
    return [
        (text.get_text(), text.get_window_extent())
        for value, text in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
        if low <= value <= high and text.get_text()
    ]


def apart(extents):
    """Whether boxes stand beside each other with a gap between them."""
    ordered = sorted(extents, key=lambda box: box.x0)
    return all(left.x1 + 2 < right.x0 for left, right in pairwise(ordered))


@pytest.mark.parametrize("facets", [1, 3])
@pytest.mark.parametrize("kind", POSITIONS)
def test_every_axis_has_ticks_that_do_not_touch(kind, facets):
    drawing = draw(pd.concat([at(POSITIONS[kind], width=2**n) for n in range(4, 4 + facets)]))
    figure = drawing if isinstance(drawing, Figure) else drawing.figure
    figure.draw_without_rendering()
    shown = [x_ticks(ax) for ax in figure.axes[:facets]]
    assert all(len(ticks) >= 2 for ticks in shown)
    assert apart([box for ticks in shown for _, box in ticks])
    assert not any("e" in text for ticks in shown for text, _ in ticks)


def test_long_names_are_cut_nowhere():
    names = ["a_rather_long_parameter_of_a_users_model", "another_exceedingly_long_axis_name_in_its_units"]
    values = [f"a_value_of_many_letters_{n}" for n in range(3)]
    frame = pd.concat([at(XS, some_very_long_name_of_a_facet=value) for value in values])
    frame = frame.rename(columns=dict(zip(["weight_decay", "lr_over_batch"], names, strict=True)))
    order = "degree_normalized / (1 + degree_normalized + degree_normalized + degree_normalized)"
    figure = phase_diagram(frame, *names, order=order, level=0.1).plot()
    figure.draw_without_rendering()
    titles = [ax.title.get_window_extent() for ax in figure.axes[:3]]
    assert apart(titles)
    bar = figure.axes[3].yaxis.label.get_window_extent()
    extents = [text.get_window_extent() for text in figure.texts] + [bar, *titles]
    assert len(extents) == 6
    for box in extents:
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


@pytest.mark.parametrize("swap", [False, True])
def test_names_of_phases_know_where_lines_run(swap):
    frame = sweep(collapse_weight_decay=0.4)
    axes = ("weight_decay", "lr_over_batch")[:: -1 if swap else 1]
    diagram = phase_diagram(frame, *axes)
    panel = panel_of(diagram, pd.Series(dtype=object))
    crossings = crossed(panel, diagram)
    lines = edges(panel.x, diagram.x_scale)
    for row in diagram.boundary.dropna(subset="position").itertuples():
        line = crossings[np.searchsorted(panel.y, getattr(row, axes[1]))]
        assert line[np.searchsorted(lines, row.position) - 1]
        assert line[np.searchsorted(lines, row.low) - 1]
    decays = edges(XS, diagram.y_scale if swap else diagram.x_scale)
    place = np.searchsorted(decays, 0.4) - 1
    assert (crossings[place] if swap else crossings[:, place]).all()
    assert not crossings.all()


def test_small_axes_of_the_callers_have_no_names_of_phases():
    ax = Figure(figsize=(2.8, 2.8), layout="constrained").add_subplot()
    draw_phase_diagram(phase_diagram(sweep(), "weight_decay", "lr_over_batch"), ax)
    ax.figure.draw_without_rendering()
    assert not ax.texts
    assert ax.get_legend().get_window_extent().x1 <= ax.figure.bbox.x1
    assert apart([box for _, box in x_ticks(ax)])


def test_a_hatch_is_one_path_however_many_cells_it_covers():
    """A renderer draws the pattern anew for each path: 40 panels took minutes."""
    ax = draw(sweep(converged=False))
    hatched = [a for a in ax.collections if a.get_hatch()]
    assert hatched
    assert all(len(artist.get_paths()) == 1 for artist in hatched)


def test_the_figure_of_the_page_draws_the_share_of_each_phase():
    """As `docs/own-analysis.md` has it."""
    page = (Path(__file__).parents[2] / "docs" / "own-analysis.md").read_text()
    (text,) = re.findall(r"```python\n(\"\"\"The share of the cells.*?)```", page, flags=re.S)
    module = {}
    exec(text, module)
    diagram = phase_diagram(sweep(), "weight_decay", "lr_over_batch")
    ax = module["draw"](diagram)
    phases = diagram.cells["phase"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(
        [100 * (phases == name).mean() for name in sorted(set(phases))]
    )
