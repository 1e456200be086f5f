"""A program is compiled once a machine; without a compiler there are none."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from native_calls import NATIVE
from phasediag.native import building
from phasediag.native.building import cache_folder, compiler, library, suits
from phasediag.native.lowering import UnsupportedError
from phasediag.training.steps import Vmapped
from trained_tiles import grid_of, tile_of

ANSWER = 'extern "C" int answer() { return 42; }\n'


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compiler.cache_clear()
    yield
    compiler.cache_clear()


@NATIVE
def test_a_program_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert library(ANSWER).answer() == 42
    monkeypatch.setattr(subprocess, "run", None)
    assert library(ANSWER).answer() == 42
    assert [path.suffix for path in cache_folder().iterdir()] == [".so"]


@NATIVE
def test_what_the_compiler_refuses_is_told() -> None:
    with pytest.raises(UnsupportedError, match="undeclared_thing"):
        library("int broken = undeclared_thing;")


@NATIVE
def test_without_a_place_for_it_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(UnsupportedError, match="cannot be written"):
        library(ANSWER)


@NATIVE
def test_other_compilers_have_programs_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    library(ANSWER)
    monkeypatch.setenv("CXX", "c++ -g")
    compiler.cache_clear()
    library(ANSWER)
    assert len(list(cache_folder().iterdir())) == 2


@pytest.mark.parametrize("lacking", ["compiler", "processor"])
def test_where_there_can_be_none(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    if lacking == "compiler":
        monkeypatch.setenv("CXX", "no-such-compiler")
        compiler.cache_clear()
    else:
        monkeypatch.setattr(building, "PROCESSORS", ())
    assert not suits()


def test_without_a_compiler_steps_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    compiler.cache_clear()
    fixed = {"task": "teacher_student", "width": 4, "steps": 3, "batch_size": 8}
    trials = grid_of(fixed, {"weight_decay": [0.1, 0.2]}).trials()
    asked, eager = tile_of(trials, compiled=True), tile_of(trials)
    for tile in (asked, eager):
        tile.advance(3)
    assert isinstance(asked.program.steps, Vmapped)
    for name, weights in eager.weights.items():
        assert torch.equal(asked.weights[name], weights)
