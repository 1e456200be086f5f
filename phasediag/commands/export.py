"""export: the trials of a sweep as CSV or netCDF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from phasediag.commands.options import COLUMN, SWEEP, WHERE, say
from phasediag.commands.where import filtered
from phasediag.errors import PhasediagError


@click.command(short_help="The trials of SWEEP as CSV or netCDF.")
@SWEEP
@click.option(
    "--csv", type=click.Path(path_type=Path, dir_okay=False), help="File of comma-separated values."
)
@click.option("--netcdf", type=click.Path(path_type=Path, dir_okay=False),
              help="File for xarray: over the axes and replicates where they are a full product. Needs the "
              "extra xarray.")  # fmt: skip
@click.option("--column", "columns", type=COLUMN, multiple=True, help="Only this column; may be repeated.")
@WHERE
def export(
    sweep_path: str, csv: Path | None, netcdf: Path | None, columns: Sequence[str], where: Sequence[str]
) -> None:
    """Write the trials of SWEEP into a file; prints its path.

    The sweep itself is plain Parquet: pandas, Polars and DuckDB read SWEEP/trials/*.parquet as it is.
    """
    if (csv is None) == (netcdf is None):
        raise click.UsageError("give one of --csv FILE and --netcdf FILE")
    from phasediag.analysis.frame import need_columns
    from phasediag.analysis.frames import load_trials

    trials = filtered(load_trials(sweep_path), where)
    if columns:
        need_columns(trials, columns)
        trials = trials[list(dict.fromkeys(columns))]
    if csv is not None:
        from phasediag.analysis.export import plain_column

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
