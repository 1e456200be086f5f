"""A program compiled ahead is the one that a worker finds; a compilation that fails disturbs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from phasediag.training import ahead
from phasediag.training.ahead import Compiler
from phasediag.training.network import network_of
from phasediag.training.pack import Pack, cost_of, make_pack
from trained_tiles import grid_of, tile_of

CACHE = "TORCHINDUCTOR_CACHE_DIR"
ISA_TRUSTED = "TORCHINDUCTOR_VEC_ISA_OK"


def pack_of_four() -> Pack:
    fixed = {"task": "teacher_student", "width": 4, "steps": 3, "batch_size": 8}
    trials = grid_of(fixed, {"weight_decay": [0.1, 0.2, 0.3, 0.4]}).trials()
    cost = cost_of(network_of(trials.record(0), Path()), trials.record(0))
    return make_pack(trials, 4, True, cost, shared=True)


def test_a_process_that_fails_or_is_late_disturbs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.setattr(ahead, "MODULE", "phasediag.no_such_module")
    with Compiler() as compiler:
        compiler.compile(pack_of_four(), {}, 1)
        time.sleep(0.01)
    monkeypatch.setattr(ahead, "MODULE", "timeit")
    with Compiler() as compiler:
        compiler.compile(pack_of_four(), {}, 1)
    assert not list(tmp_path.rglob("*.done"))


def test_one_that_is_asked_for_nothing_ends_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    with Compiler() as compiler:
        started = time.monotonic()
    compiler.close()
    assert time.monotonic() - started < 5
    assert not list(tmp_path.rglob("*.done"))


def test_one_can_be_started_before_torch_is_imported() -> None:
    """That is what makes it early."""
    code = (
        "import sys, phasediag.cli, phasediag.training.ahead; print(*{m.split('.')[0] for m in sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "ray", "pandas", "numpy"}.isdisjoint(run.stdout.split())


@pytest.mark.slow
def test_the_processor_and_a_trial_build_agree_on_vector_units() -> None:
    """So a program that was compiled without the trial computes the same bits."""
    code = "from torch._inductor.cpu_vec_isa import pick_vec_isa; print(pick_vec_isa())"
    found = []
    for trust in ({}, {ISA_TRUSTED: "1"}):
        environment = {name: value for name, value in os.environ.items() if name != ISA_TRUSTED} | trust
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        found.append(run.stdout)
    assert found[0] == found[1] != ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_worker_finds_what_was_compiled_ahead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    pack = pack_of_four()
    with Compiler() as compiler:
        compiler.compile(pack, {}, torch.get_num_threads())
        deadline = time.monotonic() + 240
        while not list(tmp_path.rglob("*.done")) and time.monotonic() < deadline:
            time.sleep(0.2)
    assert len(list(tmp_path.rglob("*.done"))) == 1
    built = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.so")}
    assert built
    tile_of(pack.trials, compiled=True).advance(3)
    assert len(list(tmp_path.rglob("*.done"))) == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.so")} == built
