"""Trains what the first notebooks read and runs them, so that they carry their outputs: `make notebooks`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
SWEEPS = ROOT / "build" / "sweeps"
PROGRAM = (sys.executable, "-c", "from phasediag.cli import main; main()")
READ = {
    "quickstart": "quickstart", "phase-boundary": "quickstart", "refinement": "refined",
    "from-a-million-rows": "quickstart", "symmetry-breaking": "fig2",
}  # fmt: skip
"""The sweep that each reads, in the order in which they are to be read."""
TRAINED = {
    "quickstart": ("launch jobs/quickstart.yaml",),
    "refined": (
        "launch jobs/templates/two-axes.yaml --set name=refined",
        "refine refined --x weight_decay --y lr_over_batch --resolution 0.05",
    ),
    "fig2": ("launch jobs/paper/fig2.yaml",),
}
"""The commands that train each sweep."""


def main(names: list[str]) -> None:
    """Train and run what was asked for; without names everything."""
    for name, sweep in READ.items():
        if names and name not in names:
            continue
        for command in TRAINED[sweep]:
            verb, subject, *options = command.split()
            where = ["--storage", str(SWEEPS)] if verb == "launch" else []
            given = [verb, str((ROOT if verb == "launch" else SWEEPS) / subject), *options, *where]
            subprocess.run([*PROGRAM, *given, "--executor", "inline"], check=True)
        run(ROOT / "analysis" / f"{name}.ipynb", SWEEPS / sweep)


def run(path: Path, sweep: Path) -> None:
    """Run a notebook and keep what it shows; nothing of the machine that it ran on."""
    notebook: Any = nbformat.read(path, as_version=4)
    os.environ["PHASEDIAG_SWEEP"] = str(sweep)
    os.environ.pop("MPLBACKEND", None)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])
