"""merge: one sweep into another."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from phasediag.commands.offers import sweeps
from phasediag.commands.options import JSON, SWEEP, say


@click.command(short_help="Add to SWEEP what another sweep holds besides.")
@SWEEP
@click.argument("other", shell_complete=sweeps)
@click.option("--dry-run", is_flag=True, help="Only tell what would be taken over.")
@JSON
def merge(sweep_path: str, other: str, dry_run: bool, as_json: bool) -> None:
    """Add to SWEEP the trials and grids that OTHER holds besides; OTHER stays as it is.

    Trials are the same where their ids are. Of those that both hold the rows of SWEEP stay, and it is told
    how many came out otherwise in OTHER.
    """
    from phasediag.sweeps.merge import merge as take_over

    merged = take_over(sweep_path, other, dry_run=dry_run)
    say(str(merged))
    click.echo(json.dumps(asdict(merged)) if as_json else merged.into)
