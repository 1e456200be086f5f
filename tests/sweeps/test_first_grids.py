"""The grids of `jobs/`: all can be planned; those met first train long enough for a boundary of phases."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import phasediag
from phasediag.commands.launching import plan
from phasediag.commands.results import diagram
from phasediag.grids.expression import parse_formula
from phasediag.grids.grid import read_grid
from phasediag.grids.ready import grids_below
from phasediag.storage.schema_arrow import trials_schema

ROOT = Path(__file__).parents[2]
README_GRID = re.search(r"```yaml\n(name: .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
GRIDS = grids_below(ROOT / "jobs")
LARGE = ("trainability", "five-axes")
"""A million and 115,200 trials: to expand them takes a while."""
PUBLIC = ("mnist", "fashion_mnist", "cifar10", "svhn")
"""Tasks whose files a test does not fetch: their grids are read and expanded."""
LITERATURE = sorted((ROOT / "jobs" / "literature").glob("*.yaml"))
MINIMAL = """
name: minimal
fixed: {task: teacher_student}
axes:
  weight_decay: {logspace: [1e-4, 1e-2], num: 3}
"""
QUICKSTART_PART = {
    "num: 22": "num: 8",
    "logspace: [0.45, 2.7]": "logspace: [1.4, 2.7]",
    "num: 5": "num: 2",
    "label_noise: [0, 0.7]": "label_noise: [0]",
    "init_scale: [0.1, 0.4]": "init_scale: [0.1]",
    "width: [8, 16]": "width: [8]",
}
README_PART = {
    "logspace: [1.5, 3.2], num: 16": "logspace: [2, 3], num: 8",
    "num: 6": "num: 2",
    "width: [8, 16]": "width: [16]",
}
"""The cells around the boundary, at the least and the most gradient noise."""


def grids(paths: list[Path]) -> pytest.MarkDecorator:
    """Each of these grids; the large ones are slow."""
    marked = [pytest.param(path, marks=pytest.mark.slow if path.stem in LARGE else ()) for path in paths]
    return pytest.mark.parametrize("grid", marked, ids=[str(path.relative_to(ROOT)) for path in paths])


@grids(GRIDS)
def test_every_grid_of_jobs_is_planned(grid: Path, tmp_path: Path) -> None:
    task = re.search(r"^ +task: (\S+)$", grid.read_text(), flags=re.M)
    if task and task[1].endswith(".npz") and not (grid.parent / task[1]).exists():
        pytest.skip(f"{task[1]} is no part of the project; the grid says how it is made")
    if task and task[1] in PUBLIC:
        assert read_grid(grid).trial_count > 0
        return
    outcome = CliRunner().invoke(plan, [str(grid), "--storage", str(tmp_path), "--json"])
    assert outcome.exit_code == 0, outcome.output
    answer = json.loads(outcome.stdout)
    assert answer["trials"] == answer["missing"] > 0


@grids(LITERATURE)
def test_a_grid_of_the_literature_says_whose_it_is_and_how_it_is_drawn(grid: Path) -> None:
    """The paper's number, and commands for `diagram` whose axes and order are columns of its trials."""
    header = grid.read_text().partition("\nname:")[0]
    assert re.search(r"arXiv:\d{4}\.\d{5}", header)
    assert grid.name in (ROOT / "docs" / "literature.md").read_text()
    asked = read_grid(grid)
    columns = trials_schema(asked.parameters.values(), asked.measure.columns).names
    numbers = {name: list if name == "layer_rates" else float for name in columns}
    commands = re.findall(r"^# +phasediag diagram (.*)$", header, flags=re.M)
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[0] == f"sweeps/{asked.name}"
        chosen = diagram.make_context("diagram", words).params
        for text in filter(None, (chosen["x"], chosen["y"], chosen["order"])):
            assert text == "diverged" or parse_formula(text, numbers)


def planned(text: str, folder: Path) -> str:
    """What `plan` prints of a grid beside its table."""
    (folder / "grid.yaml").write_text(text)
    outcome = CliRunner().invoke(plan, [str(folder / "grid.yaml"), "--storage", str(folder)])
    assert outcome.exit_code == 0, outcome.output
    return outcome.stderr


def test_a_default_length_that_is_too_short_is_told(tmp_path: Path) -> None:
    assert "3 of 3 trials train for fewer than 10 relaxation times" in planned(MINIMAL, tmp_path)


@pytest.mark.parametrize("name", ["quickstart", "five-axes", "neuron-count"])
def test_jobs_relax(name: str, tmp_path: Path) -> None:
    assert "relaxation" not in planned((ROOT / "jobs" / f"{name}.yaml").read_text(), tmp_path)


def test_the_grid_of_the_readme_relaxes(tmp_path: Path) -> None:
    assert README_GRID is not None
    assert planned(README_GRID[1], tmp_path) == ""


def trained_part(text: str, part: dict[str, str], folder: Path) -> pd.DataFrame:
    """The trials of a grid some of whose lines are replaced."""
    for old, new in part.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "grid.yaml").write_text(text)
    outcome = phasediag.launch(folder / "grid.yaml", storage=str(folder), executor="inline")
    assert outcome.exit_code == 0
    return phasediag.load_trials(outcome.sweep)


def boundary_of(trials: pd.DataFrame) -> pd.DataFrame:
    """The boundary, from little to much gradient noise."""
    return phasediag.phase_diagram(trials, x="weight_decay", y="lr_over_batch", level=0.5).boundary


def test_the_quickstarts_boundary_is_solid_and_bends(tmp_path: Path) -> None:
    trials = trained_part((ROOT / "jobs" / "quickstart.yaml").read_text(), QUICKSTART_PART, tmp_path)
    boundary, exact = boundary_of(trials), trials["collapse_weight_decay"].mean()
    quiet, noisy = (boundary.iloc[row] for row in (0, 1))
    assert boundary["converged"].all()
    assert quiet["low"] < exact < quiet["high"]
    assert noisy["high"] < exact


def test_the_boundary_of_the_readmes_grid_is_solid_and_bends(tmp_path: Path) -> None:
    assert README_GRID is not None
    boundary = boundary_of(trained_part(README_GRID[1], README_PART, tmp_path))
    assert boundary["converged"].all()
    assert boundary["high"].iloc[1] < boundary["position"].iloc[0]
