"""The flagship notebook runs from nothing, by way of short sweeps, to its verdicts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import phasediag
from executed_notebook import executed
from phasediag.sweeps.extend import extend
from phasediag.sweeps.sweep import launch

ROOT = Path(__file__).parents[2]
SHORT = {"replicates: 8": "replicates: 3", "seed: 20261130": "seed: 7", "seed: 20261129": "seed: 7"}
"""Of all grids: other seeds than those of the runs, and fewer."""
OF_ONE = {
    "relu": {
        "inputs: [2, 3]": "inputs: [2]", "[3e-3, 1], num: 8": "[6e-2, 0.3], num: 3",
        "width: [32, 64, 128]": "width: [16, 32]",
        "init_scale: [0.25, 0.176776695297, 0.125]": "init_scale: [0.35, 0.25]",
    },
    "field": {
        "inputs: [1, 2, 4, 8]": "inputs: [1, 2]", "[2.5e-4, 1e-1], num: 14": "[1e-2, 1e-1], num: 4",
        "width: [16, 32, 64, 128]": "width: [16, 32]",
        "init_scale: [0.353553390593, 0.25, 0.176776695297, 0.125]": "init_scale: [0.35, 0.25]",
        "inputs == 2 and (width < 32 or width > 64)": "inputs > 2",
    },
    "wide-teacher": {
        "inputs: [2, 4, 8]": "inputs: [2]", "[1e-3, 1e-1], num: 11": "[1e-2, 1e-1], num: 4",
        "width: [32, 64, 128]": "width: [16, 32]",
        "init_scale: [0.25, 0.176776695297, 0.125]": "init_scale: [0.35, 0.25]",
    },
    "controls": {
        "teacher_width: [4, 16]": "teacher_width: [2, 4]", "[1e-3, 1e-1], num: 6": "[1e-2, 1e-1], num: 3",
        "width: [64, 128]": "width: [16, 32]",
        "init_scale: [0.176776695297, 0.125]": "init_scale: [0.35, 0.25]",
    },
    "noise": {
        "width: [64, 128]": "width: [16, 32]",
        "init_scale: [0.176776695297, 0.125]": "init_scale: [0.35, 0.25]",
        "[1e-2, 0.4], num: 6": "[5e-2, 0.4], num: 4", "[1e-3, 2e-2], num: 5": "[1e-3, 2e-2], num: 3",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def short_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of the five grids of the design, short, each at 1, 2 and 4 times its steps."""
    folder = tmp_path_factory.mktemp("neuron-count")
    for name, own in OF_ONE.items():
        text = (ROOT / "jobs" / "neuron-count" / f"{name}.yaml").read_text()
        for old in own:
            assert old in text, old
        for old, new in {**SHORT, **own}.items():
            text = text.replace(old, new)
        grid = folder / f"{name}.yaml"
        grid.write_text(text)
        assert phasediag.launch(grid, storage=str(folder), executor="inline").exit_code == 0
        for factor in (2, 4):
            assert extend(folder / f"neuron-count-{name}", factor, train=inline).exit_code == 0
    command = [sys.executable, str(ROOT / "jobs" / "neuron-count" / "tables.py"), str(folder)]
    subprocess.run([*command, str(folder / "tables")], check=True)
    return folder / "tables"


def inline(grid: Path, *, sweep: str) -> Any:
    return launch(grid, sweep=sweep, executor="inline")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_notebook_comes_to_its_verdicts(short_tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, text = executed("neuron-count", monkeypatch, timeout=300, PHASEDIAG_TABLES=str(short_tables))
    for claim in ("is polynomial in decay", "rises with the dimension", "certified", "undecided"):
        assert claim in text
    assert "AIC" not in text
    assert figures == 4
