"""The axes of a sweep are what its grids give values to and what varies besides; results are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import phasediag
from phasediag.analysis.axes import axes_of, check_axes, given_in, parameters_of, unnamed_axes
from phasediag.errors import AnalysisError
from phasediag.storage.launches import LAUNCHES


def lattice(**axes: list[object]) -> pd.DataFrame:
    frame = pd.MultiIndex.from_product([*axes.values(), range(2)], names=[*axes, "replicate"])
    return frame.to_frame(index=False).assign(status="ok", neuron_count=3, point_id=lambda f: f.index // 2)


def test_what_follows_from_the_axes_is_none() -> None:
    frame = lattice(weight_decay=[0.1, 0.2, 0.3], lr_over_batch=[1e-3, 1e-2]).assign(batch_size=32)
    frame["learning_rate"] = frame["lr_over_batch"] * 32
    assert {name: len(values) for name, values in axes_of(frame).items()} == {
        "weight_decay": 3, "lr_over_batch": 2,
    }  # fmt: skip
    assert list(axes_of(frame, within=["lr_over_batch"])) == ["weight_decay"]
    assert list(axes_of(frame, without=["weight_decay"])) == ["lr_over_batch"]
    assert {"replicate", "status", "neuron_count"}.isdisjoint(parameters_of(frame))


def test_what_differs_between_replicates_of_a_point_is_a_result() -> None:
    frame = lattice(weight_decay=[0.1, 0.2])
    frame["measured_by_me"] = np.arange(len(frame))
    assert list(axes_of(frame)) == ["weight_decay"]


@pytest.mark.parametrize("written", ["lr_over_batch", "learning_rate"])
def test_of_what_determines_each_other_the_grids_say_which_is_the_axis(written: str) -> None:
    frame = lattice(weight_decay=[0.1, 0.2], lr_over_batch=[1e-3, 1e-2])
    frame["learning_rate"] = frame["lr_over_batch"] * 32
    frame.attrs[LAUNCHES] = {"given": ["weight_decay", written]}
    assert list(axes_of(frame)) == ["weight_decay", written]
    assert unnamed_axes(frame, ("weight_decay",), "neuron_count") == (written,)


def test_of_two_lengths_that_of_fewer_values_is_the_axis() -> None:
    frame = lattice(learning_rate=[0.1, 0.2, 0.4], learning_time=[100.0, 200.0])
    frame["steps"] = (frame["learning_time"] / frame["learning_rate"]).astype(int)
    assert list(axes_of(frame)) == ["learning_time", "learning_rate"]
    fixed = lattice(learning_rate=[0.1, 0.2, 0.4], steps=[100, 200])
    fixed["learning_time"] = fixed["steps"] * fixed["learning_rate"]
    assert list(axes_of(fixed)) == ["steps", "learning_time"]


def test_an_axis_of_many_values_must_be_named() -> None:
    frame = lattice(weight_decay=[0.1, 0.2], width=list(range(1, 8)))
    with pytest.raises(
        AnalysisError, match=r"'width' varies too \(7 values\).* name it in one of them, .*width="
    ):
        unnamed_axes(frame, ("weight_decay",), "neuron_count")
    assert unnamed_axes(frame, ("weight_decay", "width"), "neuron_count") == ()


@pytest.mark.parametrize(
    ("axes", "facets", "message"),
    [
        ([("x", "width"), ("y", "width")], (), "named twice"), ([("x", "width")], ("width",), "named twice"),
        ([("x", "bias")], (), "only one value"), ([("x", "label_noise")], (), "null or infinite in 2 of"),
        ([("x", "task")], (), "has only one value"),
    ],
)  # fmt: skip
def test_axes_that_span_nothing_are_refused(
    axes: list[tuple[str, str]], facets: tuple[str, ...], message: str
) -> None:
    frame = lattice(width=[4, 8]).assign(bias=1, task="t", label_noise=[0.0, 1.0, np.nan, np.nan])
    with pytest.raises(AnalysisError, match=message):
        check_axes(frame, axes, facets)


@pytest.mark.parametrize("form", ["axes", "points", "file"])
def test_frames_of_a_sweep_know_what_its_grids_give_values_to(form: str, tmp_path: Path) -> None:
    decays = pd.DataFrame({"weight_decay": [0.1, 0.2], "learning_rate": [0.01, 0.02]})
    decays.to_parquet(tmp_path / "points.parquet")
    values = {
        "axes": "axes: {weight_decay: [0.1, 0.2], learning_rate: [0.01, 0.02]}",
        "points": f"points: {decays.to_dict(orient='records')}",
        "file": "points: points.parquet",
    }
    fixed = "task: scalar_linear, model: mlp, depth: 2, width: 2, steps: 2, batch_size: 4"
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"name: chain\nfixed: {{{fixed}}}\n{values[form]}\n")
    phasediag.launch(grid, storage=str(tmp_path), executor="inline", compile="off")
    trials = phasediag.load_trials(tmp_path / "chain")
    assert given_in(trials) == {"weight_decay", "learning_rate"}
    assert given_in(trials[trials["weight_decay"] > 0]) == given_in(trials)
    axes = axes_of(trials)
    assert list(axes) == ["weight_decay", "learning_rate"] if form == "axes" else "lr_over_batch" not in axes
