"""A local Ray keeps its files where paths of sockets are short enough; each failure has its own advice."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hard_machines import mounted
from phasediag.executors.ray_tune import folders
from phasediag.executors.ray_tune.folders import own_folder, scratch_folder
from phasediag.executors.ray_tune.local import way_out
from small_sweeps import command, grid_text, run, write


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_path_gets_a_short_folder_of_its_own(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("slurm_jobdir_" + 60 * "x")
    long.mkdir()
    monkeypatch.setenv(variable, str(long))
    own = own_folder()
    assert own is not None
    try:
        assert len(f"{own}{folders.INSIDE}") < folders.SOCKET_BYTES
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
        assert own.name.startswith(f"pd-{os.getuid()}-")
    finally:
        own.rmdir()


def test_the_usual_folder_serves_where_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_folder() is None
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert own_folder() is None


def test_a_folder_without_room_is_left_for_another_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(folders, "is_roomy", lambda place: place == "/var/tmp")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = own_folder()
    assert own is not None
    own.rmdir()
    assert own.parent == Path("/var/tmp")
    scratch = Path(scratch_folder())
    scratch.rmdir()
    assert scratch.parent == Path("/var/tmp")


def test_what_is_named_for_ray_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/proc/nowhere")
    assert own_folder() is None


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes"),
            "shorter path",
        ),
        (OSError(28, "No space left on device"), "free some space"),
        (RuntimeError("raylet: No space left on device"), "free some space"),
        (PermissionError(13, "Permission denied"), "may read and write"),
        (RuntimeError("fork: Resource temporarily unavailable"), "ulimit -u"),
        (Exception("The current node timed out during startup."), "too busy or short of memory"),
    ],
)
def test_each_cause_has_its_advice(error: Exception, advice: str) -> None:
    assert advice in way_out(error)


def test_a_place_in_which_nothing_can_be_written_is_the_cause(tmp_path: Path) -> None:
    late = Exception("The current node timed out during startup.")
    assert folders.blocked(tmp_path) == {}
    blocked = folders.blocked(tmp_path / "gone")
    assert way_out(late, blocked) == (
        f"it needs to write in {tmp_path / 'gone'} (No such file or directory): make that possible, and "
        "launch again"
    )


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Processes that begin within the block may make no larger files, as by `ulimit -f`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_limit_of_the_size_of_files_is_the_cause(tmp_path: Path) -> None:
    """Ray's processes are ended by it without a word."""
    with files_of_at_most(100 * 2**20):
        assert folders.blocked(tmp_path) == {
            "/dev/shm": "a file may have 104,857,600 bytes here, Ray's has 268,435,456: `ulimit -f unlimited`"
        }
    with files_of_at_most(2**30):
        assert folders.blocked(tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("size", [100_000, 200 * 2**20])
def test_a_limit_of_the_size_of_files_is_not_called_a_busy_machine(size: int, tmp_path: Path) -> None:
    grid = write(tmp_path, grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 20}))
    with files_of_at_most(size):
        outcome = run(
            "launch", grid, "--storage", tmp_path, "--compile", "off", env=os.environ | {"RAY_ADDRESS": ""}
        )
    assert outcome.returncode == 2, outcome.stderr
    assert f"a file may have {size:,} bytes here" in outcome.stderr
    assert "busy" not in outcome.stderr
    with files_of_at_most(300 * 2**20):
        outcome = run(
            "launch", grid, "--storage", tmp_path, "--compile", "off", env=os.environ | {"RAY_ADDRESS": ""}
        )
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.slow
def test_a_machine_on_which_nothing_can_be_written_is_not_called_busy() -> None:
    wrapper = mounted(*((Path(place), "ro") for place in ("/tmp", "/dev/shm")))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        grid = write(Path(place), grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 20}))
        outcome = subprocess.run(
            [*wrapper, *command("launch", grid, "--storage", place, "--compile", "off")],
            env=os.environ | {"HOME": "/proc", "RAY_ADDRESS": ""}, capture_output=True, text=True,
            timeout=240, check=False,
        )  # fmt: skip
    assert outcome.returncode == 2, outcome.stderr
    assert "/dev/shm (Read-only file system)" in outcome.stderr
    assert "busy" not in outcome.stderr


def test_a_cause_that_is_not_known_is_not_called_a_busy_machine() -> None:
    assert way_out(ValueError("something else")) == "launch again"


@pytest.mark.slow
def test_a_launch_with_a_long_tmpdir_trains_and_leaves_nothing(tmp_path: Path) -> None:
    long = tmp_path / ("slurm_jobdir_" + 60 * "x")
    long.mkdir()
    before = set(Path("/tmp").glob("pd-*"))
    grid = write(tmp_path, grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 20}))
    environment = os.environ | {"TMPDIR": str(long), "RAY_ADDRESS": ""}
    outcome = run("launch", grid, "--storage", tmp_path, "--compile", "off", env=environment)
    assert outcome.returncode == 0, outcome.stderr
    assert "2 of 2 trials done" in outcome.stderr
    assert set(Path("/tmp").glob("pd-*")) <= before
