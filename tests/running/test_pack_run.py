"""A pack in slices: stopped anywhere and continued from its checkpoint, it leaves the same rows."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from phasediag.errors import MachineError
from phasediag.grids.grid import Grid, parse_grid
from phasediag.packing.pack import Pack
from phasediag.running import pack_run
from phasediag.running.pack_run import PackRun
from phasediag.storage.store import Store
from small_sweeps import assert_same_rows, grid_text
from trained_tiles import job_of, pack_of

CPU = torch.device("cpu")
GRID = grid_text(
    {"weight_decay": "[0.01, 0.1, 1]", "learning_rate": "[0.01, 0.02, 1000]"},
    {"steps": 120, "optimizer": "adam"},
    replicates=2,
    measure="{observables: [permutation, rank], every: 25, distances: all}",
)


@pytest.fixture
def grid() -> Grid:
    return parse_grid(GRID, Path("grid.yaml"))


def finished(grid: Grid, pack: Pack, store: Store) -> PackRun:
    run = PackRun(pack, job_of(grid, store), store, CPU)
    while not run.done:
        run.advance(60)
    return run


def stopped_at(grid: Grid, pack: Pack, store: Store, steps: int) -> PackRun:
    """A run of the pack, left with a checkpoint at so many steps of its second tile."""
    run = PackRun(pack, job_of(grid, store), store, CPU)
    while len(run.finished) < 1:
        run.advance(0.01)
    work = run.current.work if run.current else run.queue.popleft()
    run.current = pack_run.TileRun(pack, run.job, CPU, work)
    run.current.advance_to(steps)
    run.checkpoint()
    return run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of a pack that was trained at a stretch: by law 1 those of tiles of any size."""
    folder, grid = tmp_path_factory.mktemp("undisturbed"), parse_grid(GRID, Path("grid.yaml"))
    finished(grid, pack_of(grid, 7), Store.at(folder))
    return folder


@pytest.mark.parametrize("steps", [0, 1, 25, 59, 60, 61, 108, 119, 120])
def test_a_continued_pack_leaves_the_rows_of_an_undisturbed_one(
    steps: int, grid: Grid, undisturbed: Path, tmp_path: Path
) -> None:
    pack = pack_of(grid, 7)
    parts = Store.at(tmp_path / "parts")
    left = stopped_at(grid, pack, parts, steps)
    assert parts.checkpoints() == [pack.pack_id]
    assert not (tmp_path / "parts" / "trials").exists()
    again = finished(grid, pack, parts)
    assert again.progress().resumed == pytest.approx(7 + 7 * steps / 120)
    assert again.finished[0].trials.equals(left.finished[0].trials)
    assert parts.checkpoints() == []
    assert_same_rows(undisturbed, tmp_path / "parts")


def test_a_stop_at_every_slice(grid: Grid, undisturbed: Path, tmp_path: Path) -> None:
    pack = pack_of(grid, 7)
    parts = Store.at(tmp_path / "parts")
    done = [0.0]
    while True:
        run = PackRun(pack, job_of(grid, parts), parts, CPU)
        progress = run.advance(0.02)
        if progress.done:
            break
        assert progress.trials_done > done[-1]
        done.append(progress.trials_done)
        run.checkpoint()
    assert len(done) > 3
    assert_same_rows(undisturbed, tmp_path / "parts")


def test_a_long_pack_checkpoints_by_itself(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_run, "CHECKPOINT_SECONDS", 0.0)
    store = Store.at(tmp_path)
    pack = pack_of(grid, 7)
    progress = PackRun(pack, job_of(grid, store), store, CPU).advance(0.01)
    assert store.checkpoints() == [pack.pack_id]
    resumed = PackRun(pack, job_of(grid, store), store, CPU).progress()
    assert resumed.resumed == resumed.trials_done == progress.trials_done > 0


def test_a_damaged_checkpoint_is_begun_again(grid: Grid, undisturbed: Path, tmp_path: Path) -> None:
    pack = pack_of(grid, 7)
    store = Store.at(tmp_path / "damaged")
    stopped_at(grid, pack, store, 60)
    (file,) = (path for path in (tmp_path / "damaged" / "checkpoints").rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes()[:-10])
    assert finished(grid, pack, store).progress().resumed == 0
    assert_same_rows(undisturbed, tmp_path / "damaged")


def test_memory_that_is_too_small_halves_the_tile(
    grid: Grid, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = pack_of(grid, 18)
    small = Store.at(tmp_path / "small")
    advance, sizes = pack_run.TileRun.advance, []

    def limited(run: pack_run.TileRun, deadline: float) -> None:
        sizes.append(len(run.tile.trials))
        if sizes[-1] > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        advance(run, deadline)

    monkeypatch.setattr(pack_run.TileRun, "advance", limited)
    assert finished(grid, pack, small).progress().failed == 0
    assert sizes[:3] == [18, 9, 4]
    assert_same_rows(undisturbed, tmp_path / "small")


@pytest.mark.parametrize(("tiles", "sizes"), [(1.0, [18]), (0.5, [9, 9]), (0.4, [6] * 3), (0.01, [2] * 9)])
def test_a_device_with_less_room_takes_smaller_tiles(
    tiles: float,
    sizes: list[int],
    grid: Grid,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pack = pack_of(grid, 18)
    small = Store.at(tmp_path / "small")
    monkeypatch.setattr(pack_run, "room", lambda device: tiles * pack.projected_bytes)
    run = PackRun(pack, job_of(grid, small), small, CPU)
    assert [work.size for work in run.queue] == [len(work.rows) for work in run.queue] == sizes
    notice = f"no room for tiles of 18 trials: taking {sizes[0]}"
    assert run.progress().notice == (notice if tiles < 1 else "")
    finished(grid, pack, small)
    assert_same_rows(undisturbed, tmp_path / "small")


def test_checkpoints_that_take_long_are_far_apart(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_run, "CHECKPOINT_SECONDS", 0.0)
    for share, seldom in ((1e-9, True), (1e9, False)):
        monkeypatch.setattr(pack_run, "CHECKPOINT_SHARE", share)
        store, pack = Store.at(tmp_path / str(share)), pack_of(grid, 2)
        run = PackRun(pack, job_of(grid, store), store, CPU)
        saved: list[str] = []
        monkeypatch.setattr(Store, "write_checkpoint", lambda store, name, files, to=saved: to.append(name))
        for _ in range(4):
            run.advance(0.001)
        assert not run.done
        assert (len(saved) == 1) is seldom


def test_the_share_of_wall_time_adds_up(grid: Grid, tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    finished(grid, pack_of(grid, 7), store)
    seconds = store.trials_table(["wall_s"])["wall_s"].to_numpy()
    assert (seconds > 0).all()
    assert 0 < np.sum(seconds) < 120


def test_every_waiting_tile_is_halved_with_the_one_that_was_too_large(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would raise as well; and the launch is told in one line."""
    sizes = []
    advance = pack_run.TileRun.advance

    def limited(run: pack_run.TileRun, deadline: float) -> None:
        sizes.append(len(run.tile.trials))
        if sizes[-1] > 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        advance(run, deadline)

    monkeypatch.setattr(pack_run.TileRun, "advance", limited)
    run = finished(grid, pack_of(grid, 9), Store.at(tmp_path))
    assert [size for size in sizes if size > 5] == [9]
    assert run.progress().notice == "out of memory with tiles of 9 trials: going on with 4"
    rows = Store.at(tmp_path).trials_table(["trial_id", "status"])
    assert len(set(rows["trial_id"].to_pylist())) == len(rows) == 18
    assert "failed" not in rows["status"].to_pylist()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EDQUOT, "Disk quota exceeded"), MachineError),
        (RuntimeError("can't start new thread"), MachineError),
        (
            torch.AcceleratorError("CUDA error: illegal memory access"),
            torch.AcceleratorError,
        ),
    ],
)
def test_a_machine_at_fault_leaves_every_trial_to_be_trained(
    error: Exception,
    kind: type[Exception],
    grid: Grid,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pack, advance = pack_of(grid, 9), pack_run.TileRun.advance
    store = Store.at(tmp_path / "stopped")
    run, calls = PackRun(pack, job_of(grid, store), store, CPU), []

    def faulty(tile: pack_run.TileRun, deadline: float) -> None:
        calls.append(tile)
        if len(calls) == 2:
            if kind is MachineError:
                raise ValueError("whatever a library makes of it") from error
            raise error
        advance(tile, deadline)

    monkeypatch.setattr(pack_run.TileRun, "advance", faulty)
    with pytest.raises(kind):
        run.advance(600)
    assert len(run.queue) == 1
    assert run.progress().failed == 0
    run.checkpoint()
    finished(grid, pack, store)
    assert_same_rows(undisturbed, tmp_path / "stopped")


def test_memory_is_recorded_beside_its_projection(grid: Grid, tmp_path: Path) -> None:
    store, pack = Store.at(tmp_path), pack_of(grid, 7)
    finished(grid, pack, store)
    rows = store.trials_table(["projected_bytes", "measured_bytes"])
    assert set(rows["projected_bytes"].to_pylist()) == {pack.projected_bytes}
    assert min(rows["measured_bytes"].to_pylist()) > 2**20


def test_the_phases_of_a_pack_add_up_to_its_time(grid: Grid, tmp_path: Path) -> None:
    started = time.monotonic()
    spent = finished(grid, pack_of(grid, 7), Store.at(tmp_path)).progress().spent
    assert spent["compilation"] == 0
    assert all(spent[phase] > 0 for phase in ("training", "measurement", "writing"))
    assert sum(spent.values()) <= time.monotonic() - started
