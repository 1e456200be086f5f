"""The flagship notebook runs from the Parquet of a thinned sweep to its verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from executed_notebook import executed
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
    figures, text = executed("neuron-count", monkeypatch, timeout=200, PHASEDIAG_SWEEP=str(small_sweep))
    for claim in ("is polynomial in", "is independent of width", "Theorem 4", "label noise 1: neuron_count"):
        assert claim in text
    assert figures
