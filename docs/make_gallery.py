"""Trains the grids of the gallery, draws their figures, and writes docs/gallery.md: `make gallery`.

The commands are those of the comment at the head of each grid. Without names everything is trained; the page
alone is written anew by `--page`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from phasediag.grids.ready import ready_grids

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "gallery"
RECORD = FOLDER / "record.json"
PAGE = Path(__file__).parent / "gallery.md"
NOTEBOOKS = {
    "quickstart": "From Parquet to a phase boundary and a scaling law",
    "phase-boundary": "Where is the boundary, and how sure are we?",
    "refinement": "What did refinement add, and what was gained?",
    "from-a-million-rows": "How do I read one answer out of a million rows?",
    "symmetry-breaking": "Do symmetries break while the loss drops?",
    "neuron-count": "How does the number of neurons scale?",
}
"""By the name of the file, in the order in which they are to be read."""
PROGRAM = (sys.executable, "-c", "from phasediag.cli import main; main()")
DRAWING = ("diagram", "hysteresis", "scaling")


@dataclass(frozen=True, slots=True)
class Picture:
    """One entry of the gallery."""

    grid: str
    """Its path from the root of the repository."""
    title: str
    shows: str
    """What is to be seen, in whole sentences; it names no number."""
    command: int = 0
    """Which of the drawing commands in the head of the grid."""
    raster: bool = False
    """Whether it is shown as one pixel a cell besides."""

    @property
    def name(self) -> str:
        """Of the files."""
        return Path(self.grid).stem + (f"-{self.command + 1}" if self.command else "")

    @property
    def head(self) -> list[str]:
        """The comment at the head of the grid, line by line."""
        lines = (ROOT / self.grid).read_text().splitlines()
        return [line.removeprefix("#").strip() for line in lines if line.startswith("#")]

    @property
    def drawn_by(self) -> str:
        """The command of the figure, without `--output`."""
        commands = [re.sub(r" --output \S+", "", line.partition("   #")[0]).strip() for line in self.head
                 if line.startswith(tuple(f"phasediag {name} " for name in DRAWING))]  # fmt: skip
        return commands[self.command] + (f" --raster {self.raster_file}" if self.raster else "")

    @property
    def raster_file(self) -> str:
        """Of one pixel a cell."""
        return f"{self.name}-raster.png"


PICTURES = (
    Picture(
        "jobs/quickstart.yaml",
        "The quickstart",
        "Noise on labels and in gradients makes the neurons equal at weaker decay than the data predict "
        "without any (dashed); the width hardly moves that.",
    ),
    Picture(
        "jobs/templates/two-axes.yaml",
        "The template of `phasediag init`",
        "Linear networks on fresh data: the boundary bends to weaker decay as gradient noise grows.",
    ),
    Picture(
        "jobs/templates/width-scaling.yaml",
        "How many directions a network keeps",
        "The rank falls in steps as decay passes the singular values of the map. Which law describes "
        "that, and whether the width matters, is said with the fit.",
    ),
    Picture(
        "jobs/templates/own-model.yaml",
        "An own model",
        "A gain between two layers moves the collapse in proportion: straight on logarithmic axes.",
    ),
    Picture(
        "jobs/templates/own-data.yaml",
        "Own data",
        "Two half moons from an `.npz` file; labels that are drawn anew carry less signal.",
    ),
    Picture(
        "jobs/templates/own-observable.yaml",
        "An own observable",
        "The size of a neuron, measured by a file beside the grid, as order parameter.",
    ),
    Picture(
        "jobs/templates/hysteresis.yaml",
        "A first-order transition",
        "Each network walks along weight decay and back; the two ways part where two states are "
        "stable side by side. [Ramps](ramps.md).",
    ),
    Picture(
        "jobs/literature/collapse-of-a-neuron.yaml",
        "Label noise collapses a neuron",
        "The growth rate of the norm as order parameter, against theorem 5.1 of "
        "[2306.04251](https://arxiv.org/abs/2306.04251).",
    ),
    Picture(
        "jobs/literature/initial-variance.yaml",
        "Initial variance and learning rate",
        "Where singular values grow without end, in the plane of "
        "[2509.01349](https://arxiv.org/abs/2509.01349). The order parameter is a condition over "
        "two columns.",
    ),
    Picture(
        "jobs/literature/sharpness-regimes.yaml",
        "Regimes of sharpness",
        "From which learning rate on, in units of 2 / sharpness, the loss rises above its start within ten "
        "steps ([2302.12250](https://arxiv.org/abs/2302.12250)). The axis is a result, put into bins.",
    ),
    Picture(
        "jobs/literature/stochastic-collapse.yaml",
        "Stochastic collapse",
        "The share of distinct neurons falls with either kind of noise. Everything is hatched and "
        "the boundary dashed: a front of training time, and said to be one ([questions and "
        "answers](faq.md)).",
    ),
    Picture(
        "jobs/literature/trainability.yaml",
        "A boundary that is no line",
        "A million networks, a learning rate for each of two layers: where training diverges is fractal "
        "([2402.06184](https://arxiv.org/abs/2402.06184)), so its dimension is told and no line is drawn.",
        raster=True,
    ),
)


def main() -> None:
    """Train and draw what was asked for; then write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="pictures; default: all")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--storage", type=Path, default=ROOT / "build" / "sweeps")
    given = parser.parse_args()
    for picture in () if given.page else PICTURES:
        if not given.names or picture.name in given.names:
            make(picture, given.storage)
    record = json.loads(RECORD.read_text())
    if not {picture.name for picture in PICTURES} - set(record):
        PAGE.write_text(page(record))


def make(picture: Picture, storage: Path) -> None:
    """Launch a grid in one process and draw its figure; what it took is kept in the record."""
    sweep = storage / re.search(r"^name: (\S+)", (ROOT / picture.grid).read_text(), flags=re.M)[1]
    started = time.monotonic()
    launch = ["launch", str(ROOT / picture.grid), "--executor", "inline", "--storage", str(storage)]
    subprocess.run([*PROGRAM, *launch], check=True)
    draw(picture, sweep, round(time.monotonic() - started), datetime.now(UTC).date().isoformat())


def draw(picture: Picture, sweep: Path, seconds: int, date: str) -> None:
    """Draw the figure of a sweep that took so many seconds on a day, and keep that in the record."""
    status = subprocess.run(
        [*PROGRAM, "status", str(sweep), "--json"], check=True, capture_output=True, text=True
    )
    drawing = shlex.split(picture.drawn_by)[1:]
    drawing[1] = str(sweep.resolve())
    FOLDER.mkdir(exist_ok=True)
    drawn = subprocess.run([*PROGRAM, *drawing, "--output", f"{picture.name}.png"], cwd=FOLDER,
                           check=True, capture_output=True, text=True)  # fmt: skip
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record[picture.name] = {
        "trials": json.loads(status.stdout)["total"], "seconds": seconds, "processor": processor(),
        "date": date, "said": (drawn.stdout if drawing[0] == "scaling" else drawn.stderr).strip(),
    }  # fmt: skip
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def processor() -> str:
    """The model of the processor, as far as the system says."""
    info = Path("/proc/cpuinfo")
    line = re.search(r"^model name\s*: (.+)$", info.read_text(), flags=re.M) if info.exists() else None
    return f"{line[1] if line else platform.machine()}, {os.cpu_count()} cores"


def page(record: dict[str, Any]) -> str:
    """The text of the gallery."""
    head = [
        "<!-- Written by docs/make_gallery.py. -->",
        "# Gallery",
        "",
        "Diagrams with the grids that made them, by the program as it is. `phasediag init` writes a grid,",
        "with the files that it needs, for you to launch or to change. Times are those of one process",
        "(`--executor inline`), start-up included, on a machine that others used at the same time;",
        "[how to read a diagram](faq.md).",
        "",
        "**Notebooks, in a reading order** (`make notebooks` runs them and keeps their outputs):",
        "",
        *(
            f"{at}. [{title}](notebooks/{name}.ipynb)"
            for at, (name, title) in enumerate(NOTEBOOKS.items(), 1)
        ),
    ]
    return "\n".join([*head, *(line for each in PICTURES for line in entry(each, record[each.name]))]) + "\n"


def entry(picture: Picture, made: dict[str, Any]) -> list[str]:
    """One picture with its grid and what it took."""
    ready = next(each for each in ready_grids().values() if each.path == ROOT / picture.grid)
    stem = ready.path.stem
    answer = folded("What the command says of it", "text", made["said"]) if made["said"] else []
    grid = ready.text(stem).rstrip()
    return [
        "", f"## {picture.title}", "", picture.shows, "",
        f"![{picture.title}](gallery/{picture.name}.png)", "",
        *([f"One pixel a network: ![{picture.title}](gallery/{picture.raster_file})", ""]
          if picture.raster else []),
        f"{made['trials']:,} networks, {made['seconds']} s ({made['processor']}, {made['date']}). The grid: "
        f"[{Path(picture.grid).name}](../{picture.grid}).", "",
        "```text", f"phasediag init {ready.name}", f"phasediag launch {stem}.yaml", picture.drawn_by, "```",
        *answer, *folded("The grid", "yaml", grid),
    ]  # fmt: skip


def folded(title: str, language: str, text: str) -> list[str]:
    """Text that is shown when asked for."""
    fence = f"```{language}"
    return ["", f"<details><summary>{title}</summary>", "", fence, text, "```", "", "</details>"]


if __name__ == "__main__":
    main()
