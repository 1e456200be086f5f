"""`diagram` and `scaling` say what the analysis finds."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from phasediag.analysis import frames, sensitivity
from phasediag.commands.distribution import distribution
from phasediag.commands.results import diagram, scaling
from phasediag.errors import PhasediagError

XS = np.geomspace(1e-3, 0.3, 8)


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A count of two widths, 10 / sqrt(decay + noise), that all commands read."""
    rng = np.random.default_rng(0)
    axes = [XS, [3e-4, 3e-3], [8, 16, 32], [0.1, 1.0], range(4)]
    names = ["weight_decay", "lr_over_batch", "width", "init_scale", "replicate"]
    frame = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    expected = 2 * (frame["weight_decay"] / 2 + 5 * frame["lr_over_batch"]) ** -0.5
    frame = frame.assign(status="ok", converged=True, neuron_count=rng.poisson(expected))
    frame["degree_normalized"] = 1 - frame["neuron_count"] / 70
    monkeypatch.setattr(frames, "load_trials", lambda path: frame)
    monkeypatch.setattr(frames, "load_for", lambda path, texts: frame)
    monkeypatch.setattr(sensitivity, "load_recounted", lambda path, trials, factor: trials)
    return frame


def answer_of(command: object, *arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(command, ["sweep", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize("method", ["level", "slope"])
def test_a_diagram_along_one_axis(sweep: pd.DataFrame, tmp_path: Path, method: str) -> None:
    path = tmp_path / "line.png"
    answer = answer_of(diagram, "--x", "weight_decay", "--where", "init_scale=1.0", "--method", method,
                 "--order", "neuron_count / width", "--where", "width=8", "--output", str(path))  # fmt: skip
    assert path.read_bytes().startswith(b"\x89PNG")
    assert len(answer["boundary"]) == 2
    assert {"position", "low", "high", "converged"} <= set(answer["boundary"][0])


def test_a_diagram_shows_the_exact_boundary_where_it_is_known(
    sweep: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = {"task": "hermite", "model": "hermite", "optimizer": "sgd", "batch_size": 0}
    exact = sweep.assign(**fixed, teacher_weights=[(1.0, 0.2)] * len(sweep))
    chosen = ("--where", "init_scale=1.0", "--where", "lr_over_batch=0.0003", "--level", "0.7")
    drawn = []
    for number, trials in enumerate((sweep, exact)):
        monkeypatch.setattr(frames, "load_for", lambda path, texts, trials=trials: trials)
        path = tmp_path / f"{number}.svg"
        answer_of(diagram, "--x", "weight_decay", "--y", "width", *chosen, "--output", str(path))
        drawn.append(path.read_text())
    assert ["exact (E9)" in text for text in drawn] == [False, True]


def test_the_order_of_the_transition(sweep: pd.DataFrame, tmp_path: Path) -> None:
    answer = answer_of(diagram, "--x", "weight_decay", "--y", "lr_over_batch", "--where", "width=8",
                 "--level", "0.7", "--transition", "--starts", "init_scale", "--facet", "init_scale",
                 "--output", str(tmp_path / "d.svg"))  # fmt: skip
    assert {row["verdict"] for row in answer["transition"]} <= {"first order", "continuous", "cannot tell"}
    assert len(answer["transition"]) == 2


def test_a_level_is_for_the_method_level(sweep: pd.DataFrame) -> None:
    with pytest.raises(PhasediagError, match="no meaning with --method slope"):
        answer_of(diagram, "--x", "weight_decay", "--method", "slope", "--level", "0.5")


def test_a_scaling_with_everything(sweep: pd.DataFrame) -> None:
    arguments = ("--x", "weight_decay", "--window", "0", "1", "--collapse", "--strength",
                 "--where", "init_scale=1.0")  # fmt: skip
    answer = answer_of(scaling, *arguments)
    assert {"exponent", "low", "high", "window", "n", "models", "claims", "independence"} <= set(answer)
    assert answer["collapse"]["parameters"]["y_exponent"]["low"] is not None
    assert {model["name"] for model in answer["strength"]["models"]} >= {"one strength", "weight decay alone"}
    assert [claim["verdict"] for claim in answer["claims"]][1:] == ["cannot tell", "supported"]
    text = CliRunner().invoke(scaling, ["sweep", *arguments], catch_exceptions=False).stdout
    assert "cannot tell: neuron_count is independent of width" in text
    assert "neuron_count follows the combined strength" in text


@pytest.mark.slow
def test_the_roughness_of_a_boundary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes may be elements of a list; a straight boundary has dimension 1 and a coarse grid none."""
    rates = np.geomspace(0.1, 10, 80)
    pairs = [(a, b) for a in rates for b in rates]
    frame = pd.DataFrame({"layer_rates": pairs, "replicate": 0, "status": "ok", "converged": True})
    frame["degree_normalized"] = [float(a > b**0.8) for a, b in pairs]
    monkeypatch.setattr(frames, "load_for", lambda path, texts: frame)
    monkeypatch.setattr(sensitivity, "load_recounted", lambda path, trials, factor: trials)
    axes = ("--x", "layer_rates[0]", "--y", "layer_rates[1]", "--output", str(tmp_path / "rough.png"))
    roughness = answer_of(diagram, *axes, "--roughness")["roughness"]
    assert isinstance(roughness, dict)
    assert roughness["dimension"] == pytest.approx(1, abs=0.05)
    assert roughness["crossings"] == 1
    result = CliRunner().invoke(diagram, ["sweep", *axes, "--roughness"], catch_exceptions=False)
    assert "smooth line" in result.stderr
    assert "... and 40 more rows of the table boundary: --json has all" in result.stderr
    assert len(result.stderr.splitlines()) < 100
    monkeypatch.setattr(frames, "load_for", lambda path, texts: frame.iloc[: 20 * 80])
    with pytest.raises(PhasediagError, match="20 x 80 cells are too few"):
        CliRunner().invoke(diagram, ["sweep", *axes, "--roughness"], catch_exceptions=False)


def test_other_axes_are_facets_of_a_scaling(sweep: pd.DataFrame, tmp_path: Path) -> None:
    """Pooled, their exponent was none of either."""
    arguments = ("--x", "weight_decay", "--window", "0", "1", "--where", "init_scale=1.0")
    path = tmp_path / "fit.png"
    apart = answer_of(scaling, *arguments, "--output", str(path))["facets"]
    assert [fit["of"] for fit in apart] == [{"lr_over_batch": 3e-4}, {"lr_over_batch": 3e-3}]
    for fit in apart:
        value = str(fit["of"]["lr_over_batch"])
        alone = answer_of(scaling, *arguments, "--where", f"lr_over_batch={value}")
        assert alone["exponent"] == fit["exponent"]
    assert apart[0]["exponent"] < apart[1]["exponent"]
    assert {file.name for file in tmp_path.iterdir()} == {
        "fit-lr_over_batch=0.0003.png", "fit-lr_over_batch=0.003.png",
    }  # fmt: skip


def test_a_facet_without_a_law_is_named_and_hinders_no_other(
    sweep: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count that does not vary in one facet: the other has its law; in no facet: all are named."""
    arguments = ("--x", "weight_decay", "--window", "0", "1", "--where", "init_scale=1.0")
    quiet = sweep["lr_over_batch"] == 3e-4
    flat = sweep.assign(status=sweep["status"].where(~quiet, "diverged"))
    monkeypatch.setattr(frames, "load_trials", lambda path: flat)
    without, fit = answer_of(scaling, *arguments)["facets"]
    assert without["of"] == {"lr_over_batch": 3e-4}
    assert set(without) == {"of", "no_fit"}
    assert isinstance(fit["exponent"], float)
    said = CliRunner().invoke(scaling, ["sweep", *arguments], catch_exceptions=False).stdout
    assert f"lr_over_batch = 0.0003:\nno law is fitted: {without['no_fit']}\nlr_over_batch = 0.003:" in said
    monkeypatch.setattr(frames, "load_trials", lambda path: sweep.assign(status="diverged"))
    with pytest.raises(PhasediagError, match=r"^lr_over_batch = 0\.0003; lr_over_batch = 0\.003: "):
        answer_of(scaling, *arguments)


def test_an_axis_of_many_values_is_refused_by_a_scaling(
    sweep: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = sweep.assign(label_noise=np.arange(len(sweep)) % 7)
    monkeypatch.setattr(frames, "load_trials", lambda path: many)
    with pytest.raises(
        PhasediagError, match=r"'label_noise' varies too .* none of x, y; .*label_noise=0 \(--where"
    ):
        answer_of(
            scaling, "--x", "weight_decay", "--where", "init_scale=1.0", "--where", "lr_over_batch=0.003"
        )


def test_the_distribution_over_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two peaks that join along x: its cumulants, densities and figure."""
    rng = np.random.default_rng(0)
    axes = [[16, 64], np.linspace(0.3, 0.7, 5), range(200)]
    frame = pd.MultiIndex.from_product(axes, names=["width", "weight_decay", "replicate"])
    frame = frame.to_frame(index=False).assign(status="ok", converged=True)
    peak = 3 / (1 + np.exp((frame["weight_decay"] - 0.5) * np.sqrt(frame["width"]) / 0.5))
    frame["m"] = rng.choice([-1, 1], len(frame)) * peak + rng.normal(0, 1, len(frame))
    monkeypatch.setattr(frames, "load_for", lambda path, texts: frame)
    drawing = tmp_path / "distribution.png"
    arguments = ("--x", "weight_decay", "--order", "m", "--size", "width", "--output", str(drawing))
    answer = answer_of(distribution, *arguments)
    assert answer["crossings"][0]["position"] == pytest.approx(0.5, abs=0.1)
    assert len(answer["moments"]) == 10
    assert drawing.read_bytes().startswith(b"\x89PNG")
    result = CliRunner().invoke(distribution, ["sweep", *arguments], catch_exceptions=False)
    assert "the Binder cumulants of width 16 and 64 cross" in result.stderr
    assert result.stdout.strip() == str(drawing)


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize("command", [diagram, scaling, distribution])
def test_who_names_no_column_is_told_the_axes(command: click.Command) -> None:
    result = CliRunner().invoke(command, ["sweep"])
    assert result.exit_code == 2
    axes = "weight_decay, lr_over_batch, init_scale, width"
    assert f"Missing option '--x'. sweep has the axes {axes}" in result.output
