"""remove: trials out of a sweep, into its trash; and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from phasediag.commands.options import JSON, SWEEP, WHERE, say
from phasediag.commands.where import filtered


@click.command(short_help="Take trials out of SWEEP, into its trash; or back.")
@SWEEP
@WHERE
@click.option("--yes", is_flag=True, help="Do it; without, only tell how many trials there are.")
@click.option("--undo", is_flag=True, help="Bring back what was removed last.")
@JSON
def remove(sweep_path: str, where: Sequence[str], yes: bool, undo: bool, as_json: bool) -> None:
    """Take the trials of SWEEP for which all conditions of --where hold out of it.

    They stay in its trash until `phasediag compact SWEEP`. Grids that ask for them count them as missing.
    """
    from phasediag.sweeps.remove import bring_back
    from phasediag.sweeps.remove import remove as take_out

    if undo:
        if where:
            raise click.UsageError("--undo brings back all that was removed last: leave --where out")
        done = bring_back(sweep_path)
    else:
        if not where:
            raise click.UsageError(
                "say which trials: --where \"status == 'failed'\", --where 'weight_decay > 2'. A sweep as a "
                "whole is its folder: delete that"
            )
        from phasediag.analysis.frames import load_trials

        trials = filtered(load_trials(sweep_path), where)
        done = take_out(sweep_path, trials["trial_id"].unique().tolist(), dry_run=not yes)
    say(str(done))
    click.echo(json.dumps(asdict(done)) if as_json else done.sweep)
