"""Runs the notebooks, so that they carry their outputs: `make notebooks`.

What the first ones read is trained before. Those of the paper read sweeps of hours: they are run where
PHASEDIAG_SWEEPS names the folder with these, and left as they are elsewhere. That of the number of neurons
reads tables that lie beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

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
COLOURS = 256
"""Of a picture that a notebook keeps."""
PICTURE = re.compile(r"(data:image/png;base64,)([A-Za-z0-9+/=]+)")
OF_HOURS = (
    "paper/fig3-left", "paper/fig3-middle", "paper/fig4", "paper/fig5", "paper/fig6", "paper/fig10",
    "paper/fig-a5",
)  # fmt: skip
"""Notebooks that read sweeps of hours, in the order in which they are to be read."""
OF_TABLES = "neuron-count"
"""The notebook that reads what `jobs/neuron-count/tables.py` wrote."""


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
        run(name, PHASEDIAG_SWEEP=str(SWEEPS / sweep))
    for name in (*(OF_HOURS if "PHASEDIAG_SWEEPS" in os.environ else ()), OF_TABLES):
        if not names or name in names:
            run(name)


def run(name: str, **environment: str) -> None:
    """Run a notebook of analysis/ and keep what it shows; nothing of the machine that it ran on."""
    path = ROOT / "analysis" / f"{name}.ipynb"
    notebook: Any = nbformat.read(path, as_version=4)
    os.environ.update(environment)
    os.environ.pop("MPLBACKEND", None)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            lighten(output.get("data", {}))
    nbformat.write(notebook, path)


def lighten(data: dict[str, str]) -> None:
    """Write the pictures of an output in few colours: a third of the bytes, and no difference to be seen."""
    if "image/png" in data:
        data["image/png"] = in_few_colours(data["image/png"])
    if "text/html" in data:
        html = data["text/html"]
        data["text/html"] = PICTURE.sub(lambda match: match[1] + in_few_colours(match[2]), html)


def in_few_colours(encoded: str) -> str:
    """A PNG in base64 with at most `COLOURS` colours; as it is where that is no smaller."""
    made = BytesIO()
    with Image.open(BytesIO(b64decode(encoded))) as picture:
        paper = Image.new("RGBA", picture.size, "white")
        paper.alpha_composite(picture.convert("RGBA"))
        paper.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT).save(
            made, "PNG", optimize=True
        )
    smaller = b64encode(made.getvalue()).decode()
    return smaller if len(smaller) < len(encoded) else encoded


if __name__ == "__main__":
    main(sys.argv[1:])
