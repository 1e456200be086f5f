"""What travels to a cluster: the grid and what it reaches, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasediag.errors import PhasediagError
from phasediag.grids.grid import read_grid
from phasediag.grids.settings import parse_setting
from phasediag.storage.folder import SCHEMES
from phasediag.submission.parcel import Parcel, check_storage
from phasediag.sweeps.sweep import completed
from small_sweeps import grid_text, write

NET = """
from pathlib import Path

import torch
from helper import squash

SCALE = float((Path(__file__).parent / "scale.txt").read_text())


class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.first = torch.nn.Linear(inputs, width)
        self.last = torch.nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(squash(SCALE * self.first(x)))
"""
AXES = {"weight_decay": "[0.01, 0.1]"}


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_only_what_the_grid_reaches_travels(tmp_path: Path) -> None:
    """A helper that is imported and a file that is opened do; a folder of results beside them does not."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net.py").write_text(NET)
    (tmp_path / "nets" / "helper.py").write_text("import torch\nsquash = torch.tanh\n")
    (tmp_path / "nets" / "scale.txt").write_text("0.5")
    (tmp_path / "nets" / "unused.py").write_text("x = 1\n")
    (tmp_path / "grids" / "sweeps").mkdir(parents=True)
    (tmp_path / "grids" / "sweeps" / "large.parquet").write_bytes(bytes(1000))
    grid = write(tmp_path / "grids", grid_text(AXES, {"model": "../nets/net.py:Net"}))
    parcel = Parcel.of(completed(read_grid(grid)))
    root = tmp_path / "sent"
    there = parcel.placed(root)
    assert there == "grid/grid.yaml"
    assert files_below(root) == {"grid/grid.yaml", "nets/net.py", "nets/helper.py", "nets/scale.txt"}
    again = completed(read_grid(root / there))
    assert again.trials().trial_id.tolist() == completed(read_grid(grid)).trials().trial_id.tolist()


def test_values_that_were_set_travel_in_the_grid(tmp_path: Path) -> None:
    grid = write(tmp_path, grid_text(AXES, {"steps": 100}))
    read = read_grid(grid, [parse_setting("steps=200")])
    there = Parcel.of(read).placed(tmp_path / "sent")
    sent = read_grid(tmp_path / "sent" / there)
    assert sent.fixed["steps"] == 200
    assert sent.trials().trial_id.tolist() == read.trials().trial_id.tolist()


def test_points_in_a_file_travel(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"weight_decay": [0.1, 0.2]}).to_parquet(tmp_path / "points.parquet")
    text = grid_text(AXES, {"steps": 100}).partition("axes:")[0] + "points: points.parquet\n"
    there = Parcel.of(read_grid(write(tmp_path, text))).placed(tmp_path / "sent")
    assert len(read_grid(tmp_path / "sent" / there).trials()) == 2


def test_a_digest_tells_grids_and_options_apart(tmp_path: Path) -> None:
    one = Parcel.of(read_grid(write(tmp_path / "a", grid_text(AXES, {"steps": 100}))))
    same = Parcel.of(read_grid(write(tmp_path / "b", grid_text(AXES, {"steps": 100}))))
    other = Parcel.of(read_grid(write(tmp_path / "c", grid_text(AXES, {"steps": 101}))))
    assert one.digest("s3://b") == same.digest("s3://b")
    assert len({one.digest("s3://b"), one.digest("s3://c"), other.digest("s3://b")}) == 3


@pytest.mark.parametrize(
    "storage",
    [
        "s3://bucket/sweeps",
        "gs://b/x?endpoint=1",
        "/shared/sweeps",
        "file:///x",
        *(f"{s}://b/x" for s in SCHEMES),
    ],
)
def test_a_storage_that_a_cluster_may_reach(storage: str) -> None:
    assert check_storage(storage) == storage


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("sweeps", "'sweeps' is no URI"),
        ("./sweeps", "is no URI"),
        ("~/sweeps", "is no URI"),
        ("", "is no URI"),
        ("s3://", "is no URI"),
        ("http://host/x", "names no storage that pyarrow opens (s3, gs"),
    ],
)
def test_a_storage_that_no_cluster_reaches_is_refused(storage: str, words: str) -> None:
    with pytest.raises(PhasediagError) as refused:
        check_storage(storage)
    assert words in str(refused.value)
    assert "s3://BUCKET/sweeps" in str(refused.value)
