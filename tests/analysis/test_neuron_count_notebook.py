"""The flagship notebook runs from the Parquet of a thinned sweep to its verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from small_sweeps import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flagship grid with fewer, shorter trials: strong decay, where most of them converge in time."""
    text = (ROOT / "jobs" / "neuron-count.yaml").read_text()
    replaced = {
        "steps: 100000": "steps: 20000", "[1e-3, 1], num: 25": "[1e-1, 3], num: 7",
        "every: 50000": "every: 10000", "width: [8, 16, 32, 64]": "width: [16, 32]",
        "replicates: 10": "replicates: 3",
    }  # fmt: skip
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    folder = tmp_path_factory.mktemp("notebook")
    grid = folder / "grid.yaml"
    grid.write_text(text)
    found = run("launch", grid, "--storage", folder, "--executor", "inline", timeout=1000)
    assert found.returncode == 0, found.stderr
    return folder / "neuron-count"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_notebook_comes_to_its_verdicts(small_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASEDIAG_SWEEP", str(small_sweep))
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own puts figures into the outputs
    notebook: Any = nbformat.read(ROOT / "analysis" / "neuron-count.ipynb", as_version=4)
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(ROOT / "analysis")}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
    )
    for claim in ("is polynomial in", "is independent of width", "Theorem 4", "label noise 1: neuron_count"):
        assert claim in text
    assert any("image/png" in output.get("data", {}) for output in outputs)
