"""Checkpoints are written and read in one place; those of another version are left aside, and said to be."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import phasediag
from phasediag.grids.grid import Grid, parse_grid
from phasediag.packing.pack import Pack, pack_of
from phasediag.packing.structure import structure_of
from phasediag.running import checkpoint
from phasediag.running.checkpoint import Checkpoint, FinishedTile, Header, SavedTile
from phasediag.running.job import Job, TileWork
from phasediag.running.pack_run import PackRun
from phasediag.storage.kept_weights import Kept, KeptGroup
from phasediag.storage.store import Store
from small_sweeps import assert_same_rows, grid_text, launched, write

GRID = grid_text({"weight_decay": "[0.01, 0.1, 1]", "learning_rate": "[0.01, 0.02]"}, {"steps": 60})
LEFT = "left aside"


@pytest.fixture
def grid() -> Grid:
    return parse_grid(GRID, Path("grid.yaml"))


def pack(grid: Grid) -> Pack:
    trials = grid.trials()
    structure = structure_of(trials.record(0), grid.parameters)
    return pack_of(trials, structure, Path(), tile_size=3, compiled=False)


def run_of(grid: Grid, store: Store) -> PackRun:
    job = Job(sweep=store.folder.uri, measure=grid.measure, parameters=grid.parameters)
    return PackRun(pack(grid), job, store, torch.device("cpu"))


def kept(grid: Grid, store: Store) -> PackRun:
    """A pack left with a checkpoint in the middle of its second tile."""
    run = run_of(grid, store)
    while not run.finished:
        run.advance(0.01)
    while run.current is None:
        run._work(0.0)
    run.checkpoint()
    return run


def changed(store: Store, pack_id: str, **values: Any) -> None:
    """Write other values into what fits JSON of a checkpoint; None removes one."""
    files = store.read_checkpoint(pack_id)
    assert files is not None
    state = {**json.loads(files["pack.json"]), **values}
    state = {name: value for name, value in state.items() if value is not None}
    store.write_checkpoint(pack_id, {**files, "pack.json": json.dumps(state).encode()})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    rows = pa.table({"trial_id": ["a"], "status": ["ok"]})
    tile = SavedTile(
        work=TileWork(rows=np.array([3, 1]), size=4), step=17, wall_s=1.5, blocks=[{"step": 3}, "b"],
        started_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        arrays={"state/w": np.arange(6.0).reshape(2, 3), "0/d": np.zeros((2, 0), dtype=np.float32)},
        carried=pa.table({"step": [0, 1]}),
    )  # fmt: skip
    header = Header(
        trial_ids=("a", "b", "c"),
        tile_size=4,
        compiled=True,
        shared=True,
        envelope={"width": 16},
        measure="m",
        origin={"step": 3, "trial_id": ["d", "e", "f"], "pack_id": ["q", "q", "r"]},
    )
    group = KeptGroup(trial_ids=("b", "a"), arrays={"w": np.arange(4.0).reshape(2, 2)})
    done = FinishedTile(trials=rows, measurements=rows, kept=Kept(groups=(group,)))
    written = Checkpoint(
        header=header, error="E", current=tile, finished=(done,) * 11,
        queue=(TileWork(rows=np.arange(2), size=2), TileWork(rows=np.array([], dtype=np.int64), size=3)),
    )  # fmt: skip
    checkpoint.write(store, "p", written)
    assert store.checkpoints() == ["p"]
    read = checkpoint.read(store, "p")
    assert read is not None
    assert (read.header, read.error) == (header, "E")
    assert read.header == checkpoint.read_header(store, "p")
    assert [(w.rows.tolist(), w.size) for w in read.queue] == [([0, 1], 2), ([], 3)]
    assert len(read.finished) == 11
    assert all(tile.trials.equals(rows) and tile.measurements.equals(rows) for tile in read.finished)
    assert all(tile.kept.trial("a")["w"].tolist() == [2.0, 3.0] for tile in read.finished)  # type: ignore[index]
    again = read.current
    assert again is not None
    assert (again.work.rows.tolist(), again.work.size) == ([3, 1], 4)
    assert (again.step, again.wall_s, again.started_at, again.blocks) == (
        17,
        1.5,
        tile.started_at,
        tile.blocks,
    )
    assert again.carried is not None
    assert again.carried.equals(tile.carried)
    assert again.arrays.keys() == tile.arrays.keys()
    for name, array in tile.arrays.items():
        assert again.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(again.arrays[name], array)


def test_rows_of_an_earlier_release_lack_columns(grid: Grid, tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    run = kept(grid, store)
    saved = checkpoint.read(store, run.pack.pack_id)
    assert saved is not None
    first, *rest = saved.finished
    rows, measured = first.trials, first.measurements
    earlier = FinishedTile(
        trials=rows.drop_columns(["host"]), measurements=measured.drop_columns(["degree"])
    )  # fmt: skip
    checkpoint.write(store, run.pack.pack_id, replace(saved, finished=(earlier, *rest)))
    again = run_of(grid, store)
    while not again.done:
        again.advance(1.0)
    assert Counter(store.trials_table()["host"].to_pylist()) == {None: 3, gethostname(): 3}
    lacking = np.isin(store.measurements_table()["trial_id"].to_pylist(), rows["trial_id"].to_pylist())
    degree = np.array(store.measurements_table()["degree"].to_pylist(), dtype=float)
    assert np.isnan(degree[lacking]).all()
    assert not np.isnan(degree[~lacking]).any()


def test_there_may_be_none(tmp_path: Path) -> None:
    assert checkpoint.read(Store.at(tmp_path), "p") is None
    assert checkpoint.read_header(Store.at(tmp_path), "p") is None


@pytest.mark.parametrize("lacking", ["trial_ids", "queue", "error", "envelope", "measure"])
def test_one_that_lacks_something_is_damaged(lacking: str, grid: Grid, tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    run = kept(grid, store)
    changed(store, run.pack.pack_id, **{lacking: None})
    assert checkpoint.read(store, run.pack.pack_id) is None
    assert run_of(grid, store).progress().resumed == 0


@pytest.mark.parametrize("version", [None, 0, checkpoint.VERSION + 1])
def test_one_of_another_version_is_left_aside(version: int | None, grid: Grid, tmp_path: Path) -> None:
    """Of those without a version too; only its trials are asked for, whatever else it holds."""
    undisturbed, store = Store.at(tmp_path / "whole"), Store.at(tmp_path / "left")
    run = kept(grid, store)
    changed(store, run.pack.pack_id, version=version, tile_size=None, current="another format", queue=7)
    header = checkpoint.read_header(store, run.pack.pack_id)
    assert header is not None
    assert not header.readable
    assert header.trial_ids == tuple(run.pack.trials.trial_id)
    again = run_of(grid, store)
    assert again.progress().resumed == 0
    assert checkpoint.read(store, run.pack.pack_id) is None
    for each in (again, run_of(grid, undisturbed)):
        while not each.done:
            each.advance(60)
    assert store.checkpoints() == []
    assert_same_rows(tmp_path / "whole", tmp_path / "left")


@pytest.mark.parametrize("version", [checkpoint.VERSION, 0])
def test_plan_and_launch_tell_of_what_is_left_aside(
    version: int, tmp_path: Path, grid: Grid, capfd: pytest.CaptureFixture[str]
) -> None:
    path, store = write(tmp_path, GRID), Store.open(tmp_path, "g")
    run = kept(grid, store)
    changed(store, run.pack.pack_id, version=version)
    foreign = version != checkpoint.VERSION
    planned = phasediag.plan(path, str(tmp_path), compile_mode="off")
    assert any(LEFT in note for note in planned.notes) is foreign
    continued = [each for each in planned.packs if each.pack_id == run.pack.pack_id]
    assert continued or foreign
    assert all(each.structure == run.pack.structure for each in continued)
    notices: list[str] = []
    assert launched(tmp_path, GRID, notify=notices.append).exit_code == 0
    assert any(LEFT in sentence for sentence in notices) is foreign
    launched(tmp_path, GRID)
    assert store.checkpoints() == []
