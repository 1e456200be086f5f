"""A program compiled ahead is the one that a worker finds; a compilation that fails disturbs nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from phasediag.training import ahead
from phasediag.training.ahead import compiling_ahead
from phasediag.training.network import network_of
from phasediag.training.pack import Pack, cost_of, make_pack
from trained_tiles import grid_of, tile_of

CACHE = "TORCHINDUCTOR_CACHE_DIR"


def pack_of_four() -> Pack:
    fixed = {"task": "teacher_student", "width": 4, "steps": 3, "batch_size": 8}
    trials = grid_of(fixed, {"weight_decay": [0.1, 0.2, 0.3, 0.4]}).trials()
    return make_pack(trials, 4, True, cost_of(network_of(trials.record(0), Path()), trials.record(0)))


def test_a_process_that_fails_or_is_late_disturbs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.setattr(ahead, "MODULE", "phasediag.no_such_module")
    with compiling_ahead(pack_of_four(), {}, 1):
        time.sleep(0.01)
    monkeypatch.setattr(ahead, "MODULE", "timeit")
    with compiling_ahead(pack_of_four(), {}, 1):
        pass
    assert not list(tmp_path.rglob("*.done"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_worker_finds_what_was_compiled_ahead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    pack = pack_of_four()
    with compiling_ahead(pack, {}, torch.get_num_threads()):
        deadline = time.monotonic() + 240
        while not list(tmp_path.rglob("*.done")) and time.monotonic() < deadline:
            time.sleep(0.2)
    assert len(list(tmp_path.rglob("*.done"))) == 1
    built = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.so")}
    assert built
    tile_of(pack.trials, compiled=True).advance(3)
    assert len(list(tmp_path.rglob("*.done"))) == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.so")} == built
