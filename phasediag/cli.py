"""The command line. Results go to stdout, progress and messages to stderr."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.console import Console
from rich.table import Table

from phasediag.errors import INTERRUPTED, PhasediagError
from phasediag.trial import formatted, nearest
from phasediag.version import VERSION

STORAGE = click.option(
    "--storage", default="./sweeps", show_default=True, help="Folder or URI that holds the sweeps."
)
COMPILE = click.option(
    "--compile", "compile_mode", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True,
    help="torch.compile: auto where it pays.",
)  # fmt: skip
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
RETRY = click.option("--retry-failed", is_flag=True, help="Train trials that failed before once more.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="phasediag")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def commands(debug: bool) -> None:
    """Phase diagrams of parameter symmetry: write a grid, launch it, look at the boundary."""


@commands.command()
@click.argument("grid", type=click.Path())
@STORAGE
@COMPILE
@RETRY
@JSON
def plan(grid: str, storage: str, compile_mode: Any, retry_failed: bool, as_json: bool) -> None:
    """Validate GRID and tell what a launch would do. Trains nothing."""
    from phasediag import sweep
    from phasediag.progress import duration, size

    found = sweep.plan(grid, storage, compile_mode=compile_mode, retry_failed=retry_failed)
    survey = found.survey
    values = {
        "trials": len(survey.trials), "points": found.points, "packs": len(found.packs), "done": survey.done,
        "missing": len(survey.missing), "failed": survey.failed, "bytes": found.bytes,
        "seconds": found.seconds, "store_bytes": found.store_bytes,
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(values))
    else:
        compiled = sum(pack.compiled for pack in found.packs)
        shown = {
            **{name: f"{values[name]:,}" for name in ("trials", "points", "done", "missing", "failed")},
            "packs": f"{len(found.packs):,} ({compiled:,} compiled)",
            "memory of a tile": size(found.bytes),
            "training": f"{duration(found.seconds)} on {found.workers} workers of this machine",
            "store": size(found.store_bytes),
        }
        _print_table(f"{survey.grid.name}: {grid}", shown)
    if found.unrelaxed:
        _say(
            f"warning: {found.unrelaxed:,} of {len(survey.trials):,} trials train for fewer than 10 "
            "relaxation times (learning_rate * weight_decay * steps < 10): a boundary among them is a front "
            "of training time, not of phases; raise steps, or set learning_time"
        )


@commands.command()
@click.argument("grid", type=click.Path())
@STORAGE
@click.option("--address", help="A Ray cluster, or auto; default: RAY_ADDRESS, or a local Ray of its own.")
@click.option("--executor", type=click.Choice(["ray", "inline"]), default="ray", show_default=True)
@click.option("--max-failures", type=click.IntRange(min=1), help="Drain after so many failed trials.")
@RETRY
@click.option("--remeasure", is_flag=True, help="Train again what lacks an observable of this grid.")
@click.option("--time-limit", help="Be over after this time (3h50m, 45m, 90s); drains before.")
@COMPILE
def launch(
    grid: str, storage: str, address: str | None, executor: Any, max_failures: int | None, retry_failed: bool,
    remeasure: bool, time_limit: str | None, compile_mode: Any,
) -> None:  # fmt: skip
    """Train whatever of GRID the store does not hold. Ctrl-C drains, a second one stops at once."""
    from phasediag import sweep
    from phasediag.progress import ProgressLine, described_outcome

    limit = None if time_limit is None else _seconds(time_limit)
    with ProgressLine(Console(stderr=True)) as line:
        outcome = sweep.launch(
            grid, storage, executor=executor, address=address, max_failures=max_failures,
            retry_failed=retry_failed, remeasure=remeasure, time_limit_s=limit, compile=compile_mode,
            observer=line,
        )  # fmt: skip
    _say(described_outcome(outcome))
    click.echo(outcome.sweep)
    sys.exit(outcome.exit_code)


@commands.command()
@click.argument("sweep_path", metavar="SWEEP")
@JSON
def status(sweep_path: str, as_json: bool) -> None:
    """Tell how far SWEEP is: done, failed, diverged, missing."""
    from phasediag import sweep
    from phasediag.progress import duration

    found = sweep.status(sweep_path)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    counts = ("total", "done", "ok", "diverged", "failed", "missing")
    shown = {name: f"{getattr(found, name):,}" for name in counts}
    if found.rate is not None:
        shown["rate"] = f"{found.rate:.1f} trials/s"
    if found.eta_s is not None:
        shown["left"] = duration(found.eta_s)
    _print_table(sweep_path, shown)


@commands.command()
@click.argument("sweep_path", metavar="SWEEP")
@click.option("--x", required=True, help="Parameter along the horizontal axis.")
@click.option("--y", required=True, help="Parameter along the vertical axis.")
@click.option("--order", default="degree_normalized", show_default=True,
              help="Column that tells the phases apart.")  # fmt: skip
@click.option("--level", type=float, help="Its value on the boundary; default: 0.5, of a rate 0.")
@click.option("--facet", multiple=True, help="Parameter with a panel for each value.")
@click.option("--where", multiple=True, metavar="NAME=VALUE", help="Only the trials with this value.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("diagram.png"), show_default=True,
              help="PNG, SVG or PDF.")  # fmt: skip
@JSON
def diagram(
    sweep_path: str, x: str, y: str, order: str, level: float | None, facet: Sequence[str],
    where: Sequence[str], output: Path, as_json: bool,
) -> None:  # fmt: skip
    """Draw the phase diagram of SWEEP, with its boundary; prints the path of the figure."""
    from phasediag.frames import load_trials
    from phasediag.phases import phase_diagram
    from phasediag.plot import save

    trials = _filtered(load_trials(sweep_path), where)
    at = level if level is not None else 0.0 if order == "log_rate" else 0.5
    found = phase_diagram(trials, x=x, y=y, order=order, level=at, facet=list(facet) or None)
    save(found.plot(), output)
    if as_json:
        boundary = json.loads(found.boundary.to_json(orient="records"))
        click.echo(json.dumps({"output": str(output), "boundary": boundary}))
    else:
        _say(found.boundary.to_string(index=False))
        click.echo(str(output))


@commands.command()
@click.argument("sweep_path", metavar="SWEEP")
@click.option("--x", required=True, help="Parameter that the count scales with.")
@click.option("--y", default="neuron_count", show_default=True, help="Column that is fitted.")
@click.option("--window", nargs=2, type=float, help="Fit between these values of x.")
@click.option("--where", multiple=True, metavar="NAME=VALUE", help="Only the trials with this value.")
@click.option("--output", type=click.Path(path_type=Path), help="Draw the fit: PNG, SVG or PDF.")
@JSON
def scaling(
    sweep_path: str, x: str, y: str, window: tuple[float, float] | None, where: Sequence[str],
    output: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Fit the neuron count of SWEEP against a parameter, and compare alternatives."""
    from phasediag.frames import load_trials
    from phasediag.plot import save
    from phasediag.scaling import fit_scaling

    fit = fit_scaling(_filtered(load_trials(sweep_path), where), x=x, y=y, window=window)
    if output is not None:
        save(fit.plot(), output)
        _say(str(output))
    if as_json:
        click.echo(json.dumps(fit.as_dict()))
    else:
        click.echo(fit.summary())


@commands.command()
@click.argument("sweep_path", metavar="SWEEP")
@click.argument("trial_id")
@click.option("--save", "folder", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="Folder for weights, history and row.")  # fmt: skip
def rerun(sweep_path: str, trial_id: str, folder: Path) -> None:
    """Train one trial of SWEEP again from its row: weights and full history."""
    from phasediag.rerun import rerun as train_again

    found = train_again(sweep_path, trial_id, folder)
    _say(f"train_loss {found.train_loss}, recorded {found.recorded_train_loss}")
    click.echo(str(found.folder))


@commands.command()
@click.argument("name", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema of a grid, for editors.")
def parameters(name: str | None, schema: bool) -> None:
    """List the parameters of trials: type, unit, default, role, meaning."""
    from phasediag.schema import grid_schema, parameter_table

    if schema:
        click.echo(json.dumps(grid_schema(), indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "of", "type", "unit", "default", "role", "meaning"):
        table.add_column(heading, overflow="fold")
    for row in parameter_table(name):
        table.add_row(row.name, row.belongs, row.type, row.unit, row.default, row.role, row.meaning)
    Console(soft_wrap=False).print(table)


@commands.command()
@click.argument("sweep_path", metavar="SWEEP")
def compact(sweep_path: str) -> None:
    """Merge the fragments of SWEEP into few large files."""
    from phasediag.store import Store

    _say(str(Store.at(sweep_path).compact()))
    click.echo(sweep_path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; print what the user can act on without a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(INTERRUPTED))
    try:
        commands.main(given, prog_name="phasediag", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(PhasediagError.exit_code)
    except click.exceptions.Abort:
        sys.exit(INTERRUPTED)
    except PhasediagError as error:
        if "--debug" in given:
            traceback.print_exc()
        _say(f"error: {error}")
        sys.exit(error.exit_code)


def _filtered(trials: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """The trials with the values that `--where NAME=VALUE` asks for."""
    for condition in where:
        name, equals, text = condition.partition("=")
        if not equals or name not in trials.columns:
            hint = nearest(name, list(trials.columns)) or "`--where NAME=VALUE` takes a column of the trials"
            raise PhasediagError(f"--where {condition}: there is no column '{name}'; {hint}")
        column = trials[name]
        texts = column.map(lambda value: "null" if value is None or value is pd.NA else formatted(value))
        wanted = texts == _same_form(column, text)
        if not wanted.any():
            values = ", ".join(sorted({str(value) for value in column.unique()})[:12])
            raise PhasediagError(f"--where {condition}: no trial has it; {name} is one of {values}")
        trials = trials[wanted]
    return trials


def _same_form(column: pd.Series[Any], text: str) -> str:
    """A value of the command line as it stands in an identity: a float of a column of floats."""
    if not pd.api.types.is_float_dtype(column):
        return text
    try:
        return formatted(float(text))
    except ValueError:
        return text


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print_table(title: str, rows: dict[str, str]) -> None:
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)


_TIME = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text.strip())
    if not text.strip() or found is None:
        raise PhasediagError(f"--time-limit: '{text}' is no time; write 3h50m, 45m or 90s")
    parts = [int(part or 0) for part in found.groups()]
    return float(sum(part * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=True)))
