"""A notebook run from its first cell to its last, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ANALYSIS = Path(__file__).parents[1] / "analysis"


def executed(
    name: str, monkeypatch: pytest.MonkeyPatch, timeout: int = 120, **environment: str
) -> tuple[int, str]:
    """How many figures a notebook of `analysis/` draws, and all the text that it prints or shows."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own puts figures into the outputs
    path = ANALYSIS / f"{name}.ipynb"
    notebook: Any = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs]
    return sum(draws(output) for output in outputs), "\n".join(texts)


def draws(output: Any) -> bool:
    """Whether an output is a figure, alone or over the words of a result."""
    data = output.get("data", {})
    return "image/png" in data or "data:image/png" in data.get("text/html", "")
