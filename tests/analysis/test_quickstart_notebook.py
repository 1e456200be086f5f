"""The notebook runs from the Parquet of a sweep to both figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import phasediag

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart grid, thinned out so that it trains in some seconds."""
    text = (ROOT / "jobs" / "quickstart.yaml").read_text()
    replaced = {
        "learning_time: 200": "learning_time: 30",
        "num: 22": "num: 11",
        "num: 5": "num: 2",
        "init_scale: [0.1, 0.4]": "init_scale: [0.4]",
        "replicates: 4": "replicates: 3",
    }
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    folder = tmp_path_factory.mktemp("notebook")
    grid = folder / "grid.yaml"
    grid.write_text(text)
    outcome = phasediag.launch(grid, storage=str(folder), executor="inline", compile="off")
    assert outcome.exit_code == 0
    return folder / "quickstart"


def test_the_notebook_draws_both_figures(small_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASEDIAG_SWEEP", str(small_sweep))
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    notebook: Any = nbformat.read(ROOT / "analysis" / "quickstart.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT / "analysis")}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    drawn = [output for output in outputs if "image/png" in output.get("data", {})]
    printed = "".join(output.get("text", "") for output in outputs if output.output_type == "stream")
    assert len(drawn) == 2
    assert "rank ~ weight_decay^" in printed
