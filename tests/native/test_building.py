"""A program is compiled once a machine; without a compiler there are none."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch

from native_calls import NATIVE
from phasediag.cli import main
from phasediag.native import building
from phasediag.native.building import (
    cache_folder,
    given_up,
    kept_folders,
    library,
    settle_cache,
    suits,
    working_folder,
)
from phasediag.native.compiler import ToolchainError, compiler
from phasediag.native.lowering import UnsupportedError
from phasediag.native.remembered import drop_damaged, libraries, remember
from phasediag.training.steps import Vmapped
from small_sweeps import ended
from trained_tiles import grid_of, tile_of

ANSWER = 'extern "C" int answer() { return 42; }\n'


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """One of this test alone; the places after it are not those of this machine either."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "named"))
    monkeypatch.setattr(building, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    for known in (compiler, building._toolchain_of):
        known.cache_clear()
    yield
    for known in (compiler, building._toolchain_of):
        known.cache_clear()


def command(folder: Path, text: str) -> str:
    """A compiler of one's own making; the test's own one is `$REAL`."""
    path = folder / "compiler.sh"
    path.write_text(f"#!/bin/sh\nREAL={shutil.which('c++')}\n{text}\n")
    path.chmod(0o755)
    return str(path)


@NATIVE
def test_a_program_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert library(ANSWER).answer() == 42
    monkeypatch.setattr(subprocess, "Popen", None)
    assert library(ANSWER).answer() == 42
    assert [path.suffix for path in cache_folder().iterdir()] == [".so"]


@NATIVE
def test_what_the_compiler_refuses_is_told_and_no_fault_of_the_machine() -> None:
    with pytest.raises(UnsupportedError, match="undeclared_thing") as caught:
        library("int broken = undeclared_thing;")
    assert not isinstance(caught.value, ToolchainError)
    assert library(ANSWER).answer() == 42
    assert (suits(), given_up()) == (True, "")


@NATIVE
def test_a_folder_that_does_not_serve_is_left_for_another_one_once(tmp_path: Path) -> None:
    (tmp_path / "named").write_text("in the way")
    assert library(ANSWER).answer() == 42
    assert working_folder() == next(tmp_path.glob("torchinductor_*")) / "phasediag"
    assert str(tmp_path / "named") in given_up()
    (tmp_path / "named").unlink()
    assert library("int another() { return 1; }")
    assert not (tmp_path / "named").exists()


@NATIVE
def test_without_any_place_the_machine_is_at_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(building, "_folders", lambda: iter([tmp_path / "file" / "phasediag"]))
    with pytest.raises(ToolchainError, match="no program can be written or loaded"):
        library(ANSWER)
    assert (suits(), working_folder()) == (False, None)
    assert "Not a directory" in given_up()


@NATIVE
@pytest.mark.parametrize("kept", [0, 100, 0.5, -1])
def test_a_program_that_was_cut_off_is_built_again(kept: float) -> None:
    """Loading it would end the process by SIGBUS."""
    library(ANSWER)
    (built,) = cache_folder().iterdir()
    content = built.read_bytes()
    built.unlink()  # the loader keeps what it has loaded by its place on the disk
    built.write_bytes(content[: int(kept * len(content)) if kept == 0.5 else int(kept)])
    assert library(ANSWER).answer() == 42
    assert len(built.read_bytes()) == len(content)


BROKEN = {
    "refuses": "echo nonsense >&2; exit 1",
    "crashes": "kill -SEGV $$",
    "makes nothing": "exit 0",
    "makes no program": 'while [ "$1" != -o ]; do shift; done; echo nonsense > "$2"',
    "makes wrong programs": 'exec $REAL -Danswer=other "$@"',
}


@NATIVE
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_compiler_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str) -> None:
    monkeypatch.setenv("CXX", command(tmp_path, f"echo >> {tmp_path}/calls; {BROKEN[fault]}"))
    compiler.cache_clear()
    if fault == "makes wrong programs":
        assert working_folder() is None
    else:
        with pytest.raises(ToolchainError):
            library(ANSWER)
    calls = (tmp_path / "calls").read_text()
    assert given_up()
    for _ in range(8):
        assert (suits(), working_folder()) == (False, None)
        with pytest.raises(ToolchainError):
            library(ANSWER)
    assert (tmp_path / "calls").read_text() == calls
    assert not [path for path in tmp_path.rglob("*") if path.suffix in {".cpp", ".so", ".txt"}]


class Impatient(subprocess.Popen):  # type: ignore[type-arg]
    """A compiler that is waited for no longer once a condition holds of what it compiles."""

    over: Callable[[Impatient], bool]

    def wait(self, timeout: float | None = None) -> int:
        if timeout is None:
            return super().wait()
        while not self.over() and self.poll() is None:
            time.sleep(0.01)
        return super().wait(0)


@NATIVE
def test_a_compiler_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both for the program and for the one by which it is tried; each once it has begun to hang."""
    hanging = tmp_path / "hanging"
    hanging.mkdir()
    script = f"sleep 1234 & echo $! > {hanging}/$$.new; mv {hanging}/$$.new {hanging}/$$; wait"

    class Hanging(Impatient):
        over = lambda compiler: (hanging / str(compiler.pid)).exists()  # noqa: E731

    monkeypatch.setattr(subprocess, "Popen", Hanging)
    monkeypatch.setenv("CXX", command(tmp_path, script))
    compiler.cache_clear()
    with pytest.raises(ToolchainError, match="does not come to an end"):
        library(ANSWER)
    assert not suits()
    sleeping = {int(path.read_text()) for path in hanging.iterdir()}
    assert len(sleeping) == 2
    ended([each for each in psutil.process_iter(["cmdline"]) if each.pid in sleeping and runs_sleep(each)])


def runs_sleep(process: psutil.Process) -> bool:
    """Whether a process is one of these, and none that has its number since."""
    return process.info["cmdline"] == ["sleep", "1234"]


@NATIVE
def test_a_program_that_takes_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Impatient):
        over = lambda compiler: "// slowly" in Path(compiler.args[-1]).read_text()  # noqa: E731

    monkeypatch.setattr(subprocess, "Popen", Slow)
    assert library(f"// slowly\n{ANSWER}").answer() == 42


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
@NATIVE
def test_programs_of_another_user_are_not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    planted = cache_folder().parent
    planted.mkdir()
    os.chown(planted, 12345, 12345)
    assert library(ANSWER).answer() == 42
    assert not list(planted.iterdir())
    assert "belongs to another user" in given_up()


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_torch_loads_no_programs_of_another_user_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    settle_cache()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ  # the folder that torch takes by itself is ours
    planted = cache_folder().parent
    os.chown(planted, 12345, 12345)
    settle_cache()
    taken = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert taken != planted
    assert (taken.stat().st_uid, taken.stat().st_mode & 0o777) == (os.getuid(), 0o700)


@pytest.mark.parametrize("place", ["torchinductor", "phasediag"])
@NATIVE
def test_programs_in_a_folder_that_others_can_write_to_are_not_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    folder = cache_folder()
    (folder if place == "phasediag" else folder.parent).mkdir(parents=True)
    open_to_all = folder if place == "phasediag" else folder.parent
    open_to_all.chmod(0o777)
    assert library(ANSWER).answer() == 42
    if place == "torchinductor":
        assert not list(folder.parent.iterdir())
        assert f"others may write to {folder.parent}" in given_up()
    else:
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
@NATIVE
def test_a_program_that_another_user_has_planted_is_made_anew() -> None:
    library(ANSWER)
    (built,) = cache_folder().iterdir()
    content = built.read_bytes()
    built.unlink()
    built.write_bytes(content)
    os.chown(built, 12345, 12345)
    assert library(ANSWER).answer() == 42
    assert built.stat().st_uid == os.getuid()


@NATIVE
def test_a_link_in_place_of_the_folder_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    (tmp_path / "planted").mkdir()
    cache_folder().parent.mkdir(mode=0o700)
    cache_folder().symlink_to(tmp_path / "planted")
    assert library(ANSWER).answer() == 42
    assert not list((tmp_path / "planted").iterdir())
    assert "is no folder" in given_up()


@NATIVE
def test_folders_of_programs_are_this_users_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    library(ANSWER)
    for folder in (cache_folder(), cache_folder().parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert kept_folders() == [cache_folder()]


def test_a_library_of_torch_that_was_damaged_is_deleted(tmp_path: Path) -> None:
    note, folder = tmp_path / "x.done", tmp_path / "cache"
    (folder / "ab").mkdir(parents=True)
    (folder / "ab" / "old.so").write_bytes(b"old")
    before = libraries(folder)
    (folder / "ab" / "new.so").write_bytes(b"whole")
    remember(note, folder, before)
    assert not drop_damaged(note, folder)
    (folder / "ab" / "new.so").write_bytes(b"who")
    assert drop_damaged(note, folder)
    assert [path.name for path in folder.rglob("*.so")] == ["old.so"]
    assert not note.exists()
    for text, dropped in (("", False), ("[1]", True), ("{", True)):
        note.write_text(text)
        assert drop_damaged(note, folder) is dropped


@NATIVE
def test_programs_are_removed_by_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    library(ANSWER)
    main(["cache"])
    assert str(cache_folder()) in capsys.readouterr().out
    main(["cache", "--remove"])
    assert not cache_folder().exists()
    assert library(ANSWER).answer() == 42


@NATIVE
def test_other_compilers_have_programs_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    library(ANSWER)
    monkeypatch.setenv("CXX", "c++ -g")
    compiler.cache_clear()
    library(ANSWER)
    assert len(list(cache_folder().iterdir())) == 2


@pytest.mark.parametrize("named", ["no-such-compiler", " ", "'", "no/such/folder/c++ -O1"])
def test_a_compiler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("CXX", named)
    compiler.cache_clear()
    assert (compiler(), suits(), working_folder()) == ((), False, None)
    assert named in given_up()


def test_other_processors_have_no_native_programs(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert "training uncompiled" in asked.program.notice
    for name, weights in eager.weights.items():
        assert torch.equal(asked.weights[name], weights)
