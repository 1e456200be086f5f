"""What a user asks of a figure is what is drawn, and a raster has the cells themselves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib import colormaps
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import imread

from phasediag.analysis.phases import phase_diagram
from phasediag.commands.results import diagram as command
from phasediag.errors import AnalysisError
from phasediag.figures.look import equalised
from phasediag.figures.raster import save_raster
from phasediag.figures.style import figure_of

from .test_diagram import XS, YS, sweep


@pytest.fixture(scope="module")
def made():
    return phase_diagram(sweep(), "weight_decay", "lr_over_batch", resamples=20)


@pytest.fixture(scope="module")
def split():
    parts = [sweep(width=width) for width in (8, 16)]
    parts[1]["degree_normalized"] = 1 - parts[1]["degree_normalized"]
    return phase_diagram(pd.concat(parts), "weight_decay", "lr_over_batch", resamples=20)


def mesh(ax):
    return next(artist for artist in ax.collections if isinstance(artist, QuadMesh))


def test_words_colours_limits_scales_and_size_are_those_asked_for(made):
    ax = made.plot(
        size=(6, 3), title="Mine", x_label="γ", y_label="T", order_label="kept", colours="cividis",
        colour_limits=(0.2, 0.6), x_limits=(0.002, 0.5), y_limits=(1e-4, 5e-3), x_scale="log",
        y_scale="linear",
    )  # fmt: skip
    bar = ax.figure.axes[1]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), bar.get_ylabel()) == ("Mine", "γ", "T", "kept")
    assert tuple(ax.figure.get_size_inches()) == (6, 3)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert (ax.get_xlim(), ax.get_ylim()) == ((0.002, 0.5), (1e-4, 5e-3))
    assert mesh(ax).get_cmap().name == "cividis"
    assert mesh(ax).get_clim() == (0.2, 0.6)


@pytest.mark.parametrize("options", [{}, {"x_scale": "linear"}, {"x_limits": (0.02, 0.9), "size": (5, 3)}])
def test_names_of_phases_are_whole(made, options):
    ax = made.plot(**options)
    ax.figure.draw_without_rendering()
    names = [text for text in ax.texts if text.get_text() in ("symmetric", "broken")]
    assert names
    for text in names:
        box, room = text.get_window_extent(), ax.get_window_extent()
        assert room.x0 <= box.x0 < box.x1 <= room.x1
        assert room.y0 <= box.y0 < box.y1 <= room.y1


def test_a_panel_is_drawn_on_given_axes(split):
    ax = Figure(layout="constrained").add_subplot()
    assert split.plot(ax, panel={"width": 16}) is ax
    own = split.cells[split.cells["width"] == 16].pivot(
        index="lr_over_batch", columns="weight_decay", values="mean"
    )
    known = ~np.ma.getmaskarray(mesh(ax).get_array())
    np.testing.assert_array_equal(mesh(ax).get_array()[known], own.to_numpy()[known])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "gray"}, "no option 'colour'; did you mean 'colours'"),
        ({"colours": "virdis"}, "did you mean 'viridis'"),
        ({"x_limits": (2, 1)}, "the lower limit and then the upper"),
        ({"x_scale": "cubic"}, "linear or log"),
        ({"size": (0.1, 3)}, "at least 1 inch"),
        ({"panel": {"depth": 2}}, "'depth' is no facet of this diagram; its facets are width"),
        ({"panel": {"width": 9}}, "one of 8, 16"),
    ],
)
def test_what_cannot_be_drawn_is_refused(split, options, message):
    with pytest.raises(AnalysisError, match=message):
        split.plot(**options)


def test_zero_has_no_logarithm(made):
    cells = made.cells.assign(weight_decay=made.cells["weight_decay"] - XS[0])
    with pytest.raises(AnalysisError, match="goes down to 0, which has no logarithm"):
        replace(made, cells=cells).plot(x_scale="log")


def test_equalised_colours_are_seen_equally_often():
    values = np.random.default_rng(0).lognormal(0, 4, 10_000)
    counts, _ = np.histogram(equalised(values)(values), bins=10, range=(0, 1))
    assert counts.max() - counts.min() <= 2
    norm = equalised(np.array([0.0, 0.0, 0.0, 1.0, 2.0]))
    np.testing.assert_allclose(norm.inverse(norm([0.0, 0.5, 1.0, 2.0])), [0, 0.5, 1, 2], atol=1e-12)


def test_a_raster_has_one_pixel_a_cell_and_tells_their_fates(made, tmp_path):
    (file,) = save_raster(made, tmp_path / "raster.png")
    picture = imread(file)[::-1]
    assert picture.shape == (len(YS), len(XS), 4)
    assert picture[0, 5, 3] == picture[1, 1, 3] == 0  # failed, and not run
    np.testing.assert_allclose(picture[4, 6], np.array([0xD5, 0x5E, 0x00, 0xFF]) / 255, atol=0.01)
    assert picture[2, 0, 3] == pytest.approx(0.5, abs=0.01)  # unconverged
    assert picture[2, 3, 3] == 1


def test_a_raster_of_a_quarter_million_cells(made, tmp_path):
    """Each pixel is its own cell's: the picture of i + j is the same turned about its diagonal."""
    place = np.arange(500)
    x, y = np.meshgrid(1.0 + place, 1.0 + place)
    cells = pd.DataFrame({"lr_over_batch": y.ravel(), "weight_decay": x.ravel(), "mean": (x + y).ravel()})
    cells = cells.assign(phase="broken", unconverged_share=0.0, diverged_share=0.0)
    (file,) = save_raster(replace(made, cells=cells), tmp_path / "raster.png")
    picture = imread(file)[::-1]
    assert picture.shape == (500, 500, 4)
    np.testing.assert_array_equal(picture, picture.transpose(1, 0, 2))
    colours = np.round(255 * colormaps["viridis"](np.arange(256)))
    assert len(np.unique(picture.reshape(-1, 4), axis=0)) == len(np.unique(colours, axis=0))


def test_panels_of_a_raster_are_files_of_their_own(split, tmp_path):
    files = save_raster(split, tmp_path / "raster.png")
    assert [file.name for file in files] == ["raster-width=8.png", "raster-width=16.png"]


@pytest.mark.parametrize(
    ("name", "message"), [("raster.jpg", "a raster is a PNG"), ("no/raster.png", "cannot write")]
)
def test_a_raster_that_cannot_be_written_is_told(made, tmp_path, name, message):
    with pytest.raises(AnalysisError, match=message):
        save_raster(made, tmp_path / name)


def test_the_command_line_asks_for_the_same(monkeypatch, tmp_path):
    from phasediag.analysis import frames

    monkeypatch.setattr(frames, "load_for", lambda path, texts: sweep())
    drawn = []
    from phasediag.figures import style

    save = style.save
    monkeypatch.setattr(style, "save", lambda drawing, path: (drawn.append(drawing), save(drawing, path))[1])
    arguments = [
        "sweep", "--x", "weight_decay", "--y", "lr_over_batch", "--no-sensitivity", "--size", "5", "4",
        "--title", "Mine", "--colours", "gray", "--y-scale", "linear", "--x-limits", "0.01", "0.5",
        "--output", str(tmp_path / "a.svg"), "--raster", str(tmp_path / "b.png"),
    ]  # fmt: skip
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (ax,) = drawn
    assert (ax.get_title(), ax.get_yscale(), mesh(ax).get_cmap().name) == ("Mine", "linear", "gray")
    assert tuple(ax.figure.get_size_inches()) == (5, 4)
    assert (tmp_path / "b.png").exists()


@pytest.mark.parametrize("widths", [(8,), (8, 16)])
def test_labels_fit_their_panels_in_a_figure_of_one_column_with_a_caveat_above(widths):
    """A figure of a stated size does not grow by its legend: its panels shrink, and labels wrap to them."""
    parts = [sweep(width=width).assign(converged=False) for width in widths]
    frame = pd.concat(parts)
    frame.loc[frame["weight_decay"] > 2 * frame["weight_decay"].median(), "status"] = "diverged"
    diagram = phase_diagram(frame, "weight_decay", "lr_over_batch", resamples=20)
    assert diagram.caveat
    figure = figure_of(diagram.plot(size=(3.5, 3.2)))
    figure.draw_without_rendering()
    bar = figure.axes[-1]
    label = bar.yaxis.label.get_window_extent()
    assert label.height <= 1.3 * bar.get_window_extent().height
    assert label.y0 >= 0
    assert label.x1 <= figure.bbox.x1 + 1


def test_in_a_small_figure_a_caveat_leaves_room_for_the_cells():
    """It is the fact alone; the figure that may grow, and the warnings, have all of it."""
    diagram = phase_diagram(sweep().assign(converged=False), "weight_decay", "lr_over_batch", resamples=20)
    ax = diagram.plot(size=(2.4, 2.4))
    ax.figure.draw_without_rendering()
    assert ax.get_window_extent().height > 0.3 * ax.figure.bbox.height
    small, grown = (figure.legends[0].get_title().get_text() for figure in (ax.figure, diagram.plot().figure))
    assert " ".join(small.split()) == "5 of 5 boundary points lie beside unconverged cells"
    assert "Train longer" in " ".join(grown.split())


@pytest.mark.parametrize(
    ("values", "across"),
    [((2, 2, 2), 4), ((2, 2), 2), ((3, 3), 3)],
)
def test_panels_of_several_facets_make_a_sheet_and_no_strip(values, across):
    """All values of the last facets stand side by side, so that columns have a meaning."""
    keys = pd.MultiIndex.from_product([range(1, count + 1) for count in values]).to_frame(index=False)
    keys.columns = ["depth", "width", "momentum"][: len(values)]
    frame = pd.concat(sweep(**key) for key in keys.to_dict(orient="records"))
    figure = phase_diagram(frame, "weight_decay", "lr_over_batch", resamples=20).plot()
    lefts = {round(ax.get_subplotspec().colspan.start) for ax in figure.axes if ax.get_title()}
    assert len(lefts) == across
