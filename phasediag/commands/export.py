"""export: the trials of a sweep as CSV or netCDF, or the sweep as one run of an experiment tracker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from phasediag.commands.options import COLUMN, SWEEP, WHERE, say
from phasediag.commands.where import filtered
from phasediag.errors import PhasediagError

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(short_help="SWEEP as CSV, netCDF, or a run of a tracker.")
@SWEEP
@click.option(
    "--csv", type=click.Path(path_type=Path, dir_okay=False), help="File of comma-separated values."
)
@click.option("--netcdf", type=click.Path(path_type=Path, dir_okay=False),
              help="File for xarray: over the axes and replicates where they are a full product. Needs the "
              "extra xarray.")  # fmt: skip
@click.option("--mlflow", type=FOLDER, help="Folder of a database of MLflow. Needs the extra mlflow.")
@click.option(
    "--wandb", type=FOLDER, help="Folder of offline runs of Weights & Biases. Needs the extra wandb."
)
@click.option("--tensorboard", type=FOLDER, help="Folder of logs. The extra tensorboard shows them.")
@click.option("--column", "columns", type=COLUMN, multiple=True, help="Only this column; may be repeated.")
@WHERE
def export(
    sweep_path: str, csv: Path | None, netcdf: Path | None, columns: Sequence[str], where: Sequence[str],
    **trackers: Path | None,
) -> None:  # fmt: skip
    """Write the trials of SWEEP into a file; prints its path.

    The sweep itself is plain Parquet: pandas, Polars and DuckDB read SWEEP/trials/*.parquet as it is.

    With a tracker, SWEEP becomes one run of it: settings, trials by state, boundaries and exponents with
    their intervals, tables, figures and the report. Exported again, it takes the place of that run. Nothing
    is sent anywhere: the command that is printed shows the folder, or uploads it.
    """
    wanted = {name: place for name, place in {"csv": csv, "netcdf": netcdf, **trackers}.items() if place}
    if len(wanted) != 1:
        raise click.UsageError("give one of --csv, --netcdf, --mlflow, --wandb and --tensorboard")
    if csv is None and netcdf is None:
        if columns:
            raise click.UsageError("--column is of --csv and --netcdf")
        _track(*next(iter(wanted.items())), sweep_path, where)
        return
    from phasediag.analysis.frame import need_columns
    from phasediag.analysis.frames import load_trials

    trials = filtered(load_trials(sweep_path), where)
    if columns:
        need_columns(trials, columns)
        trials = trials[list(dict.fromkeys(columns))]
    if csv is not None:
        from phasediag.analysis.cube import plain_column

        for name in trials.columns if columns else ():
            trials = trials.assign(**{name: plain_column(trials[name])})
        trials.to_csv(csv, index=False)
        click.echo(str(csv))
        return
    from phasediag.analysis.export import to_xarray

    assert netcdf is not None
    data = to_xarray(trials)
    try:
        data.to_netcdf(netcdf)
    except ValueError as error:
        raise PhasediagError(f"'{netcdf}' cannot be written as netCDF: {error}") from error
    say(f"dimensions: {', '.join(f'{name} {size}' for name, size in data.sizes.items())}")
    click.echo(str(netcdf))


def _track(tracker: str, folder: Path, sweep_path: str, where: Sequence[str]) -> None:
    """Record the sweep as one run of a tracker, and print the command that shows it."""
    from phasediag.commands.report import reported_sweep
    from phasediag.report.summary import SweepSummary
    from phasediag.trackers import check, track

    check(tracker)
    summary = SweepSummary.of(reported_sweep(sweep_path, where))
    say(f"{len(summary.numbers)} numbers, {len(summary.tables)} tables, {len(summary.pictures)} figures")
    click.echo(track(tracker, summary, folder))
