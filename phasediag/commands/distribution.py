"""distribution: the values of an order parameter over seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from phasediag.commands.options import COLUMN, JSON, SWEEP, WHERE, say, telling, together
from phasediag.commands.where import columns_in, filtered

_ASKED: Final = together("asked", {
    "x": click.option("--x", type=COLUMN, required=True, help="Parameter across, or an expression."),
    "order": click.option("--order", type=COLUMN, default="degree_normalized", show_default=True,
                          help="Column or expression whose distribution over seeds is looked at."),
    "size": click.option("--size", metavar="COLUMN",
                         help="Sizes whose Binder cumulants are compared, such as width."),
    "volume": click.option("--volume", metavar="COLUMN",
                           help="N of the susceptibility, or an expression; default: the size."),
    "centre": click.option("--centre", type=float, default=0.0, show_default=True,
                           help="The order parameter of the symmetric state."),
    "bins": click.option("--bins", type=click.IntRange(min=2), default=20, show_default=True,
                         help="Bins of the histograms."),
})  # fmt: skip
"""What `phasediag.analysis.distributions.distributions` is asked for."""


@click.command(short_help="The order parameter over seeds: P(m), Binder cumulant.")
@SWEEP
@_ASKED
@WHERE
@click.option("--output", type=click.Path(path_type=Path), default=Path("distribution.png"),
              show_default=True, help="PNG, SVG or PDF.")  # fmt: skip
@JSON
def distribution(
    sweep_path: str, asked: Mapping[str, Any], where: Sequence[str], output: Path, as_json: bool
) -> None:
    """Draw P(m), free energy, Binder cumulant and susceptibility of SWEEP; prints the path of the figure."""
    from phasediag.analysis.distributions import distributions
    from phasediag.analysis.frames import load_for
    from phasediag.analysis.versions import newest
    from phasediag.figures.style import save

    needed = [text for text in map(asked.get, ("x", "order", "size", "volume")) if text is not None]
    trials = filtered(load_for(sweep_path, [*needed, *columns_in(where)]), where)
    notices: list[str] = []
    with telling(notices):
        trials = newest(trials, needed, pooled=True)
    made = distributions(trials, **asked)
    save(made.plot(), output)
    if as_json:
        more = {"notices": notices, "warnings": list(made.warnings)}
        click.echo(json.dumps({"output": str(output), **made.as_dict(), **more}))
        return
    say(made.summary())
    click.echo(str(output))
