"""report: the results of a sweep, as one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from phasediag.commands.options import COLUMN, LEVEL, SWEEP, WHERE, telling
from phasediag.commands.where import filtered
from phasediag.errors import PhasediagError

if TYPE_CHECKING:
    from phasediag.report.page import ReportedSweep


@click.command(short_help="Write what SWEEP shows into one HTML file.")
@SWEEP
@click.option("--x", type=COLUMN, help="Parameter across; default: of the two with most values.")
@click.option("--y", type=COLUMN, help="Parameter upwards.")
@click.option("--order", type=COLUMN, help="Column that tells phases; default: the degree of symmetry.")
@LEVEL
@WHERE
@click.option("--output", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True)
@click.option("--paper", type=click.Path(path_type=Path, file_okay=False), help="Write what a paper takes "
              "into this folder instead: figure, table, methods, archive.")  # fmt: skip
def report(
    sweep_path: str, x: str | None, y: str | None, order: str | None, level: float | None,
    where: Sequence[str], output: Path, paper: Path | None,
) -> None:  # fmt: skip
    """Write the results of SWEEP into one HTML file that needs no network; prints its path."""
    from phasediag.report.page import report as page

    sweep = reported_sweep(sweep_path, where, (x, y, order), pooled=not (x and y))
    if paper is not None:
        from phasediag.report.page import order_of
        from phasediag.report.paper import Paper
        from phasediag.storage.store import Store

        chosen_order, at = order_of(sweep.trials, order, level)
        store = Store.at(sweep_path)
        own = Paper.of(
            sweep.name, sweep.trials, sweep.planned, sweep.grids, x, y, chosen_order, at,
            sources={name: store.grid_sources(name) for name, _ in sweep.grids},
        )  # fmt: skip
        for file in own.write(paper):
            click.echo(str(file))
        return
    text = page(sweep, x=x, y=y, order=order, level=level)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PhasediagError(
            f"cannot write '{output}': {error.strerror or error}; choose another --output"
        ) from error
    click.echo(str(output))


def reported_sweep(
    sweep_path: str, where: Sequence[str], columns: Sequence[str | None] = (), *, pooled: bool = True
) -> ReportedSweep:
    """What is told of the trials of a sweep that meet conditions, as `newest` chooses among its versions."""
    from phasediag.analysis.courses import Courses
    from phasediag.analysis.frames import load_trials
    from phasediag.analysis.sensitivity import Recounts
    from phasediag.analysis.threshold_range import ThresholdRange
    from phasediag.analysis.versions import newest
    from phasediag.report.explorer import Record
    from phasediag.report.page import ReportedSweep
    from phasediag.storage.store import Store
    from phasediag.sweeps.status import status

    store = Store.at(sweep_path).required()
    everything = load_trials(sweep_path)
    notices: list[str] = []
    with telling(notices):
        chosen = filtered(everything, where)
        trials = newest(chosen, columns, pooled=pooled)
    planned = status(sweep_path).total - (len(chosen) - len(trials)) if not where else len(trials)
    return ReportedSweep(
        name=store.folder.name, uri=store.folder.uri, trials=trials, planned=planned,
        grids=tuple(store.grids()), notices=tuple(notices), recounts=Recounts.of(sweep_path, trials, None),
        record=Record(
            uri=sweep_path, thresholds=ThresholdRange.of(sweep_path, trials),
            courses=Courses.of(sweep_path, trials),
        ),
        shorter=chosen,
    )  # fmt: skip
