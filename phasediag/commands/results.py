"""diagram, scaling: from rows to figures and fits."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import click

from phasediag.commands.options import JSON, filtered, say


@click.command()
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
    from phasediag.analysis.frames import load_trials
    from phasediag.analysis.phases import DecoupledDecayWarning, phase_diagram
    from phasediag.analysis.plot import save

    trials = filtered(load_trials(sweep_path), where)
    at = level if level is not None else 0.0 if order == "log_rate" else 0.5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DecoupledDecayWarning)
        found = phase_diagram(trials, x=x, y=y, order=order, level=at, facet=list(facet) or None)
    for warning in caught:
        say(f"warning: {warning.message}")
    save(found.plot(), output)
    if as_json:
        boundary = json.loads(found.boundary.to_json(orient="records"))
        click.echo(json.dumps({"output": str(output), "boundary": boundary}))
    else:
        say(found.boundary.to_string(index=False))
        click.echo(str(output))


@click.command()
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
    from phasediag.analysis.frames import load_trials
    from phasediag.analysis.plot import save
    from phasediag.analysis.scaling import fit_scaling

    fit = fit_scaling(filtered(load_trials(sweep_path), where), x=x, y=y, window=window)
    if output is not None:
        save(fit.plot(), output)
        say(str(output))
    if as_json:
        click.echo(json.dumps(fit.as_dict()))
    else:
        click.echo(fit.summary())
