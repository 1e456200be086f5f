"""Small grids for real launches, and the comparison of the rows that two launches left."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import phasediag
from phasediag.cli import main
from phasediag.storage.fragments import write_rows
from phasediag.storage.store import Store
from phasediag.sweeps.sweep import Outcome

MAY_DIFFER: Final = (
    "pack_id", "wall_s", "projected_bytes", "measured_bytes", "device", "host", "started_at",
    "phasediag_version", "torch_version", "git_commit", "compiled", "trained_from", "from_step", "course_id",
)  # fmt: skip
"""Columns in which two runs of a trial may differ (law 2)."""
SIXTEENS: Final = {
    "task": "teacher_student", "inputs": 16, "outputs": 16, "samples": 64, "test_samples": 32,
    "teacher_width": 4, "width": 16, "batch_size": 16, "learning_rate": 0.02,
}  # fmt: skip
"""Layer sizes that are multiples of 16, where rows are equal bit by bit."""
SOME_STEPS: Final = 1e-4
"""A slice of time in which a tile takes the fewest steps that it can, however fast the machine is."""
SLOW: Final = """
import os
import time

from phasediag.columns import Column
from phasediag.observables.observable import NumberObservable


class Slow(NumberObservable):
    columns = (Column(name="probe_mean", meaning="The mean of the probe.", label="mean of the probe"),)

    def measure(self, network):
        there = time.monotonic() + float(os.environ.get("PD_PAUSE", 0))
        while time.monotonic() < there and os.path.exists(os.environ["PD_SLOW"]):
            time.sleep(0.05)
        return network.probe.mean().reshape(1)
"""
"""An observable that takes PD_PAUSE seconds without taking a core, as long as the file PD_SLOW is there."""


def grid_text(
    axes: Mapping[str, Any], fixed: Mapping[str, Any] | None = None, *, name: str = "g", **top: Any
) -> str:
    """A grid.yaml of `SIXTEENS`, changed by `fixed`; `top` are further keys of the top level."""
    given = {n: v for n, v in {**SIXTEENS, **(fixed or {})}.items() if n not in axes}
    lines = [f"name: {name}", "fixed:", *(f"  {n}: {v}" for n, v in given.items())]
    lines += ["axes:", *(f"  {n}: {v}" for n, v in axes.items())]
    return "\n".join([*lines, *(f"{n}: {v}" for n, v in top.items())]) + "\n"


def write(folder: Path, text: str, file: str = "grid.yaml") -> Path:
    """A grid file in a folder, made where it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file
    path.write_text(text)
    return path


def launched(folder: Path, text: str, **options: Any) -> Outcome:
    """A launch in this process of a grid in a folder; its sweeps lie in the same folder."""
    options = {"executor": "inline", "compile": "off", **options}
    return phasediag.launch(write(folder, text), str(folder), **options)


def trials(sweep: str | Path) -> pd.DataFrame:
    """All that must be the same of every trial, in the order of their ids."""
    rows = Store.at(sweep).trials_table().drop_columns(list(MAY_DIFFER)).to_pandas(types_mapper=pd.ArrowDtype)
    return rows.set_index("trial_id").sort_index().sort_index(axis=1)


def rewrite(sweep: str | Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write the rows of trials of a sweep otherwise, as if they had come out so."""
    store = Store.at(sweep)
    for path in (Path(sweep) / "trials").glob("*.parquet"):
        rows = change(pq.read_table(path))
        write_rows(store.folder, "trials", path.stem, rows, store.identity())


def measurements(sweep: str | Path) -> pa.Table:
    """All measurements, by trial, step, layer and observable."""
    rows = Store.at(sweep).measurements_table().drop_columns("pack_id")
    return rows.select(sorted(rows.column_names)).combine_chunks()


def assert_same_rows(one: str | Path, other: str | Path, only: pd.Index[Any] | None = None) -> None:
    """Two sweeps hold the same rows bit by bit; with `only`, of these trials."""
    first, second = trials(one), trials(other)
    measured, again = measurements(one), measurements(other)
    if only is not None:
        first, second = first.loc[sorted(only)], second.loc[sorted(only)]
        chosen = pc.field("trial_id").isin(list(only))
        measured, again = measured.filter(chosen), again.filter(chosen)
    assert len(first)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    for column in measured.column_names:
        assert measured[column].equals(again[column]), f"measurements differ in {column}"


def fragments(sweep: str | Path) -> dict[str, int]:
    """The committed fragments of a sweep and when each was written, in nanoseconds."""
    return {path.stem: path.stat().st_mtime_ns for path in (Path(sweep) / "trials").glob("*.parquet")}


def command(*arguments: str | Path) -> list[str]:
    """The command line of `phasediag ARGUMENTS` in the interpreter of the tests."""
    return [sys.executable, str(Path(sys.executable).with_name("phasediag")), *map(str, arguments)]


def run(*arguments: str | Path, timeout: float = 180, **options: Any) -> subprocess.CompletedProcess[str]:
    """`phasediag ARGUMENTS` to its end."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=timeout, check=False, **options
    )


def run_here(captured: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """The exit code, the output and the messages of `phasediag ARGUMENTS` in this process."""
    code = 0
    try:
        main([*map(str, arguments)])
    except SystemExit as ended:
        code = int(ended.code or 0)
    output, messages = captured.readouterr()
    return code, output, messages


def pack_workers(driver: int) -> list[psutil.Process]:
    """The processes that train packs for a launch: descendants of its own that Ray has named so."""
    workers = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::PlaceTrainable"):
                workers.append(process)
        except psutil.Error:
            continue
    return workers


def ended(processes: list[psutil.Process], within: float = 60) -> None:
    """Wait until processes are gone; those that stay are killed, and the test fails."""
    deadline = time.monotonic() + within
    while (alive := [process for process in processes if runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    assert not alive, f"still there after {within} s: {alive}"


def runs(process: psutil.Process) -> bool:
    """Whether a process is there, and no zombie that nobody has buried."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
