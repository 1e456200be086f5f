"""The command line: exit codes, messages, progress. What a user sees."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from broken_grids import BROKEN
from phasediag import cli
from phasediag.cli import main
from phasediag.commands import progress
from phasediag.commands.progress import ProgressLine, described, duration, size
from phasediag.executors.watch import Watch
from phasediag.running.job import Progress
from phasediag.running.tile_run import TileRun
from phasediag.storage.store import Store
from small_sweeps import assert_same_rows, command, grid_text, launched, run, write

RAISING_TASK = """
from phasediag.tasks.teacher_student import TeacherStudent

class Task(TeacherStudent):
    def unit_noise(self, generator, count):
        if 0 < generator.bit_generator.state["state"]["counter"][1] < 2**40:
            raise ArithmeticError("two lines\\nof text")
        return super().unit_noise(generator, count)
"""
"""Cannot draw its later blocks of fresh noise: no dry step shows it."""
Captured = pytest.CaptureFixture[str]
TINY = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 10})
KINDS = [
    "no yaml", "duplicate key", "unknown top key", "unknown fixed key", "another task's key", "wrong type",
    "nan",
    "fixed and axis", "empty axis", "duplicate value", "all three", "fresh full batch", "too many",
    "exclude a call", "no such file", "unknown task", "no name",
]  # fmt: skip


def exit_code(*arguments: Any) -> int:
    """How `phasediag ARGUMENTS` ends, in this process."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize("command_name", ["plan", "launch"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_grid_is_refused_on_one_screen(
    kind: str, command_name: str, tmp_path: Path, capsys: Captured
) -> None:
    text, line, key, said = BROKEN[kind]
    grid = write(tmp_path, text)
    assert exit_code(command_name, grid, "--storage", tmp_path / "sweeps") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert f"{grid}:{line}: " in err
    assert said in err
    assert key == "file" or f"{key}: " in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 24
    assert not (tmp_path / "sweeps").exists()


def test_a_command_gives_sigterm_back() -> None:
    """To a notebook or a test that runs commands in its own process."""
    before = signal.getsignal(signal.SIGTERM)
    for arguments in (["--version"], ["plan", "no such grid.yaml"]):
        with suppress(SystemExit):
            main(arguments)
        assert signal.getsignal(signal.SIGTERM) is before


def test_all_faults_of_a_grid_are_told_at_once(tmp_path: Path, capsys: Captured) -> None:
    text = "name: g\nfixed:\n  task: teacher_student\n  steps: many\n  weight_deca: 1\naxes:\n  width: []\n"
    assert exit_code("plan", write(tmp_path, text)) == 2
    lines = [re.search(r"grid\.yaml:(\d+): (\S+):", line) for line in capsys.readouterr().err.splitlines()]
    assert [(fault[1], fault[2]) for fault in lines if fault] == [
        ("4", "fixed.steps"),
        ("5", "fixed.weight_deca"),
        ("7", "axes.width"),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["launch", "nowhere.yaml"], "nowhere.yaml"),
        (["launch"], "Missing argument 'GRID'"),
        (["launch", "GRID", "--executor", "dask"], "'dask' is not one of"),
        (["launch", "GRID", "--time-limit", "soon"], "'soon' is no time"),
        (["launch", "GRID", "--max-failures", "0"], "--max-failures"),
        (["status", "nowhere"], "no sweep at"),
        (["lanch", "GRID"], "No such command 'lanch'"),
        (["launch", "GRID", "--storage", "gopher://x"], "gopher"),
    ],
)
def test_what_cannot_be_done_exits_2(
    arguments: list[str], said: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = write(tmp_path, TINY)
    assert exit_code(*(str(grid) if a == "GRID" else a for a in arguments)) == 2
    out, err = capsys.readouterr()
    assert (out, said in err, "Traceback" in err) == ("", True, False), err


def test_a_launch_prints_the_sweep_and_exits_0(tmp_path: Path, capsys: Captured) -> None:
    grid = write(tmp_path, TINY)
    options = ("--storage", tmp_path, "--executor", "inline", "--compile", "off")
    assert exit_code("launch", grid, *options) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'g'}\n"
    assert "2 of 2 trials done (0 diverged), 0 failed, 0 missing; 2 trained" in err
    assert exit_code("status", tmp_path / "g", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer.items() >= {
        "total": 2, "done": 2, "ok": 2, "diverged": 0, "failed": 0, "missing": 0, "rate": None, "eta_s": None,
        "in_training": 0.0,
    }.items()  # fmt: skip
    assert answer["unconverged"] == 2  # too short to relax
    assert 0 < answer["more_steps"] <= answer["more_steps_most"]
    assert exit_code("plan", grid, "--storage", tmp_path, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {
        "trials", "points", "packs", "done", "missing", "failed", "bytes", "seconds", "store_bytes"
    }  # fmt: skip
    assert (answer["trials"], answer["done"], answer["missing"], answer["packs"]) == (2, 2, 0, 0)


def test_a_second_launch_of_a_sweep_is_refused_and_names_the_first(tmp_path: Path) -> None:
    long = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 10**6})
    grid = write(tmp_path, long)
    options = ("--storage", tmp_path, "--executor", "inline", "--compile", "off")
    with subprocess.Popen(command("launch", grid, *options), stderr=subprocess.PIPE, text=True) as first:
        try:
            while not (tmp_path / "g" / "lease").exists():
                assert first.poll() is None
                time.sleep(0.05)
            second = run("launch", grid, *options)
        finally:
            first.terminate()
            _, err = first.communicate(timeout=120)
    assert second.returncode == 2
    assert re.search(rf"held by .*process {first.pid}\), a launch running since", second.stderr), (
        second.stderr
    )
    assert (first.returncode, "drained: SIGTERM" in err) == (130, True)


@pytest.mark.parametrize("command", ["plan", "launch"])
def test_a_layer_that_no_network_has_is_refused(tmp_path: Path, capsys: Captured, command: str) -> None:
    grid = write(tmp_path, grid_text({"weight_decay": "[0.01]"}, measure="{layer: hidden.3}"))
    assert exit_code(command, grid, "--storage", tmp_path) == 2
    assert (
        "no network of this grid has a layer 'hidden.3'; did you mean 'hidden.1'?" in capsys.readouterr().err
    )


REFUSING_NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs: int, outputs: int, heads: int = 3) -> None:
        super().__init__()
        raise ValueError(f"{inputs} inputs cannot be shared by {heads} heads")
"""


def test_a_model_that_refuses_its_values_is_told_without_a_traceback(
    tmp_path: Path, capsys: Captured
) -> None:
    write(tmp_path, REFUSING_NET, "net.py")
    text = grid_text({"weight_decay": "[0.01]"}, {"model": "net.py:Net"}).replace("  width: 16\n", "")
    assert exit_code("plan", write(tmp_path, text), "--storage", tmp_path) == 2
    err = capsys.readouterr().err
    assert "net.py:7: ValueError: 16 inputs cannot be shared by 3 heads; model 'net.py:Net' cannot be" in err
    assert "cannot be built with inputs=16, outputs=16, heads=3: change these values, or mend" in err


def test_a_time_limit_drains_before_it_is_over(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last minute of an hour is kept for that; here some steps take all but 40 s."""
    clock, passed, train = time.monotonic, [0.0], TileRun.advance

    def long(tile: TileRun, deadline: float) -> None:
        train(tile, 0.0)
        passed[0] += 3560

    monkeypatch.setattr(time, "monotonic", lambda: clock() + passed[0])
    monkeypatch.setattr(TileRun, "advance", long)
    grid = write(tmp_path, grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 10_000}))
    options = ("--storage", tmp_path, "--executor", "inline", "--compile", "off", "--time-limit", "60m")
    assert exit_code("launch", grid, *options) == 130
    assert "drained: the time limit is near; launch the same grid again" in capsys.readouterr().err
    assert len(Store.at(tmp_path / "g").checkpoints()) == 1


def test_failed_trials_exit_1_and_tell_the_first_error(tmp_path: Path, capsys: Captured) -> None:
    write(tmp_path, RAISING_TASK, "task.py")
    fixed = {"task": "task.py:Task", "steps": 300, "noise": "fresh"}
    grid = write(tmp_path, grid_text({"weight_decay": "[0.01]"}, fixed))
    assert exit_code("launch", grid, "--storage", tmp_path, "--executor", "inline", "--compile", "off") == 1
    err = capsys.readouterr().err
    assert "first error: ArithmeticError: two lines; --retry-failed" in err
    assert "Traceback" not in err


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock by which rates are told stands still: how long a test takes is no part of them."""
    monkeypatch.setattr(progress.time, "monotonic", lambda: 1000.0)


class Lines:
    """A console that is no terminal, and what was written on it."""

    def __init__(self) -> None:
        self.printed: list[str] = []

    def write(self, text: str) -> int:
        if text.strip():
            self.printed.append(text)
        return len(text)

    def flush(self) -> None:
        pass


def watch_of(done: float, total: int = 100) -> Watch:
    watch = Watch(total=total)
    watch.report(
        "p",
        Progress(trials_done=done, failed=0, diverged=0, error="", done=False, spent={"training": 10.0}),
    )
    return watch


def test_progress_goes_on_while_nothing_is_reported(still: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compilation takes long, and no pack reports meanwhile."""
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.1)
    lines, begun = Lines(), time.perf_counter()
    with ProgressLine(Console(file=lines, force_terminal=False)) as line:  # type: ignore[arg-type]
        line(watch_of(20))
        line(watch_of(21))
        while sum(text.startswith("21/100 trials, ") for text in lines.printed) < 4:
            assert time.perf_counter() < begun + 120
            time.sleep(0.01)
    assert lines.printed[0].startswith("20/100 trials, 2.0 trials/s, 0 failed")
    done = [text.partition("/")[0] for text in lines.printed]
    assert done == sorted(done)
    assert len(lines.printed) <= 1 + (time.perf_counter() - begun) / 0.1


def test_plain_lines_are_no_flood(still: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 3600.0)  # of those alone that reports bring
    lines = Lines()
    with ProgressLine(Console(file=lines, force_terminal=False)) as line:  # type: ignore[arg-type]
        for done in range(100):
            line(watch_of(done))
        drains = watch_of(100)
        drains.drain("SIGTERM; again to stop at once")
        line(drains)
    assert len(lines.printed) == 3
    assert lines.printed[0].startswith("0/100 trials, starting workers and compiling, 0 failed")
    assert lines.printed[1].startswith("1/100 trials, 0.1 trials/s, 0 failed")
    assert "draining: SIGTERM; again to stop at once" in lines.printed[2]


def test_the_bar_is_drawn_four_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many workers report, and at once where a launch begins to drain."""
    now, drawn = [0.0], list[float]()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "described", lambda watch: drawn.append(now[0]) or "")
    with ProgressLine(Console(file=io.StringIO(), force_terminal=True)) as line:
        for report in range(1000):
            now[0] = report / 100
            line(watch_of(1))
        assert 20 < len(drawn) <= 2 + 10 / progress.DRAWN_EVERY_S
        drains = watch_of(1)
        drains.drain("SIGTERM")
        before = len(drawn)
        line(drains)
        assert len(drawn) == before + 1
        line(drains)
    assert len(drawn) == before + 2  # what came last is shown, whenever it came


def test_a_slow_rate_is_not_zero(still: None) -> None:
    assert described(watch_of(0.25)).startswith("0/100 trials, 0.025 trials/s, ")


def test_trials_from_a_checkpoint_are_no_speed(still: None) -> None:
    watch = watch_of(60)
    watch.report("q", Progress(trials_done=30, resumed=20, failed=0, diverged=0, error="", done=True))
    assert watch.trials_done == 90
    assert watch.trained == 30
    assert watch.rate == pytest.approx(7, rel=0.01)


def test_error_text_is_no_markup(still: None) -> None:
    watch = watch_of(1)
    error = "[/red] KeyError: [bold]"
    watch.report("p", Progress(trials_done=1, failed=1, diverged=0, error=error, done=True))
    lines = Lines()
    with ProgressLine(Console(file=lines, force_terminal=False)) as line:  # type: ignore[arg-type]
        line(watch)
    assert described(watch) in lines.printed[0]


def test_what_was_given_up_is_told_once() -> None:
    lines, watch = Lines(), watch_of(1)
    notice = Progress(trials_done=1, failed=0, diverged=0, error="", done=False, notice="no compiler")
    with ProgressLine(Console(file=lines, force_terminal=False)) as line:  # type: ignore[arg-type]
        for pack in ("p", "q", "r"):
            watch.report(pack, notice)
            line(watch)
    assert [text for text in lines.printed if "no compiler" in text] == ["note: no compiler\n"]


class Gone(io.StringIO):
    """A terminal that is closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")

    flush = write  # type: ignore[assignment]


def test_progress_goes_on_where_nobody_reads_it() -> None:
    with ProgressLine(Console(file=Gone(), force_terminal=False)) as line:
        line(watch_of(1))
        line(watch_of(2))


@pytest.mark.parametrize("storage", ["link", "loop", "file", "file/inside", "link/inside"])
@pytest.mark.parametrize("command", ["plan", "launch", "status", "diagram", "compact"])
def test_a_storage_that_is_no_folder_is_told_as_it_is(
    command: str, storage: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = write(tmp_path, TINY)
    Path("link").symlink_to(tmp_path / "purged-scratch")
    Path("loop").symlink_to("loop")
    Path("file").write_text("in the way")
    where = ("--storage", storage) if command in {"plan", "launch"} else ()
    options = {"launch": ("--executor", "inline"), "diagram": ("--x", "weight_decay", "--y", "width")}
    place = grid if where else f"{storage}/g"
    assert exit_code(command, place, *where, *options.get(command, ())) == 2
    out, err = capsys.readouterr()
    reasons = {"link": "is a link to ", "loop": "Too many levels of symbolic links", "file": "is no folder"}
    assert (out, err.count("\n")) == ("", 1), err
    assert reasons[storage.split("/")[0]] in err
    assert "purged-scratch', which does not exist" in err or storage.split("/")[0] != "link"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "grid.yaml", "link", "loop"]


@pytest.mark.parametrize(("error", "said"), [(28, "left on device: 'x'; free"), (13, "you may read")])
def test_an_error_of_a_file_is_told_in_one_line(
    error: int, said: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(error, os.strerror(error), "x")

    monkeypatch.setattr("phasediag.sweeps.sweep.plan", fail)
    assert exit_code("plan", write(tmp_path, TINY)) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.4, "under a second"),
        (5.4, "5 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(12, "12 B"), (12_300_000, "12.3 MB"), (2e13, "20.0 TB")])
def test_sizes(count: float, said: str) -> None:
    assert size(count) == said


def test_a_launch_that_is_stopped_before_it_trains_exits_130(tmp_path: Path) -> None:
    outcome = launched(tmp_path, TINY, observer=lambda watch: watch.drain("told to"))
    assert outcome.exit_code == 130
    assert outcome.status.missing == 2


def test_a_machine_that_fails_under_a_launch_ends_it_with_3_and_keeps_what_is_done(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything was committed it is 2: nothing was run."""
    text = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 10}, resources="{trials_per_pack: 1}")
    launched(tmp_path / "undisturbed", text)
    grid, train = write(tmp_path, text), TileRun.advance
    options = ("--storage", tmp_path, "--executor", "inline", "--compile", "off")
    for packs, code in ((0, 2), (1, 3)):
        begun: list[TileRun] = []

        def full(tile: TileRun, deadline: float, begun: list[TileRun] = begun, packs: int = packs) -> None:
            begun.append(tile)
            if len(begun) > packs:
                raise OSError(errno.ENOSPC, "No space left on device", "/scratch/x")
            train(tile, deadline)

        monkeypatch.setattr(TileRun, "advance", full)
        assert exit_code("launch", grid, *options) == code
        said = capsys.readouterr().err
        assert "No space left on device: '/scratch/x'" in said
        assert ("all that was recorded is kept: launch the same grid again" in said) is (code == 3)
        assert "Traceback" not in said
        assert len(Store.at(tmp_path / "g").committed()) == packs
    monkeypatch.setattr(TileRun, "advance", train)
    assert exit_code("launch", grid, *options) == 0
    assert_same_rows(tmp_path / "undisturbed" / "g", tmp_path / "g")


def test_objects_that_a_library_counts_at_the_end_are_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes of nanobind have a class of their own; a page of leaks was printed behind each result."""
    counted = type("nb_type", (type,), {"__module__": "nanobind"})
    frozen: list[bool] = []
    monkeypatch.setattr(cli.gc, "freeze", lambda: frozen.append(True))
    cli._collect_no_more()
    assert counted in type.__subclasses__(type)
    assert not frozen
