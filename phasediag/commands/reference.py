"""parameters: what a grid may say."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from phasediag.grids.schema import ParameterRow

WIDEST: Final = 100
"""Letters of a line, on the widest terminal."""


@click.command(short_help="What a grid may say: type, unit, default, meaning.")
@click.argument("name", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema of a grid, for editors.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def parameters(name: str | None, schema: bool, as_json: bool) -> None:
    """List the parameters of trials: type, unit, default, role, meaning.

    NAME: a parameter, or a task, a model, an optimizer, a schedule, which is described too.
    """
    from phasediag.grids.schema import grid_schema, parameter_table

    if schema:
        click.echo(json.dumps(grid_schema(), indent=2))
        return
    rows = parameter_table(name)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows]))
        return
    width = min(WIDEST, shutil.get_terminal_size().columns)
    click.echo("\n".join(_page(rows, name, width)))


def _page(rows: Sequence[ParameterRow], name: str | None, width: int) -> Iterator[str]:
    """The parameters by what they belong to, each with its meaning below; every line fits the width."""
    from phasediag.grids.schema import components_named, described

    titles = components_named(name) if name else []
    for belongs in dict.fromkeys([*titles, *(row.belongs for row in rows)]):
        members = [row for row in rows if row.belongs == belongs]
        yield belongs
        if name not in [row.name for row in members]:
            yield from textwrap.wrap(described(belongs), width)
        yield ""
        for row in members:
            parts = (row.type, row.unit and f"in {row.unit}", f"default {row.default}", str(row.role))
            facts = "; ".join(part.replace("default required", "required") for part in parts if part)
            yield from _wrapped(f"{row.name}: {facts}", width, "  ")
            yield from _wrapped(row.meaning, width, "      ")
        yield ""


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent="      ")
