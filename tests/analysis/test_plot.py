"""Figures show what the cells say: inspected by their artists."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from phasediag.analysis.phases import phase_diagram
from phasediag.analysis.plot import DIVERGED, draw_phase_diagram, save
from phasediag.analysis.scaling import fit_scaling
from phasediag.errors import AnalysisError

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
    hatched = [a for a in ax.collections if isinstance(a, PolyCollection) and a.get_hatch()]
    paths = [path for artist in hatched for path in artist.get_paths()]
    return {
        (int(np.searchsorted(XS, p.vertices[0, 0])), int(np.searchsorted(YS, p.vertices[0, 1])))
        for p in paths
    }


def test_cells_lie_at_their_true_positions():
    ax = draw(sweep())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    corners = meshes(ax)[0].get_coordinates()
    for edges, centres in ((corners[0, :, 0], XS), (corners[:, 0, 1], YS)):
        np.testing.assert_allclose(np.sqrt(edges[1:] * edges[:-1]), centres)
    assert ax.get_xlabel() == "weight decay"
    assert ax.get_ylabel() == "learning rate / batch size (T)"


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
    whole = frame[frame["weight_decay"].between(XS[2] * 0.99, XS[4] * 1.01)]
    assert legend_texts(draw(whole)) == {"boundary (0.5)", "95 % interval"}
    assert "95 % interval" not in legend_texts(draw(whole[whole["replicate"] < 2]))


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
    assert [ax.get_title() for ax in panels] == ["label_noise = 0", "label_noise = 0.5", "label_noise = 1"]
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
    assert sum("ΔAIC" in text for text in texts) == len(fit.models)
    (law,) = (line for line in ax.lines if str(line.get_label()).startswith("power law"))
    slope = np.polyfit(np.log(law.get_xdata()), np.log(law.get_ydata()), 1)[0]
    assert slope == pytest.approx(fit.exponent)
    assert f"{abs(fit.exponent):.2f}" in ax.texts[0].get_text()
