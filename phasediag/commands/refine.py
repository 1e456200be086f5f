"""refine: add trials where the boundary runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from phasediag.columns import level_of
from phasediag.commands.options import COLUMN, COMPILE, JSON, RETRY, SWEEP, WHERE, say, seconds
from phasediag.commands.where import filtered

if TYPE_CHECKING:
    from phasediag.sweeps.rounds import Round
    from phasediag.sweeps.sweep import Outcome


@click.command(short_help="Add trials where the boundary runs, or take them back.")
@SWEEP
@click.option("--x", type=COLUMN, help="Axis along the rows, in which the boundary is located.")
@click.option("--y", type=COLUMN, help="Axis that numbers the rows.")
@click.option("--order", type=COLUMN, default="degree_normalized", show_default=True,
              help="Column that tells the phases apart.")  # fmt: skip
@click.option("--level", type=float, help="Its value on the boundary; default: 0.5, of a rate 0.")
@click.option("--resolution", type=float, default=0.02, show_default=True,
              help="Largest cell on the boundary, in decades; on linear axes in ranges.")  # fmt: skip
@click.option("--interval", type=float, help="Wished width of the boundary's 95 % interval, in the same "
              "units: where it is wider, replicates are added.")  # fmt: skip
@click.option("--explore", type=click.FloatRange(0, 1), default=0.1, show_default=True,
              help="Share of points, besides, that look for islands off the boundary.")  # fmt: skip
@click.option("--budget", type=click.IntRange(min=0),
              help="Most trials of all refinements of SWEEP together.")  # fmt: skip
@click.option("--diverged", is_flag=True, help="Refine the border of the diverged trials too.")
@WHERE
@click.option("--dry-run", is_flag=True, help="Only tell what the next round would take.")
@click.option("--undo", is_flag=True,
              help="Take the last refinement back: its trials are put aside, not deleted.")  # fmt: skip
@click.option("--yes", "beyond", is_flag=True,
              help="Go on where a regular grid with cells half as large takes fewer trials.")  # fmt: skip
@click.option("--address", help="A Ray cluster, or auto; default: RAY_ADDRESS, or a local Ray of its own.")
@click.option("--executor", type=click.Choice(["ray", "inline"]), default="ray", show_default=True)
@click.option(
    "--max-failures", type=click.IntRange(min=1), help="End after so many failed trials of a round."
)
@RETRY
@click.option("--time-limit", help="Be over after this time (3h50m, 45m, 90s); drains before.")
@COMPILE
@JSON
def refine(
    sweep_path: str, x: str | None, y: str | None, order: str, level: float | None, resolution: float,
    interval: float | None, explore: float, budget: int | None, diverged: bool, where: Sequence[str],
    dry_run: bool, undo: bool, beyond: bool, address: str | None, executor: Any, max_failures: int | None,
    retry_failed: bool, time_limit: str | None, compile_mode: Any, as_json: bool,
) -> None:  # fmt: skip
    """Add trials to SWEEP only where the boundary runs, round by round; run again, it goes on.

    With --undo, take the last refinement back.
    """
    if undo:
        if x or y:
            raise click.UsageError("--undo takes back what was refined last: leave --x and --y out")
        _take_back(sweep_path, dry_run, as_json)
        return
    if x is None or y is None:
        raise click.UsageError(f"Missing option '--{'y' if x else 'x'}'.")
    from phasediag.sweeps.refine import refine as add_points

    deadline = None if time_limit is None else time.monotonic() + seconds(time_limit)
    train = partial(
        launched, deadline=deadline, executor=executor, address=address, max_failures=max_failures,
        retry_failed=retry_failed, compile=compile_mode,
    )  # fmt: skip
    refined = add_points(
        sweep_path, x, y,
        order=order, level=level_of(order, level),
        resolution=resolution, budget=budget, diverged=diverged, dry_run=dry_run, beyond=beyond,
        interval=interval, explore=explore,
        select=lambda trials: filtered(trials, where), train=train,
        on_round=lambda done: say(described_round(done, x, y)),
    )  # fmt: skip
    if refined.stopped:
        say(refined.stopped)
    if as_json:
        rounds = [_without_nan(asdict(done)) for done in refined.rounds]
        boundary = json.loads(refined.boundary.to_json(orient="records"))
        click.echo(json.dumps({"rounds": rounds, "boundary": boundary, "stopped": refined.stopped}))
    else:
        say(refined.boundary.to_string(index=False))
        click.echo(refined.sweep)
    sys.exit(refined.exit_code)


def _take_back(sweep_path: str, dry_run: bool, as_json: bool) -> None:
    from phasediag.sweeps.undo import undo_refinement

    undone = undo_refinement(sweep_path, dry_run=dry_run)
    say(str(undone))
    click.echo(json.dumps(asdict(undone)) if as_json else undone.sweep)


def described_round(done: Round, x: str, y: str) -> str:
    """What a round gained, in one line."""
    if done.cells == 0:
        return "the boundary runs through no cell of the sweep: there is nothing to refine"
    from phasediag.commands.progress import duration

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


def launched(grid: Path, *, sweep: str, deadline: float | None, **options: Any) -> Outcome:
    """Launch a grid into a sweep with a progress line, by a deadline; a local Ray stays for the next one."""
    from phasediag.commands.progress import ProgressLine
    from phasediag.sweeps.sweep import launch

    limit = None if deadline is None else max(1.0, deadline - time.monotonic())
    with ProgressLine(Console(stderr=True)) as line:
        return launch(grid, sweep=sweep, time_limit_s=limit, observer=line, keep_ray=True, **options)


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and isnan(value) else value for name, value in values.items()
    }
