"""times: when the symmetries of a sweep's networks break."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from phasediag.commands.options import COLUMN, JSON, SWEEP, WHERE, say, telling, together
from phasediag.commands.tables import printed
from phasediag.commands.where import filtered

_AGAINST: Final = together("against", {
    "x": click.option("--x", type=COLUMN, help="Parameter that the times are scaled with."),
    "critical": click.option("--critical", type=float, help="Value of x at which they diverge."),
    "starts": click.option("--starts", type=COLUMN, metavar="COLUMN",
                           help="Parameter whose logarithm delays, such as init_scale."),
})  # fmt: skip
"""What the times are put in relation to."""


@click.command(short_help="When the symmetries of the networks of SWEEP break.")
@SWEEP
@click.option("--observable", default="permutation", show_default=True, help="Whose generators.")
@click.option("--layer", help="On which layer; default: that of the trials' rows.")
@_AGAINST
@WHERE
@click.option("--output", type=click.Path(path_type=Path), default=Path("times.png"), show_default=True,
              help="PNG, SVG or PDF.")  # fmt: skip
@JSON
def times(
    sweep_path: str, observable: str, layer: str | None, against: Mapping[str, Any], where: Sequence[str],
    output: Path, as_json: bool,
) -> None:  # fmt: skip
    """Tell when the generators of SWEEP break, over its replicates; prints the path of the figure."""
    from phasediag.analysis.breaking_times import breaking_times
    from phasediag.analysis.frames import load_measurements, load_trials
    from phasediag.analysis.versions import newest
    from phasediag.figures.style import save

    with telling():
        needed = [name for name in (against["x"], against["starts"]) if name is not None]
        trials = newest(filtered(load_trials(sweep_path), where), needed)
    measured = load_measurements(
        sweep_path, observable=observable, layer=layer or trials["measure_layer"].iloc[0]
    )
    measured = measured[measured["trial_id"].isin(trials["trial_id"])]
    broken = breaking_times(measured, trials, **against)
    save(broken.plot(), output)
    if as_json:
        click.echo(json.dumps({"output": str(output), **broken.as_dict()}))
        return
    say(printed("distribution", broken.distribution, infinite="later"))
    say(broken.summary())
    click.echo(str(output))
