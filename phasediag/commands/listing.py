"""list: the sweeps of a storage."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phasediag.commands.options import JSON, say, shown

if TYPE_CHECKING:
    from phasediag.sweeps.listing import ListedSweep


@click.command(name="list", short_help="The sweeps of a storage: what, when, how far.")
@click.argument("storage", default="./sweeps")
@JSON
def list_(storage: str, as_json: bool) -> None:
    """List the sweeps of STORAGE (default ./sweeps): what, when, how far, how large.

    The one that changed last comes first.
    """
    from phasediag.sweeps.listing import list_sweeps

    sweeps = list_sweeps(storage)
    if as_json:
        click.echo(json.dumps([asdict(sweep) for sweep in sweeps], default=str))
        return
    if not sweeps:
        say(f"{storage} holds no sweep; `phasediag launch GRID` makes one there")
        return
    table = Table(box=None, pad_edge=False)
    for heading, right in (
        ("sweep", False), ("done", True), ("of", True), ("failed", True), ("size", True), ("changed", False),
        ("axes", False),
    ):  # fmt: skip
        table.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for sweep in sweeps:
        table.add_row(*(Text(shown(cell)) for cell in _cells(sweep)))
    Console().print(table)
    for sweep in sweeps:
        if sweep.trouble:
            say(f"warning: {sweep.name}: {sweep.trouble}")
    from phasediag.commands.progress import size

    weights, aside = sum(sweep.weights for sweep in sweeps), sum(sweep.aside for sweep in sweeps)
    if weights:
        say(f"{size(weights)} of it are kept weights")
    if aside:
        say(f"{size(aside)} of it were put aside: removed trials (until compact) and undone refinements")


def _cells(sweep: ListedSweep) -> tuple[str, ...]:
    from phasediag.commands.progress import size

    total = "?" if sweep.total is None else f"{sweep.total:,}"
    changed = "" if sweep.changed is None else ago(datetime.now(UTC) - sweep.changed)
    axes = f"running: {sweep.running}" if sweep.running else ", ".join(sweep.axes)
    return (
        sweep.name, f"{sweep.done:,}", total, f"{sweep.failed:,}" if sweep.failed else "", size(sweep.bytes),
        changed, "cannot be read" if sweep.trouble else axes,
    )  # fmt: skip


def ago(past: timedelta) -> str:
    """How long ago something was, in its largest unit."""
    seconds = max(0.0, past.total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
