"""The notebooks run from the Parquet of a small sweep to their figures and answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

import phasediag
from executed_notebook import executed

ROOT = Path(__file__).parents[2]
THINNED = {
    "learning_time: 800": "learning_time: 30",
    "absolute: 1e-8": "absolute: 1e-3",
    "num: 22": "num: 11",
    "num: 5": "num: 2",
    "init_scale: [0.1, 0.4]": "init_scale: [0.4]",
    "replicates: 4": "replicates: 3",
}
"""The quickstart grid, changed so that it trains in some seconds."""
PLANE = {
    "learning_time: 30": "learning_time: 8",
    "label_noise: [0, 0.7]": "label_noise: [0]",
    "width: [8, 16]": "width: [16]",
}


def launched(folder: Path, replaced: dict[str, str], more: str = "") -> Path:
    text = (ROOT / "jobs" / "quickstart.yaml").read_text()
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    grid = folder / "grid.yaml"
    grid.write_text(text + more)
    outcome = phasediag.launch(grid, storage=str(folder), executor="inline", compile="off")
    assert outcome.exit_code == 0
    return folder / "quickstart"


@pytest.fixture(scope="module")
def small_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return launched(tmp_path_factory.mktemp("notebook"), THINNED)


@pytest.fixture(scope="module")
def refined_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plane of the quickstart, and then points between its cells where the boundary runs."""
    folder = tmp_path_factory.mktemp("refined")
    launched(folder, THINNED | PLANE)
    fixed = {"init_scale: [0.4]": "init_scale: 0.4", "label_noise: [0]": "label_noise: 0",
             "width: [16]": "width: 16"}  # fmt: skip
    points = "".join(
        f"  - {{weight_decay: {decay}, lr_over_batch: {ratio}}}\n"
        for decay in (1.5, 1.7, 1.9, 2.1)
        for ratio in (1e-2, 6e-2)
    )
    text = (folder / "grid.yaml").read_text()
    for old, new in fixed.items():
        text = text.replace(f"\n  {old}", "").replace("\naxes:", f"\n  {new}\naxes:")
    head, _, rest = text.partition("axes:")
    (folder / "grid.yaml").write_text(f"{head}points:\n{points}{rest[rest.index('replicates:') :]}")
    outcome = phasediag.launch(folder / "grid.yaml", storage=str(folder), executor="inline", compile="off")
    assert outcome.exit_code == 0
    return folder / "quickstart"


def test_quickstart(small_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, printed = executed("quickstart", monkeypatch, PHASEDIAG_SWEEP=str(small_sweep))
    assert figures == 2
    assert "rank ~ weight_decay^" in printed


def test_phase_boundary(small_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, printed = executed("phase-boundary", monkeypatch, PHASEDIAG_SWEEP=str(small_sweep))
    assert figures == 3
    assert "{2: nan, 3: 0." in printed


def test_refinement(refined_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, printed = executed("refinement", monkeypatch, PHASEDIAG_SWEEP=str(refined_sweep))
    assert figures == 1
    assert "90 trials instead of 90: 100%" in printed


def test_from_a_million_rows(small_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("polars", "duckdb", "xarray"):
        pytest.importorskip(module)
    _, printed = executed("from-a-million-rows", monkeypatch, PHASEDIAG_SWEEP=str(small_sweep))
    assert f"{11 * 2 * 2 * 2 * 3} rows" in printed
    assert "Dimensions" in printed


CARRYING = frozenset({
    "fig3-left", "fig3-middle", "fig4", "fig5", "fig6", "fig10", "fig-a5", "quickstart", "phase-boundary",
    "refinement", "from-a-million-rows", "symmetry-breaking", "neuron-count",
})  # fmt: skip
"""Notebooks that were run and kept with what they show (`make notebooks`); the others are kept without."""


@pytest.mark.parametrize("path", sorted((ROOT / "analysis").rglob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_carry_what_they_show(path: Path) -> None:
    """From one run, from the first cell to the last, without anything of the machine that they ran on."""
    notebook: Any = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if path.stem not in CARRYING:
        assert not any(cell.outputs for cell in code)
        return
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert sum("text/html" in output.get("data", {}) for output in outputs) >= 1
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not re.search(r"/(?:home|root|work|tmp|Users)/", str(outputs))
    assert path.stat().st_size < 400_000


def test_symmetry_breaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "jobs" / "paper" / "fig2.yaml").read_text()
    for old, new in {
        "steps: 6000": "steps: 600", "width: 64": "width: 16", "samples: 500": "samples: 64",
        "init_scale: [0.1, 0.2, 0.5, 1]": "init_scale: [0.2, 2]", "replicates: 5": "replicates: 2",
    }.items():  # fmt: skip
        assert old in text, old
        text = text.replace(old, new)
    grid = tmp_path / "grid.yaml"
    grid.write_text(text)
    assert phasediag.launch(grid, storage=str(tmp_path), executor="inline", compile="off").exit_code == 0
    figures, printed = executed("symmetry-breaking", monkeypatch, PHASEDIAG_SWEEP=str(tmp_path / "fig2"))
    assert figures == 3
    assert "init scale 2: no generator is lost" in printed
