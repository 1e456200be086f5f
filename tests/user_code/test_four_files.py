"""A user's optimizer, schedule, data file and observable in one grid on a local Ray, each edited in turn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import phasediag
from phasediag.analysis.versions import VersionsWarning
from small_sweeps import run, write

DOCS = Path(__file__).parents[2] / "docs"
MOST_LINES = 30
PAGES = {
    "my_opt.py": "own-optimizer.md", "my_schedule.py": "own-optimizer.md",
    "curvature.py": "own-observable.md", "make_data.py": "own-data.md",
}  # fmt: skip
"""The files of the user, and the pages that have them: the first, or the one that says its name."""
GRID = """\
name: four
fixed: {task: moons.npz, samples: 64, test_samples: 32, width: 16, activation: relu, batch_size: 16,
  steps: 20, optimizer: "my_opt.py:Sam", schedule: "my_schedule.py:Power"}
axes:
  weight_decay: [0.001, 0.1]
  rho: [0.0, 0.5]
replicates: 2
measure: {observables: ["curvature.py:Curvature"]}
"""
TRIALS = 8
EDITS = {
    "optimizer_source": ("my_opt.py", "1e-12", "1e-9"),
    "schedule_source": ("my_schedule.py", "1 - step / steps", "1 - 0.5 * step / steps"),
    "task_source": ("make_data.py", "default_rng(0)", "default_rng(1)"),
}
"""By the column of its hash: a file, and what of it another text replaces."""


def listing(file: str) -> str:
    """The text of a file of the user, as its page has it."""
    page = (DOCS / PAGES[file]).read_text()
    named = re.search(rf"```python\n# {re.escape(file)}\n(.*?)```", page, re.DOTALL)
    block = named or re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert block is not None
    assert len(block[1].splitlines()) <= MOST_LINES
    return block[1]


def put(folder: Path, file: str, text: str) -> None:
    """Write a file of the user; of the data, the file that its script makes."""
    write(folder, text, file)
    if file == "make_data.py":
        exec(text.replace('"moons.npz"', repr(str(folder / "moons.npz"))), {})


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_four_files_of_a_user_on_a_local_ray(tmp_path: Path) -> None:
    """Recorded, drawn, rerun; another text makes new trials, or of an observable asks for `--remeasure`."""
    texts = {file: listing(file) for file in PAGES}
    for file, text in texts.items():
        put(tmp_path, file, text)
    grid, sweep = write(tmp_path, GRID), tmp_path / "sweeps" / "four"

    def launch(*options: str, code: int = 0) -> str:
        ended = run("launch", grid, "--storage", sweep.parent, "--executor", "ray", *options, timeout=300)
        assert ended.returncode == code, ended.stderr
        return ended.stderr

    launch()
    trials = phasediag.load_trials(sweep)
    assert (len(trials), set(trials["status"])) == (TRIALS, {"ok"})
    assert trials["curvature"].notna().all()
    figure, again = tmp_path / "diagram.png", tmp_path / "again"
    axes = ("--x", "weight_decay", "--y", "rho", "--order", "curvature", "--level", "1")
    assert run("diagram", sweep, *axes, "--output", figure).returncode == 0
    assert figure.stat().st_size > 1000
    chosen = trials.iloc[0]
    reran = run("rerun", sweep, chosen["trial_id"], "--save", again)
    assert (reran.returncode, "differs" in reran.stdout) == (0, False), reran.stdout + reran.stderr
    launch()
    assert len(phasediag.load_trials(sweep)) == TRIALS

    for number, (column, (file, old, new)) in enumerate(EDITS.items(), start=2):
        assert old in texts[file]
        put(tmp_path, file, texts[file].replace(old, new))
        launch()
        trials = phasediag.load_trials(sweep)
        assert (len(trials), trials["trial_id"].nunique()) == (number * TRIALS,) * 2
        assert trials[column].nunique() == 2

    put(tmp_path, "curvature.py", texts["curvature.py"].replace("along / square", "2 * along / square"))
    refused = launch(code=2)
    assert "--remeasure" in refused
    assert "Traceback" not in refused
    before = phasediag.load_trials(sweep)
    launch("--remeasure")
    with pytest.warns(VersionsWarning, match=r"2 versions .* \(24 by .* and 8 by"):
        after = phasediag.load_trials(sweep)
    assert set(after["trial_id"]) == set(before["trial_id"])
    newest = sorted(after["observable_source"].unique(), key=list(after["observable_source"]).count)[0]
    measured = after[after["observable_source"] == newest].set_index("trial_id")["curvature"]
    assert len(measured) == TRIALS
    earlier = before.set_index("trial_id")["curvature"][measured.index]
    np.testing.assert_allclose(measured, 2 * earlier, rtol=1e-3)
