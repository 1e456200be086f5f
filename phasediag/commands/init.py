"""init: a commented grid to start from, with the files it needs and a schema for the editor."""

from __future__ import annotations

import json
import re
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from phasediag.commands.options import say
from phasediag.errors import PhasediagError

if TYPE_CHECKING:
    from phasediag.grids.ready import ReadyGrid

SCHEMA: Final = "phasediag.schema.json"
"""The file that an editor checks grids by."""
FIRST: Final = "two-axes"
_LEAST_ROOM: Final = 30
"""Letters of what a ready grid is about, on the narrowest terminal."""


def _ready(context: click.Context, parameter: click.Parameter, text: str) -> list[CompletionItem]:
    from phasediag.grids.ready import ready_grids

    return [CompletionItem(name, help=grid.about) for name, grid in ready_grids().items() if text in name]


@click.command()
@click.argument("template", default=FIRST, shell_complete=_ready)
@click.option("--name", help="Name of the sweep and of the file; default: that of the template.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(),
              help="Where to write; default: here.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--list", "listing", is_flag=True, help="List the templates and all ready grids instead.")
def init(template: str, name: str | None, folder: Path, force: bool, listing: bool) -> None:
    """Write a commented grid to start from; prints its path.

    \b
    TEMPLATE is any ready grid, such as quickstart, or one written to be changed:
      two-axes (the default), width-scaling, hysteresis,
      own-model, own-data, own-observable

    An editor that knows YAML schemas completes and checks the grid.
    """  # noqa: D301 (what click reads)
    from phasediag.grids.ready import ready_grid, ready_grids

    if listing:
        width = max(map(len, ready_grids())) + 2
        room = max(get_terminal_size().columns - 1 - width, _LEAST_ROOM)
        for ready in ready_grids().values():
            first, *more = wrap(ready.about, room, break_on_hyphens=False)
            click.echo(f"{ready.name:<{width}}{first}")
            for line in more:
                click.echo(" " * width + line)
        return
    ready = ready_grid(template)
    named = name if name is not None else ready.path.stem
    files = _files(ready, named)
    there = [file for file in files if (folder / file).exists() and file != SCHEMA]
    if there and not force:
        raise PhasediagError(
            f"{folder / there[0]} is there already; give another --name or --folder, or --force to replace it"
        )
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    path = folder / f"{named}.yaml"
    for file in files:
        say(f"wrote {folder / file}")
    say(f"next: phasediag plan {path}, then phasediag launch {path}")
    click.echo(str(path))


def _files(ready: ReadyGrid, name: str) -> dict[str, bytes]:
    """The content of each file that is written, by its name."""
    from phasediag.grids.schema import grid_schema
    from phasediag.grids.top_level import NAME_PATTERN

    if not re.fullmatch(NAME_PATTERN.strip("^$"), name):
        raise PhasediagError(f"--name {name}: a sweep's name has lower-case letters, digits, - and _")
    text = ready.text(name)
    text = f"# yaml-language-server: $schema={SCHEMA}\n{text}"
    schema = json.dumps(grid_schema(), indent=1).encode()
    return {f"{name}.yaml": text.encode(), **ready.beside(), SCHEMA: schema}
