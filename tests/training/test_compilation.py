"""The traced and compiled step is the step that was written; a program is compiled once a machine."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._inductor.exc import CppCompileError, InductorError, InvalidCxxCompiler

from phasediag.training import compilation
from phasediag.training.compilation import Compiled, compiled_once
from phasediag.training.steps import Vmapped
from phasediag.training.tiles import Program, Tile
from trained_tiles import grid_of, tile_of, vmapped

CACHE = "TORCHINDUCTOR_CACHE_DIR"


@pytest.mark.usefixtures("untranslated")
def test_a_process_holds_any_number_of_programs() -> None:
    """Were they told apart by shapes that dynamo guards, the ninth would have been refused."""
    square = Compiled(lambda x: x.square().sum())
    for width in range(2, 20):
        x = torch.arange(float(width))
        assert torch.equal(square(x), x.square().sum())
    assert len(square._programs) == 18


@pytest.mark.usefixtures("untranslated")
@pytest.mark.parametrize("width", [2, 10])
def test_a_compiled_tile_takes_the_steps_of_an_eager_one(width: int) -> None:
    fixed = {"task": "teacher_student", "width": width, "steps": 3, "batch_size": 8, "dtype": "float64"}
    trials = grid_of(fixed, {"weight_decay": [0.1, 0.2]}).trials()
    compiled, eager = vmapped(trials), tile_of(trials)
    for tile in (compiled, eager):
        tile.advance(3)
    for name, weights in eager.state.weights.items():
        torch.testing.assert_close(compiled.state.weights[name], weights, rtol=1e-10, atol=1e-12)
    assert compiled.program.compile_s > 0
    assert eager.program.compile_s == 0


@pytest.mark.usefixtures("untranslated")
def test_nested_arguments_and_results_keep_their_shape() -> None:
    double = Compiled(lambda a, b: ({"sum": a["x"] + b, "x": a["x"]}, 2 * b))
    for rows, value in ((2, 1.0), (2, 5.0), (4, 3.0), (2, 7.0)):
        x, b = torch.full((rows, 3), value), torch.ones(rows, 3)
        doubled, twice = double({"x": x}, b)
        assert torch.equal(doubled["sum"], x + b)
        assert torch.equal(doubled["x"], x)
        assert torch.equal(twice, 2 * b)


def test_one_compiles_and_the_others_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    order: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def compile_first() -> None:
        with compiled_once("a"):
            entered.set()
            release.wait()
            order.append("compiled")

    def load() -> None:
        with compiled_once("a"):
            order.append("loaded")

    first = threading.Thread(target=compile_first)
    first.start()
    assert entered.wait(120)
    others = [threading.Thread(target=load) for _ in range(2)]
    for thread in others:
        thread.start()
    with compiled_once("b"):
        assert order == []
    release.set()
    for thread in (first, *others):
        thread.join()
    assert order == ["compiled", "loaded", "loaded"]


def test_a_compilation_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))

    def fail() -> Any:
        with compiled_once("a"):
            raise RuntimeError("no compiler")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="no compiler"):
            fail()
    assert not list(tmp_path.rglob("*.done"))
    with compiled_once("a"):
        assert not list(tmp_path.rglob("*.done"))
    assert len(list(tmp_path.rglob("*.done"))) == 1


FAULTS = {
    "a full folder": OSError(errno.ENOSPC, "No space left on device"),
    "a program that does not load": ImportError("x.so: failed to map segment from shared object"),
    "a compiler that fails": CppCompileError(["g++"], "omp.h: No such file or directory"),
    "a compiler that is not there": InvalidCxxCompiler(),
    "what torch makes of one": InductorError(OSError(errno.EROFS, "Read-only file system"), None),
}


def tile(width: int) -> Tile:
    """Of a program that has no native one."""
    fixed = {"task": "teacher_student", "width": width, "steps": 3, "batch_size": 8}
    trials = grid_of(fixed, {"weight_decay": [0.1, 0.2]}).trials()
    program = Program(trials.record(0), Path(), torch.device("cpu"), True)
    program.steps = Vmapped(program.network, program.device, compiled=True)
    return program.tile(trials)


def assert_plain(uncompiled: Tile) -> None:
    """It has trained as if it had never been asked to be compiled."""
    plain = tile_of(uncompiled.trials)
    plain.advance(3)
    for name, weights in plain.weights.items():
        assert torch.equal(uncompiled.weights[name], weights)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_machine_is_found_once_and_steps_are_taken_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    calls = failing(monkeypatch, tmp_path, FAULTS[fault])
    for width in (3, 4, 5):
        trained = tile(width)
        trained.advance(3)
        assert_plain(trained)
        assert "training uncompiled" in trained.program.notice
    assert calls == [None]


def test_what_one_function_is_at_fault_for_is_tried_again_with_another_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = failing(monkeypatch, tmp_path, AssertionError("a case that nobody thought of"))
    for width in (3, 4):
        trained = tile(width)
        trained.advance(3)
        assert_plain(trained)
        assert "nobody thought of" in trained.program.notice
    assert calls == [None, None]


def test_a_want_of_memory_is_left_to_whoever_makes_tiles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing(monkeypatch, tmp_path, MemoryError())
    with pytest.raises(MemoryError):
        tile(3).advance(3)


def test_the_compiler_of_torch_works_where_programs_can_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "named").write_text("in the way")
    monkeypatch.setenv(CACHE, str(tmp_path / "named"))
    others = {name: value for name, value in os.environ.items() if name != CACHE}
    seen: dict[str, str] = {}

    def look(graph: Any, flat: Any) -> Any:
        seen.update(os.environ)
        return graph

    monkeypatch.setattr(compilation, "translated", look)
    tile(3).advance(3)
    assert Path(seen[CACHE]).is_dir()
    assert seen["TMPDIR"].startswith(seen[CACHE])
    assert dict(os.environ) == others  # torch itself would fail where it cannot make the folder


def failing(monkeypatch: pytest.MonkeyPatch, folder: Path, error: Exception) -> list[None]:
    """Let every translation fail; gives what grows with each."""
    calls: list[None] = []

    def fail(graph: Any, flat: Any) -> Any:
        calls.append(None)
        raise error

    monkeypatch.setenv(CACHE, str(folder))
    monkeypatch.setattr(compilation, "translated", fail)
    kept: list[str] = []
    monkeypatch.setattr(compilation, "faults", lambda: kept)
    return calls
