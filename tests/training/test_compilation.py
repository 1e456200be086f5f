"""The traced and compiled step is the step that was written; a program is compiled once a machine."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from phasediag.training.compilation import Compiled, compiled_once
from trained_tiles import grid_of, tile_of, vmapped

CACHE = "TORCHINDUCTOR_CACHE_DIR"


@pytest.mark.usefixtures("untranslated")
def test_a_process_holds_any_number_of_programs() -> None:
    """Were they told apart by shapes that dynamo guards, the ninth would have been refused."""
    for width in range(2, 11):
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
        found, twice = double({"x": x}, b)
        assert torch.equal(found["sum"], x + b)
        assert torch.equal(found["x"], x)
        assert torch.equal(twice, 2 * b)


def test_one_compiles_and_the_others_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    order: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def compile_first() -> None:
        with compiled_once("a"):
            entered.set()
            release.wait(10)
            order.append("compiled")

    def load() -> None:
        with compiled_once("a"):
            order.append("loaded")

    first = threading.Thread(target=compile_first)
    first.start()
    assert entered.wait(10)
    others = [threading.Thread(target=load) for _ in range(2)]
    for thread in others:
        thread.start()
    with compiled_once("b"):
        assert order == []
    release.set()
    for thread in (first, *others):
        thread.join(10)
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
