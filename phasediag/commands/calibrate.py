"""calibrate: the instrument against exact results."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from phasediag.commands.options import COMPILE, JSON, say, together
from phasediag.errors import PhasediagError

if TYPE_CHECKING:
    from phasediag.calibration.reading import Reading


_RUNNING: Final = together("running", {
    "workers": click.option("--workers", type=click.IntRange(min=1),
                            help="Experiments at once; default: one a core."),
    "executor": click.option("--executor", type=click.Choice(["inline", "ray"]), default="inline",
                             show_default=True, help="Who trains: this process, or Ray."),
    "compile_mode": COMPILE,
})  # fmt: skip
"""How the experiments are run."""


@click.command(short_help="Train against exact results, and compare.")
@click.option("--quick", is_flag=True, help="Coarser and shorter, with the same tolerances.")
@click.option("--only", multiple=True, metavar="E5", help="Only this exact result; may be repeated.")
@click.option("--output", type=click.Path(path_type=Path), help="Draw measured over exact: PNG, SVG or PDF.")
@click.option("--storage", type=click.Path(path_type=Path, file_okay=False),
              help="Keep the sweeps there; default: a temporary folder.")  # fmt: skip
@_RUNNING
@click.option("--fault", type=click.Choice(["gamma", "optimizer", "threshold"]),
              help="Plant a mistake, which must make the calibration fail.")  # fmt: skip
@JSON
def calibrate(
    quick: bool, only: Sequence[str], output: Path | None, storage: Path | None, running: Mapping[str, Any],
    fault: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Train against exact results and tell measured from exact; exit 1 where one fails."""
    from phasediag.calibration.calibrate import EXPERIMENTS, calibrate, impossible
    from phasediag.calibration.figure import draw_calibration
    from phasediag.calibration.instrument import Instrument, with_fault
    from phasediag.executors.inline import local_workers
    from phasediag.figures.style import save

    if storage is not None and storage.exists() and any(storage.iterdir()) and fault:
        raise PhasediagError(f"--fault with sweeps of before in {storage}; give a folder that is empty")
    started = time.monotonic()
    measured: dict[str, list[Reading]] = {}
    with tempfile.TemporaryDirectory(prefix="phasediag-calibrate-") as scratch:
        executor = running["executor"]
        instrument = Instrument(
            folder=storage or Path(scratch), executor=executor, compile=running["compile_mode"]
        )
        if fault is not None:
            instrument = with_fault(instrument, fault)
        at_once = running["workers"] or (local_workers(1, 0) if executor == "inline" else 1)
        for name, readings in calibrate(instrument, quick=quick, only=only, workers=at_once):
            measured[name] = readings
            failed = sum(bool(reading.fault) for reading in readings)
            say(f"{name}: {len(readings)} readings, {failed} failed ({time.monotonic() - started:.0f} s)")
    for name, reason in ({} if only else impossible()).items():
        say(f"{name}: left out, {reason}")
    rows = [reading for name in EXPERIMENTS for reading in measured.get(name, [])]
    if output is not None:
        save(draw_calibration(rows), output)
        say(str(output))
    if as_json:
        click.echo(json.dumps([_finite(reading.as_dict()) for reading in rows]))
    else:
        _print(rows)
    sys.exit(1 if any(reading.fault for reading in rows) else 0)


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """In plain types; what has no value is null."""
    return {name: None if isinstance(x, float) and not isfinite(x) else x for name, x in row.items()}


def _print(readings: Sequence[Reading]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("result", "quantity"):
        table.add_column(heading)
    for heading in ("exact", "measured", "95 % interval", "error"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for reading in readings:
        verdict = f"[red]FAILED[/red] {reading.fault}" if reading.fault else f"within {reading.tolerance:.0%}"
        table.add_row(
            reading.result, escape(reading.quantity), f"{reading.exact:.5g}", f"{reading.measured:.5g}",
            f"{reading.low:.5g} to {reading.high:.5g}", f"{reading.relative_error:+.2%}", verdict,
        )  # fmt: skip
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
    failed = sum(bool(reading.fault) for reading in readings)
    console.print(f"{len(readings) - failed} of {len(readings)} readings agree with the exact results")
