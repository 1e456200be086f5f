"""parameters: what a grid may say."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table


@click.command(short_help="What a grid may say: type, unit, default, meaning.")
@click.argument("name", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema of a grid, for editors.")
def parameters(name: str | None, schema: bool) -> None:
    """List the parameters of trials: type, unit, default, role, meaning."""
    from phasediag.grids.schema import grid_schema, parameter_table

    if schema:
        click.echo(json.dumps(grid_schema(), indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "of", "type", "unit", "default", "role", "meaning"):
        table.add_column(heading, overflow="fold")
    for row in parameter_table(name):
        table.add_row(row.name, row.belongs, row.type, row.unit, row.default, row.role, row.meaning)
    Console(soft_wrap=False).print(table)
