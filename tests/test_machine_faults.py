"""What the machine is at fault for is never a result: real launches where something is broken."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pandas as pd
import pytest

import phasediag
from hard_machines import mounted, unprivileged
from native_calls import NATIVE
from phasediag.cli import main
from small_sweeps import assert_same_rows, command, grid_text, launched, trials, write

TEXT = grid_text({"weight_decay": "[0, 0.01, 0.1]"}, {"steps": 200})
SILENT = (
    "CXX",
    "TORCHINDUCTOR_CACHE_DIR",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "LNAME",
    "USERNAME",
    "XDG_CACHE_HOME",
)


def launch(
    folder: Path, *wrapper: str, text: str = TEXT, compile: str = "on", **environment: str
) -> subprocess.CompletedProcess[str]:
    """`phasediag launch`, in one process, with the environment changed."""
    grid, temporary = write(folder, text), folder / "tmp"
    temporary.mkdir(exist_ok=True)
    temporary.chmod(0o1777)
    inherited = {name: value for name, value in os.environ.items() if name not in SILENT}
    asked = command("launch", grid, "--storage", folder, "--executor", "inline", "--compile", compile)
    variables = inherited | {"TMPDIR": str(temporary)} | environment
    return subprocess.run(
        [*wrapper, *asked], env=variables, capture_output=True, text=True, timeout=240, check=False
    )


def assert_trained(outcome: subprocess.CompletedProcess[str], folder: Path, notes: int) -> None:
    """Every trial is a result; the user was told so often of what was given up, and of nothing else."""
    assert outcome.returncode == 0, outcome.stderr
    assert "3 of 3 trials done (0 diverged), 0 failed, 0 missing" in outcome.stderr
    lines = outcome.stderr.splitlines()
    assert sum(line.startswith("note: ") for line in lines) == notes, outcome.stderr
    assert all(line.startswith("note: ") or " trials" in line for line in lines), outcome.stderr
    assert set(phasediag.load_trials(str(folder / "g"))["status"]) == {"ok"}


@pytest.fixture(scope="module")
def uncompiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uncompiled")
    assert launched(folder, TEXT).exit_code == 0
    return folder / "g"


def broken(folder: Path, script: str) -> str:
    path = folder / "broken-c++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "script",
    ["", pytest.param("exit 1", marks=pytest.mark.slow),
     pytest.param("kill -SEGV $$", marks=pytest.mark.slow), 'touch "$0.ran"; exit 0'],
)  # fmt: skip
def test_without_a_compiler_that_works_steps_are_taken_as_they_are(
    uncompiled: Path, tmp_path: Path, script: str
) -> None:
    compiler = broken(tmp_path, script) if script else "no-such-compiler"
    outcome = launch(tmp_path, CXX=compiler, TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"))
    assert_trained(outcome, tmp_path, notes=1)
    assert "training uncompiled" in outcome.stderr
    pd.testing.assert_frame_equal(trials(tmp_path / "g"), trials(uncompiled), check_exact=True)


@NATIVE
def test_a_cache_that_cannot_be_written_is_left_for_another_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = launch(tmp_path, TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "file"))
    assert_trained(outcome, tmp_path, notes=1)
    assert f"programs are kept in {next(tmp_path.glob('tmp/torchinductor_*'))}" in outcome.stderr


@NATIVE
def test_a_program_that_was_cut_off_does_not_end_the_next_launch(tmp_path: Path) -> None:
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    assert_trained(launch(tmp_path / "first", **cache), tmp_path / "first", notes=0)
    programs = list((tmp_path / "cache" / "phasediag").glob("*.so"))
    for path in programs:
        os.truncate(path, path.stat().st_size // 2)
    assert_trained(launch(tmp_path / "second", **cache), tmp_path / "second", notes=0)
    assert programs
    assert_same_rows(tmp_path / "first" / "g", tmp_path / "second" / "g")


def test_a_user_without_a_name_trains() -> None:
    """As containers have it that run under a number: no name, no home."""
    wrapper = unprivileged()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:  # whose parents anybody may enter
        Path(place).chmod(0o1777)
        outcome = launch(Path(place), *wrapper, HOME="/")
        assert_trained(outcome, Path(place), notes=0)
        assert Path(place, "g").stat().st_uid == 12345


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@NATIVE
@pytest.mark.parametrize(
    "options", ["noexec", *(pytest.param(each, marks=pytest.mark.slow) for each in ("size=64k", "ro"))]
)
def test_a_cache_that_is_full_or_not_for_programs_is_left_for_another_one(
    tmp_path: Path, options: str
) -> None:
    place = folder(tmp_path / "place")
    outcome = launch(tmp_path, *mounted((place, options)), TORCHINDUCTOR_CACHE_DIR=str(place))
    assert_trained(outcome, tmp_path, notes=1)
    assert "programs are kept in" in outcome.stderr


@pytest.mark.parametrize("compile", ["on", "off"])
def test_a_cache_that_cannot_be_made_is_left_for_another_one(tmp_path: Path, compile: str) -> None:
    """torch's first derivative makes it, whoever compiles."""
    place = folder(tmp_path / "place")
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(place / "mine")}
    outcome = launch(tmp_path, *mounted((place, "ro")), compile=compile, **cache)
    assert_trained(outcome, tmp_path, notes=int(compile == "on"))
    assert (f"TORCHINDUCTOR_CACHE_DIR={place / 'mine'} cannot be made" in outcome.stderr) == (compile == "on")


def test_where_no_folder_is_for_programs_steps_are_taken_as_they_are(
    uncompiled: Path, tmp_path: Path
) -> None:
    """Hardened nodes mount all that a user may write in so."""
    own, temporary = folder(tmp_path / "own"), folder(tmp_path / "temporary")
    everywhere = [(place, "noexec") for place in (own, temporary, Path("/dev/shm"))]
    outcome = launch(tmp_path, *mounted(*everywhere), HOME=str(own), TMPDIR=str(temporary))
    assert_trained(outcome, tmp_path, notes=1)
    assert "training uncompiled" in outcome.stderr
    pd.testing.assert_frame_equal(trials(tmp_path / "g"), trials(uncompiled), check_exact=True)


def test_a_storage_that_is_full_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    place = folder(tmp_path / "g")
    outcome = launch(tmp_path, *mounted((place, "size=64k")))
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "No space left on device" in outcome.stderr
    assert "Traceback" not in outcome.stderr


LIMITED = """
import sys
from traceback import walk_stack

from phasediag.tasks.linear_map import LinearMap


class Task(LinearMap):
    def train_set(self):
        files = [frame.f_code.co_filename for frame, _ in walk_stack(sys._getframe())]
        if not any("dry_" in file for file in files):  # in training alone
            {raised}
        return super().train_set()
"""


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (
            "raise OSError(28, 'No space left on device', '/scratch/x')",
            2,
            "No space left on device: '/scratch",
        ),
        ("raise OSError(24, 'Too many open files', 'x')", 2, "ulimit -n"),
        ("raise PermissionError(13, 'Permission denied', 'data.npz')", 2, "'data.npz'"),
        ("raise FileNotFoundError(2, 'No such file', 'data.npz')", 1, "4 failed"),
        ("raise ValueError('no good')", 1, "4 failed"),
    ],
)
@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.slow)])
def test_no_trial_fails_for_what_the_machine_did(
    tmp_path: Path, raised: str, code: int, said: str, executor: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("RAY_ADDRESS", "")
    write(tmp_path, LIMITED.format(raised=raised), "my_task.py")
    fixed = {"task": "my_task.py:Task", "singular_values": "[1, 0.5]", "steps": 20}
    text = grid_text({"weight_decay": "[0.1, 0.2]"}, fixed, replicates=2).replace("  teacher_width: 4\n", "")
    grid = write(tmp_path, text)
    with pytest.raises(SystemExit) as ended:
        main([*f"launch {grid} --storage {tmp_path} --compile off --executor".split(), executor])
    printed = capsys.readouterr().err
    assert ended.value.code == code, printed
    assert said in printed
    assert "Traceback" not in printed
    failed = list((tmp_path / "g" / "trials").glob("*.parquet"))
    assert bool(failed) == (code == 1)
