"""hysteresis: the loops of a sweep's ramps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from phasediag.commands.options import COLUMN, JSON, SWEEP, WHERE, say, telling
from phasediag.commands.where import filtered


@click.command(short_help="Draw the loops of the ramps of SWEEP.")
@SWEEP
@click.option("--order", type=COLUMN, default="degree_normalized", show_default=True,
              help="Column or expression that tells two states apart.")  # fmt: skip
@click.option("--level", type=float,
              help="The order parameter between the two; default: what it declares, mostly 0.5.")  # fmt: skip
@WHERE
@click.option("--output", type=click.Path(path_type=Path), default=Path("hysteresis.png"), show_default=True,
              help="PNG, SVG or PDF.")  # fmt: skip
@JSON
def hysteresis(
    sweep_path: str, order: str, level: float | None, where: Sequence[str], output: Path, as_json: bool
) -> None:
    """Draw the loops of the ramps of SWEEP, their ends and areas; prints the path of the figure."""
    from phasediag.analysis.frames import load_trials
    from phasediag.analysis.loops import hysteresis as loops_of
    from phasediag.analysis.versions import newest
    from phasediag.figures.style import save

    with telling():
        trials = newest(filtered(load_trials(sweep_path), where), [order])
    loops = loops_of(trials, order, level)
    save(loops.plot(), output)
    if as_json:
        click.echo(json.dumps({"output": str(output), **loops.as_dict()}))
        return
    say(loops.summary())
    click.echo(str(output))
