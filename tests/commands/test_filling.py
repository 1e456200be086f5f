"""status --watch: what the terminal shows of a sweep, planted or really running."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console

from phasediag.cli import main
from phasediag.commands import filling
from phasediag.commands.encoding import in_ascii
from phasediag.commands.filling import MARKS, drawn, planned_of, view_of
from phasediag.grids.grid import parse_grid
from phasediag.parameters import TRAINING
from phasediag.report.choice import choose
from phasediag.storage.schema_arrow import measurements_schema, table, trials_schema
from phasediag.storage.store import Store
from phasediag.sweeps.status import rosters
from small_sweeps import command, grid_text, write

DECAYS, RATES = 5, 4
AXES = {
    "weight_decay": f"{{logspace: [0.01, 1], num: {DECAYS}}}",
    "learning_rate": f"{{linspace: [0.1, 0.4], num: {RATES}}}",
}
Captured = pytest.CaptureFixture[str]


def planted(folder: Path, axes: dict[str, str] = AXES, **columns: list[object]) -> Store:
    """A sweep with the rows of some of its trials, one value a trial; None: not done."""
    text = grid_text(axes, {"steps": 10})
    store = Store.open(folder, "g")
    store.save_grid(text)
    trials = parse_grid(text, Path("grid.yaml")).trials()
    done = [row for row, status in enumerate(columns["status"]) if status is not None]
    if done:
        chosen = {name: [values[row] for row in done] for name, values in columns.items()}
        rows = {"trial_id": trials.trial_id[done].tolist(), "pack_id": ["0" * 32] * len(done), **chosen}
        empty = pa.Table.from_pylist([], schema=measurements_schema())
        store.write_fragment("0" * 32, table(trials_schema(TRAINING), rows, len(done)), empty)
    return store


def planned_grids(store: Store) -> list[pa.Table]:
    return [roster for _, roster in rosters(store, None)]


def shown(store: Store, folder: Path, width: int = 80, height: int = 24) -> str:
    planned = planned_of(planned_grids(store), None, None)
    console = Console(width=width, height=height, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(drawn(view_of(store, planned, "degree_normalized", 0.5), width, height))
    text = console.export_text()
    console.file.close()
    return text


def letters(text: str, columns: int = DECAYS) -> list[str]:
    """The rows of the mesh without their labels: the first letter of each cell."""
    lines = [re.match(r"^ *[\d.e+-]+ ([●○×!·?│─#ox.|-]+)$", line.rstrip()) for line in text.splitlines()]
    rows = [match[1] for match in lines if match]
    return [row[:: len(row) // columns][:columns] for row in rows]


def test_each_cell_has_its_letter_at_its_place(tmp_path: Path) -> None:
    """Rates run upwards; the phases are told by letters alone."""
    status = np.full((DECAYS, RATES), "ok", object)
    value = np.add.outer(np.arange(DECAYS), np.zeros(RATES)) / (DECAYS - 1)
    status[0, 0], status[1, 1], status[2, 3] = None, "failed", "diverged"
    store = planted(
        tmp_path, status=status.reshape(-1).tolist(), degree_normalized=value.reshape(-1).tolist(),
        error=["boom"] * status.size,
    )  # fmt: skip
    text = shown(store, tmp_path)
    assert letters(text) == ["○○×●●", "○○●●●", "○!●●●", "·○●●●"]
    assert "19/20" not in text
    assert "18/20 trials, 1 failed, 1 diverged, no launch is running" in text
    assert "! weight_decay=0.03162, learning_rate=0.2: 1 failed: boom" in text
    ascii_text = "".join(letter if letter.isascii() else in_ascii(letter) for letter in text)
    assert letters(ascii_text) == ["oox##", "oo###", "o!###", ".o###"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
def test_the_terminal_is_filled_and_the_boundary_drawn(width: int, height: int, tmp_path: Path) -> None:
    """The phase changes between the third decay and the fourth, and for the highest rate not at all."""
    value = np.array([[1.0 if x > 2 or y == 3 else 0.0 for y in range(RATES)] for x in range(DECAYS)])
    store = planted(tmp_path, status=["ok"] * 20, degree_normalized=value.reshape(-1).tolist())
    lines = shown(store, tmp_path, width, height).splitlines()
    assert len(lines) <= height
    mesh = [line for line in lines if "●" in line and "above" not in line and "symmetric" not in line]
    assert len(mesh) > (height - 9) * 0.75
    assert max(map(len, mesh)) > width - DECAYS - 1
    assert max(map(len, lines)) <= width
    first = [line for line in mesh if "○" in line]
    assert len({line.index("│") for line in first}) == 1
    assert all(line[line.index("│") - 1] == "○" and line[line.index("│") + 1] == "●" for line in first)
    assert sum("─" in line for line in mesh) == 1


def test_a_sweep_that_is_not_launched_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is launched while the watch sleeps for the third time."""
    said, sleeps = io.StringIO(), []

    def slept(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 3:
            planted(tmp_path, status=["ok"] * 20, degree_normalized=[1.0] * 20)

    monkeypatch.setattr(filling.time, "sleep", slept)
    sweep = str(tmp_path / "g")
    console = Console(file=said, width=200)
    filling.watch(sweep, console, x=None, y=None, order="degree_normalized", level=0.5, every_s=0.05)
    assert sleeps == [0.05] * 3
    assert said.getvalue().startswith(f"waiting for {sweep} to be launched")
    assert "20/20 trials, 0 failed, complete" in said.getvalue()


def test_what_is_in_training_is_counted(tmp_path: Path) -> None:
    store = planted(tmp_path, status=["ok"] * 4 + [None] * 16, degree_normalized=[1.0] * 4 + [None] * 16)
    view = view_of(store, planned_of(planned_grids(store), None, None), "degree_normalized", 0.5)
    running = replace(view, status=replace(view.status, in_training=7.4, rate=2.0, eta_s=5.0))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(drawn(running, 80, 24))
    assert "4/20 trials (and 7 in training), 0 failed, 2.0 trials/s, 5 s left" in console.export_text()


def test_letters_tell_all_without_colour() -> None:
    assert len({letter for letter, _ in MARKS.values()}) == len(MARKS)
    assert len({in_ascii(letter) for letter, _ in MARKS.values()}) == len(MARKS)


@pytest.mark.parametrize("width", [40, 80])
def test_a_large_sweep_fits_the_terminal_and_hides_no_failure(width: int, tmp_path: Path) -> None:
    axes = {
        "weight_decay": "{logspace: [0.0001, 1], num: 300}",
        "learning_rate": "{linspace: [0.1, 0.4], num: 70}",
    }  # fmt: skip
    status: list[object] = ["ok"] * 21000
    status[12345] = "failed"
    store = planted(tmp_path, axes, status=status, degree_normalized=[0.9] * 21000)
    lines = shown(store, tmp_path, width=width).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    mesh = [line.split()[-1] for line in lines if re.match(r"^ *[\d.]+ [●!]+ *$", line)]
    assert len(mesh) > 8
    assert "".join(mesh).count("!") == 1


def test_axes_are_chosen_by_their_number_of_values_or_named(tmp_path: Path) -> None:
    axes = {"width": "[8, 16]", **AXES, "activation": "[tanh, relu]"}
    store = planted(tmp_path, axes, status=[None] * 80)
    grids = planned_grids(store)
    chosen = planned_of(grids, None, None)
    assert (chosen.x, chosen.y, chosen.averaged) == ("weight_decay", "learning_rate", ("activation", "width"))
    assert planned_of(grids, "width", None).y == "weight_decay"
    assert planned_of(grids, None, "weight_decay").x == "learning_rate"
    for wrong, said in (({"x": "activation"}, "no such axis"), ({"y": "widht"}, "did you mean 'width'")):
        with pytest.raises(Exception, match=said):
            planned_of(grids, **{"x": None, "y": None, **wrong})


def test_the_axes_are_those_of_a_report(tmp_path: Path) -> None:
    """Two parameters that go together were drawn against each other, and averaged over the other axis."""
    axes = {**AXES, "learning_rate": "[0.1, 0.2, 0.3, 0.4, 0.5]", "label_noise": "[0.0, 0.1, 0.2]"}
    text = grid_text(axes, {"steps": 10}, zip="[[weight_decay, learning_rate]]")
    store = Store.open(tmp_path, "g")
    store.save_grid(text)
    grids = planned_grids(store)
    frame = pd.concat([grid.to_pandas() for grid in grids])
    for asked in (None, "learning_rate", "label_noise"):
        planned, choice = planned_of(grids, asked, None), choose(frame, asked)
        assert (planned.x, planned.y, planned.averaged) == (choice.x, choice.y, ())
        assert "label_noise" in (planned.x, planned.y)


def test_one_axis_and_none_are_drawn_too(tmp_path: Path) -> None:
    one = planted(
        tmp_path / "one", {"weight_decay": "[0.1, 1]"}, status=["ok", None], degree_normalized=[1.0, None]
    )
    assert "●·" in shown(one, tmp_path)
    none = planted(tmp_path / "none", {"weight_decay": "[0.1]"}, status=[None])
    assert "0/1 trials" in shown(none, tmp_path)


def test_a_complete_sweep_is_drawn_once_elsewhere_than_on_a_terminal(
    tmp_path: Path, capsys: Captured
) -> None:
    planted(tmp_path, status=["ok"] * 20, degree_normalized=[1.0] * 20)
    main(["status", str(tmp_path / "g"), "--watch"])
    out = capsys.readouterr().out
    assert "20/20 trials, 0 failed, complete" in out
    assert letters(out) == ["●" * DECAYS] * RATES


def in_terminal(*arguments: str | Path) -> tuple[subprocess.Popen[bytes], int]:
    """`phasediag ARGUMENTS` in a pseudo-terminal of 80 by 24."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        command(*arguments), stdout=slave, stderr=slave, stdin=slave, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip  # a shell's background jobs ignore Ctrl-C, and so would what they start
    os.close(slave)
    return process, master


def read_until(master: int, wanted: str, timeout: float = 120) -> str:
    text, deadline = "", time.monotonic() + timeout
    while wanted not in text and time.monotonic() < deadline:
        if select.select([master], [], [], 0.2)[0]:
            try:
                text += os.read(master, 65536).decode(errors="replace")
            except OSError:
                break
    assert wanted in text, text[-2000:]
    return text


def test_ctrl_c_ends_the_watch_with_130(tmp_path: Path) -> None:
    planted(tmp_path, status=["ok"] * 10 + [None] * 10, degree_normalized=[1.0] * 20)
    process, master = in_terminal("status", tmp_path / "g", "--watch")
    try:
        read_until(master, "no launch is running")
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    finally:
        process.kill()
        os.close(master)


@pytest.mark.slow
def test_the_diagram_fills_while_a_launch_runs(tmp_path: Path) -> None:
    grid = write(tmp_path, grid_text(AXES, {"steps": 3000}, resources="{trials_per_pack: 2}"))
    launch = command("launch", grid, "--storage", tmp_path, "--executor", "inline", "--compile", "off")
    with subprocess.Popen(launch, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("g/trials/*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process, master = in_terminal("status", tmp_path / "g", "--watch")
        try:
            text = read_until(master, "complete", timeout=240)
            assert process.wait(120) == 0
        finally:
            process.kill()
            os.close(master)
        assert running.wait(120) == 0
    counts = [int(digits) for digits in re.findall(r"(\d+)/20 trials", text)]
    assert counts == sorted(counts)
    assert counts[-1] == 20
    assert len(set(counts)) > 2, "it was seen to fill"
    assert "trials/s" in text
    assert "·" in text


def test_what_measured_nothing_is_not_said_to_be_missing(tmp_path: Path, capsys: Captured) -> None:
    """Trials that are done had the letter of those that are not."""
    nothing = {"degree_normalized": [None] * 20, "model": ["net.py:Net"] * 20}
    store = planted(tmp_path, status=["ok"] * 19 + [None], **nothing)
    text = shown(store, tmp_path)
    assert "warning: nothing is measured: the model states no neuron_groups" in text
    assert "? no value" in text
    mesh = "".join(letters(text))
    assert mesh.count("?") == 19
    assert mesh.count("·") == 1
    main(["status", str(tmp_path / "g")])
    assert "nothing is measured: the model states no neuron_groups" in capsys.readouterr().err


def test_one_trial_with_a_value_is_enough(tmp_path: Path) -> None:
    store = planted(
        tmp_path, status=["ok"] * 20, degree_normalized=[1.0] + [None] * 19, neuron_count=[1] + [None] * 19
    )
    text = shown(store, tmp_path)
    assert "nothing is measured" not in text
    assert "? no value" in text
