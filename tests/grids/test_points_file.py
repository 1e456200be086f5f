"""Points that were written by pandas: its index, and numbers of single precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phasediag.errors import GridError
from phasediag.grids.grid import Grid, read_grid
from phasediag.storage.store import Store
from phasediag.sweeps.notices import notices_of
from small_sweeps import write

TEXT = "name: g\nfixed: {task: teacher_student, inputs: 4, samples: 32, steps: 20}\npoints: points.parquet\n"
DECAYS = [0.0001, 0.001, 0.01, 0.1]
FRAME = pd.DataFrame({"weight_decay": DECAYS, "width": [4, 8, 16, 32]})


def read(folder: Path, frame: pd.DataFrame, more: str = "") -> Grid:
    frame.to_parquet(folder / "points.parquet")
    return read_grid(write(folder, TEXT + more))


@pytest.mark.parametrize(
    "frame",
    [
        FRAME[FRAME["width"] > 4], FRAME.sort_values("width", ascending=False).set_axis([7, 5, 3, 1]),
        FRAME.set_index("width"), FRAME.set_index(["width", "weight_decay"]), FRAME.rename_axis("row")[1:],
        FRAME.set_index("width", append=True), FRAME.set_axis(list("abcd")),
        pd.concat({"one": FRAME, "two": FRAME.assign(weight_decay=0.5)}),
    ],
)  # fmt: skip
def test_an_index_is_a_parameter_or_left_out(tmp_path: Path, frame: pd.DataFrame) -> None:
    trials = read(tmp_path, frame).trials()
    flat = frame.reset_index()
    expected = set(zip(flat["weight_decay"], flat["width"], strict=True))
    assert set(zip(trials.values("weight_decay"), trials.values("width"), strict=True)) == expected


def test_an_index_that_is_nearly_a_parameter_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="did you mean 'width'"):
        read(tmp_path, FRAME.rename(columns={"width": "widht"}).set_index("widht"))


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_numbers_of_less_precision_are_read_by_their_shortest_decimal(tmp_path: Path, kind: str) -> None:
    values = pa.array(np.array([0.001, 0.1, 0.3], dtype=kind))
    pq.write_table(pa.table({"weight_decay": values}), tmp_path / "points.parquet")
    decays = read_grid(write(tmp_path, TEXT)).trials().values("weight_decay")
    assert decays.tolist() == [0.001, 0.1, 0.3]


def test_lists_and_categories_of_single_precision_too(tmp_path: Path) -> None:
    text = "name: g\nfixed: {task: linear_map, samples: 32, inputs: 2, width: 4, outputs: 2}\n"
    text += "points: points.parquet\n"
    lists = pa.array([[1.0, 0.3], [0.7, 0.1]], pa.list_(pa.float32()))
    decays = pa.array([0.001, 0.1], pa.float32()).dictionary_encode()
    pq.write_table(pa.table({"singular_values": lists, "init_scale": decays}), tmp_path / "points.parquet")
    trials = read_grid(write(tmp_path, text)).trials()
    assert list(trials.values("singular_values")) == [(1.0, 0.3), (0.7, 0.1)]
    assert trials.values("init_scale").tolist() == [0.001, 0.1]


def test_single_precision_beside_an_axis_of_the_same_values(tmp_path: Path) -> None:
    frame = pd.DataFrame({"weight_decay": np.array(DECAYS, dtype="float32")})
    grid = read(tmp_path, frame, "axes: {weight_decay: {logspace: [1e-4, 1e-1], num: 4}}\n")
    assert len(grid.trials()) == 4
    assert notices_of(grid, Store.at(tmp_path / "g")) == ()


def test_values_that_print_alike_are_told(tmp_path: Path) -> None:
    frame = pd.DataFrame({"weight_decay": np.array(DECAYS, dtype="float32").astype(float)})
    grid = read(tmp_path, frame, "axes: {weight_decay: {logspace: [1e-4, 1e-1], num: 4}}\n")
    assert len(grid.trials()) == 8
    (notice,) = notices_of(grid, Store.at(tmp_path / "g"))
    assert "print alike but are trained as different points (and 3 more such pairs)" in notice
