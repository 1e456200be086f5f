"""The same questions can be put to every result, and every result has its figure."""

from __future__ import annotations

import json
from base64 import b64encode
from html import unescape
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import phasediag.analysis
from phasediag.analysis.alignment import alignment
from phasediag.analysis.breaking_times import breaking_times
from phasediag.analysis.coincidence import coincidence
from phasediag.analysis.count_exponents import count_exponents
from phasediag.analysis.depth import depth_profile
from phasediag.analysis.distributions import distributions
from phasediag.analysis.equal_noise import compare_equal_noise
from phasediag.analysis.extension import extension
from phasediag.analysis.finite_size import fit_collapse
from phasediag.analysis.history import trial_history
from phasediag.analysis.likeness import compare_checkpoints
from phasediag.analysis.limit import boundary_limit
from phasediag.analysis.loops import hysteresis
from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.analysis.replication import replicates_needed
from phasediag.analysis.result import Result, plain
from phasediag.analysis.roughness import boundary_roughness
from phasediag.analysis.scaling import fit_scaling
from phasediag.analysis.sensitivity import Recounts, Sensitivity
from phasediag.analysis.settled_counts import settled_counts
from phasediag.analysis.slices import slices
from phasediag.analysis.spectra import spectra
from phasediag.analysis.strength import fit_strength
from phasediag.analysis.systematics import boundary_systematics
from phasediag.analysis.transition import transition_order
from phasediag.analysis.trends import rank_trends
from phasediag.analysis.universality import universality
from phasediag.analysis.width_saturation import width_saturation
from phasediag.errors import AnalysisError, PhasediagError
from planted_counts import falling, planted


def trials() -> pd.DataFrame:
    """Counts of three widths that fall as the square root of decay and noise."""
    rng = np.random.default_rng(0)
    axes = [np.geomspace(1e-3, 0.3, 8), [3e-4, 3e-3], [64, 128, 256], range(4)]
    names = ["weight_decay", "lr_over_batch", "width", "replicate"]
    frame = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    expected = 2 * (frame["weight_decay"] / 2 + 5 * frame["lr_over_batch"]) ** -0.5
    frame = frame.assign(status="ok", converged=True, neuron_count=rng.poisson(expected))
    return frame.assign(degree_normalized=1 - frame["neuron_count"] / 70)


def course() -> pd.DataFrame:
    """A trial that loses its generators while its loss drops fastest."""
    steps = np.arange(0, 1000, 10)
    degree = np.select([steps < 300, steps < 320, steps < 340], [7, 5, 4], 3)
    loss = np.exp(-np.where(steps < 300, 0, np.minimum(steps - 300, 50) / 10) - steps / 1000)
    return pd.DataFrame({
        "trial_id": "a", "layer": "hidden.1", "observable": "permutation", "step": steps, "degree": degree,
        "max_degree": 7, "epsilon": 0.5, "train_loss": loss, "test_loss": loss,
        "distances": [np.where(np.arange(7) < d, 0.1, 1.0) for d in degree],
    })  # fmt: skip


def image() -> pd.DataFrame:
    """Cells of two phases, enough for a dimension."""
    values = np.geomspace(1e-2, 1, 64)
    frame = pd.MultiIndex.from_product([values, values], names=["weight_decay", "init_scale"]).to_frame(
        index=False
    )
    upper = frame["weight_decay"] > frame["init_scale"] ** 0.7
    return frame.assign(replicate=0, status="ok", converged=True, degree_normalized=upper.astype(float))


def heads() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two layers of three heads of a checkpoint, and their distances."""
    frame = pd.DataFrame(
        {"trial_id": list("abcdef"), "depth": [1, 1, 1, 2, 2, 2], "rank": [3, 4, 4, 2, 2, 3]}
    )
    frame = frame.assign(checkpoint="w.pt", part="attention", width=4, degree_normalized=0.25)
    frame["stable_rank"] = frame["rank"] / 2
    distances = [np.array([2.0, 1.0, 0.5, 0.1])] * 6
    measured = frame[["trial_id"]].assign(
        observable="double_rotation", layer="attention", distances=distances
    )
    return frame, measured


def walks() -> pd.DataFrame:
    """Ramps whose count drops at 1.5 and comes back at 0.5."""
    there = np.linspace(0, 2, 21)
    stages = [("up", x, x < 1.5) for x in there] + [("down", x, x < 0.5) for x in there[-2::-1]]
    rows = [(str(r), r, n, *stage) for r in range(3) for n, stage in enumerate(stages)]
    frame = pd.DataFrame(
        rows, columns=["trial_id", "replicate", "stage", "way", "weight_decay", "alive_count"]
    )
    return frame.assign(ramp="weight_decay", ramp_kick=1e-4, status="ok", converged=True).astype(
        {"alive_count": float}
    )


def passages() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Degrees of six trials, whose one generator breaks after 3 to 8 steps."""
    steps = np.arange(12)
    measured = pd.concat([
        pd.DataFrame({"trial_id": str(trial), "step": steps, "degree": (steps < 3 + trial).astype(int)})
        for trial in range(6)
    ])  # fmt: skip
    measured = measured.assign(
        layer="hidden.1", observable="permutation", max_degree=1, epsilon=1.0, distances=None
    )
    trials = pd.DataFrame({"trial_id": list("012345"), "replicate": range(6), "learning_rate": 1.0})
    return measured, trials.assign(status="ok", point_id="p")


def lengths() -> pd.DataFrame:
    """Trials of two lengths, of which nothing moved."""
    axes = [[0.1, 0.2], range(3), [100, 200]]
    frame = pd.MultiIndex.from_product(axes, names=["weight_decay", "replicate", "steps"]).to_frame(
        index=False
    )
    return frame.assign(
        status="ok", learning_time=frame["steps"] * 0.1, degree_normalized=0.2, neuron_count=10,
        converged=True, count_converged=True, unsettled="",
    )  # fmt: skip


def fronts() -> pd.DataFrame:
    """Trials of four lengths, whose boundary moves as the inverse of the length, in two rows."""
    axes = [np.linspace(0, 2, 21), [16, 32], range(4), [1, 2, 4, 8]]
    names = ["weight_decay", "width", "replicate", "steps"]
    frame = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    at = 1 + 0.4 / frame["steps"] + 0.02 * (frame["replicate"] - 1.5)
    return frame.assign(
        status="ok", converged=False, degree_normalized=1 / (1 + np.exp(5 * (frame["weight_decay"] - at)))
    )


def grams() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Gram matrices of two layers of networks of two widths."""
    rng = np.random.default_rng(0)
    trials = pd.DataFrame({"trial_id": list("abcdef"), "seed": [0, 0, 1, 1, 2, 2], "width": [8, 16] * 3})
    rows = [
        {"trial_id": trial, "layer": f"hidden.{layer}", "observable": "gram", "step": 5,
         "distances": rng.standard_normal(55)}
        for trial in "abcdef"
        for layer in (1, 2)
    ]  # fmt: skip
    return pd.DataFrame(rows), trials.assign(status="ok", replicate=trials["seed"], point_id=trials["width"])


def made() -> dict[type[Result], Result]:
    frame = trials()
    narrow = frame[frame["lr_over_batch"] < 1e-3]
    diagram = phase_diagram(narrow, "weight_decay", "width", level=0.7, resamples=20)
    fit = fit_scaling(frame, resamples=20)
    recounts = Recounts(frames={"halved": narrow, "doubled": narrow})
    history = course()
    numbers = planted(falling(lambda inputs: 0.3), [1, 2], decays=8, replicates=4, widths=(128, 256))
    counts = settled_counts(*numbers, ["inputs"])
    results: list[Result | None] = [
        diagram, fit, fit_collapse(frame, resamples=5), fit_strength(frame, resamples=3),
        distributions(frame, "weight_decay", size="width"),
        transition_order(narrow, "weight_decay", "width", level=0.7, resamples=20),
        slices(narrow, "weight_decay", by="width", level=0.7), trial_history(history, history),
        spectra(history, pd.DataFrame({"trial_id": ["a"], "weight_decay": [0.1]}), "weight_decay"),
        coincidence(history, shifts=99),
        compare_equal_noise(narrow.assign(learning_rate=narrow["width"] * 1e-4, temperature=1e-3,
                                          batch_size=32).drop(columns=["width", "lr_over_batch"])),
        recounts.sensitivity(diagram, narrow),
        boundary_systematics(narrow, diagram), replicates_needed(diagram, 0.1),
        boundary_roughness(phase_diagram(image(), "weight_decay", "init_scale", resamples=1)),
        depth_profile(*heads()), hysteresis(walks(), "alive_count"), breaking_times(*passages()),
        rank_trends(narrow, "neuron_count", {"weight_decay": "falls"}),
        width_saturation(frame, "neuron_count", ["lr_over_batch"]),
        compare_checkpoints(heads()[0].assign(effective_rank=2.0), [("w.pt", "w.pt")]),
        extension(lengths(), factors=[2]), boundary_limit(fronts(), "weight_decay", "width", resamples=20),
        alignment(*grams(), by="width"),
        universality(alignment(*grams(), by="width"), "hidden.1"),
        counts, count_exponents({"field": counts}, {1: 2, 2: 3}),
    ]  # fmt: skip
    return {type(result): result for result in results if result is not None}


@pytest.fixture(scope="module")
def results() -> dict[type[Result], Result]:
    return made()


def declared() -> set[str]:
    """The names of every result of the analysis."""
    for path in Path(phasediag.analysis.__file__).parent.glob("*.py"):
        import_module(f"phasediag.analysis.{path.stem}".removesuffix(".__init__"))
    return {kind.__name__ for kind in Result.__subclasses__()}


def test_every_result_is_tried_here(results: dict[type[Result], Result]) -> None:
    assert declared() == {kind.__name__ for kind in results}


def test_every_result_is_told_in_tables_words_and_plain_types(results: dict[type[Result], Result]) -> None:
    for kind, result in results.items():
        assert result.tables, kind
        assert all(isinstance(table, pd.DataFrame) and len(table) for table in result.tables.values()), kind
        assert result.findings, kind
        assert all(isinstance(text, str) and text for text in (*result.findings, *result.warnings)), kind
        assert result.summary(), kind
        assert json.loads(json.dumps(result.as_dict(), allow_nan=False)), kind


def test_every_result_has_its_figure(results: dict[type[Result], Result]) -> None:
    for kind, result in results.items():
        drawing = result.plot()
        assert isinstance(drawing, Axes | Figure), kind
        figure = drawing if isinstance(drawing, Figure) else drawing.figure
        figure.draw_without_rendering()
        ax = Figure(layout="constrained").add_subplot()
        if isinstance(drawing, Axes):
            assert result.plot(ax) is ax, kind
        else:
            with pytest.raises(AnalysisError, match="one Axes"):
                result.plot(ax)


def test_notebooks_say_what_the_summary_says(
    results: dict[type[Result], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "data:image/png;base64,iVBORw0KGgo" in results[PhaseDiagram]._repr_html_()
    monkeypatch.setattr(Result, "plot", lambda self: self)
    monkeypatch.setattr("phasediag.figures.style.png", lambda drawing: b"drawn")
    for kind, result in results.items():
        assert repr(result) == str(result) == result.summary(), kind
        shown, plain_words = unescape(result._repr_html_()), result._repr_markdown_().replace("\\", "")
        for text in (*result.findings, *result.warnings):
            assert text in shown, kind
            assert text in plain_words, kind
        assert b64encode(b"drawn").decode() in shown, kind


def test_tab_offers_what_is_public(results: dict[type[Result], Result]) -> None:
    for kind, result in results.items():
        offered = set(dir(result))
        assert not any(name.startswith("_") for name in offered), kind
        assert {"tables", "findings", "warnings", "summary", "plot", "to_xarray", "as_dict"} <= offered, kind
        assert all(hasattr(result, name) for name in offered), kind


def test_every_table_is_a_data_set_with_its_axes(results: dict[type[Result], Result]) -> None:
    pytest.importorskip("xarray")
    for kind, result in results.items():
        for name, table in result.tables.items():
            data = result.to_xarray(name)
            assert set(data.variables) - {"row"} == set(map(str, table.columns)), (kind, name)
            assert data.attrs["findings"] == "\n".join(result.findings)
            assert all(variable.attrs["long_name"] for variable in data.data_vars.values()), (kind, name)
        for name, over in result.over.items():
            if over and name in result.tables:
                assert set(result.to_xarray(name).sizes) == set(over), (kind, name)
        with pytest.raises(AnalysisError, match="has no table 'nonesuch'; tables: "):
            result.to_xarray("nonesuch")


def test_a_diagram_is_a_cube_of_its_cells() -> None:
    xarray = pytest.importorskip("xarray")
    frame = trials()
    hole = (frame["weight_decay"] == frame["weight_decay"].max()) & (frame["width"] == 64)
    diagram = phase_diagram(
        frame[~hole], "weight_decay", "width", order="neuron_count", level=20, resamples=20
    )
    data = diagram.to_xarray()
    assert dict(data.sizes) == {"lr_over_batch": 2, "width": 3, "weight_decay": 8}
    for _, cell in diagram.cells.iterrows():
        at = data.sel({name: cell[name] for name in ("lr_over_batch", "width", "weight_decay")})
        assert at["mean"] == cell["mean"]
        assert at["phase"] == cell["phase"]
    last = data.isel(weight_decay=-1).sel(width=64)
    assert np.isnan(last["mean"]).all()
    assert (last["phase"] == "").all()
    assert (data["mean"].attrs["units"], data["width"].attrs["units"]) == ("neurons", "neurons")
    assert data["mean"].attrs["long_name"] == "mean of distinct living neurons"
    crossings = diagram.to_xarray("boundary")
    assert isinstance(crossings, xarray.Dataset)
    for _, row in diagram.main.iterrows():
        at = crossings.sel(lr_over_batch=row["lr_over_batch"], width=row["width"], branch=1)
        np.testing.assert_equal(float(at["position"]), row["position"])


def test_without_xarray_it_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phasediag.analysis.cube.find_spec", lambda name: None)
    diagram = phase_diagram(image(), "weight_decay", "init_scale", resamples=1)
    with pytest.raises(PhasediagError, match=r"pip install 'phasediag\[xarray\]'"):
        diagram.to_xarray()


def test_what_is_not_known_is_not_drawn() -> None:
    unknown = Sensitivity(text="not computed", stable=None)
    assert (unknown.tables, unknown.findings) == ({}, ("not computed",))
    assert "<img" not in unknown._repr_html_()
    with pytest.raises(AnalysisError, match="not computed; there is nothing to draw"):
        unknown.plot()
    quiet = course().assign(degree=3)
    with pytest.raises(AnalysisError, match="No generator is lost"):
        coincidence(quiet).plot()


def test_plain_types_have_no_number_that_json_lacks() -> None:
    table = pd.DataFrame({"a": [1.5, np.nan], "b": pd.array([True, None], dtype="boolean"), "c": [1, 2]})
    value = {"x": np.float64(np.inf), "n": np.int64(3), "rows": table, "pair": (np.nan, "text"), "no": pd.NA}
    assert plain(value) == {
        "x": None, "n": 3, "no": None, "pair": [None, "text"],
        "rows": [{"a": 1.5, "b": True, "c": 1}, {"a": None, "b": None, "c": 2}],
    }  # fmt: skip
