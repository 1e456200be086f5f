"""refine: add trials where the boundary runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan
from typing import TYPE_CHECKING, Any, Final

import click

from phasediag.commands.launch_options import LAUNCHING, Launching
from phasediag.commands.options import COLUMN, JSON, LEVEL, SWEEP, WHERE, say, together
from phasediag.commands.tables import printed
from phasediag.commands.where import filtered

if TYPE_CHECKING:
    from phasediag.sweeps.rounds import Round


_GOAL: Final = together("goal", {
    "x": click.option("--x", type=COLUMN,
                      help="Axis along the rows, in which the boundary is located; needed but for --undo."),
    "y": click.option("--y", type=COLUMN, help="Axis that numbers the rows; needed too."),
    "order": click.option("--order", type=COLUMN, default="degree_normalized", show_default=True,
                          help="Column that tells the phases apart."),
    "level": LEVEL,
    "resolution": click.option("--resolution", type=float, default=0.02, show_default=True,
                               help="Largest cell on the boundary, in decades; on linear axes in ranges."),
    "interval": click.option("--interval", type=float, help="Wished width of the boundary's 95 % interval, "
                             "in the same units: where it is wider, replicates are added."),
    "explore": click.option("--explore", type=click.FloatRange(0, 1), default=0.1, show_default=True,
                            help="Share of points, besides, that look for islands off the boundary."),
    "budget": click.option("--budget", type=click.IntRange(min=0),
                           help="Most trials of all refinements of SWEEP together."),
    "diverged": click.option("--diverged", is_flag=True,
                             help="Refine the border of the diverged trials too."),
    "beyond": click.option("--yes", "beyond", is_flag=True, help="Go on where a regular grid with cells half "
                           "as large takes fewer trials."),
    "dry_run": click.option("--dry-run", is_flag=True, help="Only tell what the next round would take."),
})  # fmt: skip
"""What `phasediag.sweeps.rounds.Goal` has."""


@click.command(short_help="Add trials where the boundary runs, or take them back.")
@SWEEP
@_GOAL
@WHERE
@click.option("--undo", is_flag=True,
              help="Take the last refinement back: its trials are put aside, not deleted.")  # fmt: skip
@LAUNCHING
@JSON
def refine(
    sweep_path: str, goal: Mapping[str, Any], where: Sequence[str], undo: bool, launching: Mapping[str, Any],
    as_json: bool,
) -> None:  # fmt: skip
    """Add trials to SWEEP only where the boundary runs, round by round; run again, it goes on.

    With --undo, take the last refinement back.
    """
    x, y = goal["x"], goal["y"]
    if undo:
        if x or y:
            raise click.UsageError("--undo takes back what was refined last: leave --x and --y out")
        _take_back(sweep_path, goal["dry_run"], as_json)
        return
    if x is None or y is None:
        raise click.UsageError(f"Missing option '--{'y' if x else 'x'}'.")
    from phasediag.sweeps.refine import refine as add_points
    from phasediag.sweeps.rounds import Goal

    refined = add_points(
        sweep_path,
        Goal(**goal),
        select=lambda trials: filtered(trials, where),
        train=Launching.of(launching).train,
        on_round=lambda done: say(described_round(done, x, y)),
    )
    if refined.stopped:
        say(refined.stopped)
    if as_json:
        rounds = [_without_nan(asdict(done)) for done in refined.rounds]
        boundary = json.loads(refined.boundary.to_json(orient="records"))
        click.echo(json.dumps({"rounds": rounds, "boundary": boundary, "stopped": refined.stopped}))
    else:
        say(printed("boundary", refined.boundary))
        click.echo(refined.sweep)
    sys.exit(refined.exit_code)


def _take_back(sweep_path: str, dry_run: bool, as_json: bool) -> None:
    from phasediag.sweeps.undo import REFINEMENT, undo

    undone = undo(sweep_path, REFINEMENT, dry_run=dry_run)
    say(str(undone))
    click.echo(json.dumps(asdict(undone)) if as_json else undone.sweep)


def described_round(done: Round, x: str, y: str) -> str:
    """What a round gained, in one line."""
    from phasediag.commands.progress import duration

    if done.cells == 0:
        nowhere = "the boundary runs through no cell of the sweep"
        if not done.coming:
            return f"{nowhere}: there is nothing to refine"
        time = duration(done.coming_s)
        return f"{nowhere}; next round: {done.coming:,} trials to look for one, {time} of one worker"

    width = "" if isnan(done.width) else f", 95 % interval {done.width:.2g} {done.unit_x}"
    share = done.trials / done.dense
    parts = [
        f"round {done.number}: {done.added:,} trials added" if done.number else "before the first round",
        f"{done.cells:,} cells on the boundary, at most {_size(done.size_x, done.unit_x, x)} by "
        f"{_size(done.size_y, done.unit_y, y)}",
        f"boundary in {done.rows:,} rows{width}",
        f"{done.trials:,} trials where a regular grid takes {done.dense:,} ({share:.0%})",
        f"next round: {done.coming:,} trials{_spent_on(done)}, {duration(done.coming_s)} of one worker"
        if done.coming
        else "the resolution is reached",
    ]
    return "; ".join(parts)


def _spent_on(done: Round) -> str:
    parts = ((done.repeats, "more replicates"), (done.explored, "off the boundary"))
    spent = [f"{count:,} {what}" for count, what in parts if count]
    return f" ({', '.join(spent)})" if spent else ""


def _size(size: float, unit: str, name: str) -> str:
    return f"{size:.3g} {unit} of {name}" if size else f"one whole number of {name}"


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and isnan(value) else value for name, value in values.items()
    }
