"""plan, launch, status, rerun, compact: from a grid to rows."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from phasediag.commands.launch_options import LAUNCHING, Launching
from phasediag.commands.options import (
    COLUMN,
    COMPILE,
    JSON,
    LEVEL,
    REMEASURE,
    RETRY,
    SET,
    STORAGE,
    SWEEP,
    print_table,
    say,
    seconds,
    together,
)
from phasediag.errors import LeaseHeldError

if TYPE_CHECKING:
    from phasediag.analysis.replication import Replication
    from phasediag.sweeps.planning import Plan
    from phasediag.sweeps.status import Status
    from phasediag.sweeps.sweep import Outcome

ATTEMPT_SECONDS: Final = 2.0
"""Between two attempts to take a sweep that is held."""


_PILOT: Final = together("replication", {
    "pilot": click.option("--pilot", metavar="SWEEP",
                          help="Tell from this sweep how many replicates an interval takes."),
    "x": click.option("--x", type=COLUMN,
                      help="Axis along which the boundary's interval is meant, with --pilot."),
    "y": click.option("--y", type=COLUMN,
                      help="Axis that numbers the rows, with --pilot; without it the diagram is a line."),
    "order": click.option("--order", type=COLUMN, default="degree_normalized", show_default=True,
                          help="Column that tells the phases apart, with --pilot."),
    "level": LEVEL,
    "width": click.option("--width", type=float, help="Wished width of the 95 % interval, in decades of a "
                          "logarithmic x, else in its units, with --pilot."),
})  # fmt: skip


@click.command()
@click.argument("grid", type=click.Path())
@STORAGE
@SET
@COMPILE
@RETRY
@_PILOT
@JSON
def plan(
    grid: str, storage: str, settings: Sequence[str], compile_mode: Any, retry_failed: bool,
    replication: Mapping[str, Any], as_json: bool,
) -> None:  # fmt: skip
    """Validate GRID and tell what a launch would do. Trains nothing.

    With --pilot, --x and --width also how many replicates an interval of that width takes.
    """
    asked = [replication[name] is not None for name in ("pilot", "x", "width")]
    if any(asked) != all(asked) or (replication["y"] and not any(asked)):
        raise click.UsageError("--pilot, --x and --width go together; give all three, or none")
    from phasediag.commands.progress import duration, size
    from phasediag.sweeps import sweep
    from phasediag.sweeps.status import about

    planned = sweep.plan(
        grid, storage, compile_mode=compile_mode, retry_failed=retry_failed, settings=settings
    )
    survey = planned.survey
    needed = _needed(**replication) if all(asked) else None
    values: dict[str, Any] = {
        "trials": len(survey.trials), "points": planned.points, "packs": len(planned.programs),
        "done": survey.done, "missing": len(survey.missing), "failed": survey.failed, "bytes": planned.bytes,
        "seconds": planned.seconds, "store_bytes": planned.store_bytes,
        **({"weights_bytes": planned.weights_bytes} if survey.grid.keep else {}),
    }  # fmt: skip
    if as_json:
        values |= {} if needed is None else {"replication": needed.as_dict()}
        click.echo(json.dumps(values))
    else:
        compiled = sum(compiled for _, _, compiled, _ in planned.programs)
        shown = {
            **{name: f"{values[name]:,}" for name in ("trials", "points", "done", "missing", "failed")},
            "packs": f"{len(planned.programs):,} ({compiled:,} compiled)",
            "memory of a tile": size(planned.bytes),
            "time": f"{about(planned.seconds)} on {planned.workers} workers of this machine "
            f"({duration(planned.training_seconds)} of it training)"
            if planned.programs
            else "nothing to train",
            "store": size(planned.store_bytes) + _of_weights(planned),
        }
        print_table(f"{survey.grid.name}: {grid}", shown)
    for text in planned.warnings:
        say(f"warning: {text}")
    for note in filter(None, (planned.advice, *planned.notes)):
        say(f"note: {note}")
    if needed is not None:
        say(needed.summary())
        grid_has = survey.grid.replicates
        if needed.needed:
            say(f"{survey.grid.name} has {grid_has}: {needed.needed / grid_has:.2g} times as many trials")


def _of_weights(planned: Plan) -> str:
    """What of the store is kept weights, in words; empty where none are kept."""
    from phasediag.commands.progress import size

    keep = planned.survey.grid.keep
    share = "" if keep == 1 else f", of {keep:.3g} of the trials"
    return f" ({size(planned.weights_bytes)} of it kept weights{share})" if keep else ""


def _needed(pilot: str, x: str, y: str | None, order: str, level: float | None, width: float) -> Replication:
    """How many replicates an interval of this width takes, by the diagram of a pilot sweep."""
    from phasediag.analysis.frames import load_trials
    from phasediag.analysis.phases import phase_diagram
    from phasediag.analysis.replication import replicates_needed

    diagram = phase_diagram(load_trials(pilot), x=x, y=y, order=order, level=level)
    return replicates_needed(diagram, width)


_LONGER: Final = together("longer", {
    "extend": click.option("--extend", type=float, metavar="FACTOR", help="Train the trials of GRID, or of "
                           "the sweep that is named instead, to so many times their steps besides, and tell "
                           "what moved."),
    "until_converged": click.option("--until-converged", is_flag=True, help="Double the steps of those "
                                    "points of GRID, or of a sweep, that are not settled, round after "
                                    "round, and tell what moved."),
    "most": click.option("--most", type=float, default=16.0, show_default=True, help="Times their first "
                         "steps that --until-converged trains points at most."),
    "order": click.option("--order", type=COLUMN, default="degree_normalized", show_default=True,
                          help="With --until-converged: the column that is to settle. Of a count "
                          "`count_converged` is asked, of others `converged`."),
    "undo": click.option("--undo", is_flag=True, help="With --extend: take the last extension of the sweep "
                         "back; with --until-converged all rounds of it."),
})  # fmt: skip
"""Training of what was launched for longer."""


@click.command()
@click.argument("grid", type=click.Path())
@STORAGE
@SET
@LAUNCHING
@REMEASURE
@click.option("--wait", metavar="TIME", help="Wait so long (3m) for another launch of the sweep to end.")
@click.option("--profile", is_flag=True, help="Tell at the end what the workers' time was spent on.")
@_LONGER
def launch(
    grid: str, storage: str, settings: Sequence[str], launching: Mapping[str, Any], remeasure: bool,
    wait: str | None, profile: bool, longer: Mapping[str, Any],
) -> None:  # fmt: skip
    """Train whatever of GRID the store does not hold. Ctrl-C drains, a second one stops at once.

    With --extend, GRID may be a sweep: its trials are trained again for longer, into the same sweep. With
    --until-converged as well: then only the points that are not settled are, each with all its replicates.
    """
    how = Launching.of(launching, remeasure=remeasure)
    if longer["extend"] is not None or longer["until_converged"]:
        _train_longer(grid, storage, settings, how, **longer)
        return
    if longer["undo"]:
        raise click.UsageError("--undo takes an extension back: give --extend or --until-converged too")
    from phasediag.commands.progress import ProgressLine, described_split
    from phasediag.sweeps import sweep

    def attempt() -> Outcome:
        with ProgressLine(Console(stderr=True)) as line:
            return sweep.launch(
                grid, storage, observer=line, notify=lambda sentence: say(f"note: {sentence}"),
                settings=settings, **how.keywords,
            )  # fmt: skip

    outcome = attempt() if wait is None else _once_free(attempt, seconds(wait, "--wait"))
    say(str(outcome))
    if profile:
        say(described_split(outcome))
    say(outcome.sweep, err=False)
    sys.exit(outcome.exit_code)


def _train_longer(
    grid: str, storage: str, settings: Sequence[str], how: Launching, *, extend: float | None,
    until_converged: bool, most: float, order: str, undo: bool,
) -> None:  # fmt: skip
    """Train what was launched for longer, or take that back."""
    from phasediag.commands import extending

    if extend is not None and until_converged:
        raise click.UsageError("--extend trains all points for longer, --until-converged some: give one")
    if settings:
        option = "--until-converged" if until_converged else "--extend"
        raise click.UsageError(f"{option} trains what was launched for longer: leave --set out")
    if undo:
        extending.taken_back(grid, until_converged=until_converged)
    elif extend is not None:
        extending.extended(grid, extend, storage, how)
    else:
        extending.trained_on(grid, most, order, storage, how)


def _once_free(attempt: Callable[[], Outcome], wait_s: float) -> Outcome:
    """Launch as soon as no other launch holds the sweep, within some seconds."""
    until, waiting = time.monotonic() + wait_s, False
    while True:
        try:
            return attempt()
        except LeaseHeldError as error:
            if time.monotonic() >= until:
                raise
            if not waiting:
                say(f"note: waiting for {wait_s:.0f} s: {error}")
            waiting = True
            time.sleep(ATTEMPT_SECONDS)


@click.command()
@SWEEP
@click.option("--watch", is_flag=True, help="Draw the diagram as it fills, until the sweep is complete.")
@click.option("--x", type=COLUMN, help="Axis across, with --watch; default: of the two with most values.")
@click.option("--y", type=COLUMN, help="Axis upwards, with --watch.")
@click.option("--order", type=COLUMN, default="degree_normalized", show_default=True,
              help="Column that tells the phases apart, with --watch.")  # fmt: skip
@LEVEL
@JSON
def status(
    sweep_path: str, watch: bool, x: str | None, y: str | None, order: str, level: float | None, as_json: bool
) -> None:
    """Tell how far SWEEP is: done, failed, diverged, missing."""
    if watch:
        from phasediag.commands import filling

        if as_json:
            raise click.UsageError("--watch draws, --json does not: give one of the two")
        filling.watch(sweep_path, Console(), x=x, y=y, order=order, level=level)
        return
    from phasediag.commands.progress import duration
    from phasediag.sweeps.status import status as status_of_sweep

    state = status_of_sweep(sweep_path)
    if state.earlier:
        say(
            f"note: {state.earlier:,} trials belong to earlier versions of your files and are not counted; "
            "diagram, scaling and report leave them out too (--where model_source=HASH, or task_source, "
            "optimizer_source, schedule_source, takes those of the file that changed)"
        )
    from phasediag.commands.extending import extension_of_sweep

    longer, words = extension_of_sweep(sweep_path)
    if as_json:
        click.echo(json.dumps(asdict(state) | ({} if longer is None else {"extension": longer})))
        return
    counts = ("total", "done", "ok", "diverged", "failed", "missing")
    shown = {name: f"{getattr(state, name):,}" for name in counts}
    if state.in_training:
        shown["in training"] = f"{state.in_training:,.0f} of the missing, in packs not yet committed"
    if state.rate is not None:
        shown["rate"] = f"{state.rate:.1f} trials/s"
    if state.eta_s is not None:
        shown["left"] = duration(state.eta_s)
    shown |= _convergence(state)
    if state.quarantined:
        shown["set aside"] = f"{len(state.quarantined)} in quarantine/: {', '.join(state.quarantined)}"
    print_table(sweep_path, shown)
    if words:
        say(words)
    if state.ok and not state.unconverged:
        from phasediag.analysis.measured import nothing_measured

        nothing = nothing_measured(sweep_path)
        if nothing:
            say(f"warning: {nothing}")


def _convergence(state: Status) -> dict[str, str]:
    """How many trials are too short for their phase or their counts to stand, and by how much."""
    shown = {}
    kinds = (
        ("unconverged", state.unconverged, state.more_steps, state.more_steps_most),
        ("counts may change", state.count_unconverged, state.count_more_steps, state.count_more_steps_most),
    )
    for word, late, median, most in kinds:
        if late:
            shown[word] = f"{late:,}"
        if median is not None:
            shown[f"{word}: more steps"] = f"about {median:,.0f} (median), {most:,} at most"
    return shown


@click.command(short_help="Train one trial of SWEEP again, for weights and history.")
@SWEEP
@click.argument("trial_id")
@click.option("--save", "folder", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="Folder for weights, history and row.")  # fmt: skip
def rerun(sweep_path: str, trial_id: str, folder: Path) -> None:
    """Train one trial of SWEEP again from its row; exit 1 where it comes out otherwise."""
    from phasediag.sweeps.rerun import rerun as train_again

    repeated = train_again(sweep_path, trial_id, folder)
    say(str(repeated))
    click.echo(str(repeated.folder))
    if repeated.differs:
        sys.exit(1)


@click.command(short_help="Merge the fragments of SWEEP, and empty its trash.")
@SWEEP
def compact(sweep_path: str) -> None:
    """Merge the fragments of SWEEP into few large files, and empty its trash."""
    from phasediag.commands.progress import size
    from phasediag.storage.store import Store
    from phasediag.sweeps.remove import empty_trash

    store = Store.at(sweep_path)
    done = store.compact()
    say(
        f"{done.merged:,} fragments merged; {done.files:,} files hold the sweep now"
        + (
            f"; {done.deleted:,} files that an earlier compaction had replaced are deleted"
            if done.deleted
            else ""
        )
    )
    freed = empty_trash(store)
    if freed:
        say(f"trials that were removed are gone now: {size(freed)}")
    click.echo(sweep_path)
