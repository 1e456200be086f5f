"""diagram --against steps: the boundary at each length of training, and where it goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from phasediag.commands.options import say, telling
from phasediag.commands.tables import printed
from phasediag.commands.where import filtered


def against_steps(
    sweep_path: str, asked: Mapping[str, Any], where: Sequence[str], output: Path, *, as_json: bool
) -> None:
    """Draw the boundary against the length of training, with its limit, and print the path of the figure.

    Parameters
    ----------
    asked
        The arguments of `boundary_limit`: x, y, order, level, facet, direction.
    """
    from phasediag.analysis.frames import load_trials
    from phasediag.analysis.limit import boundary_limit
    from phasediag.figures.style import save

    notices: list[str] = []
    with telling(notices):
        trials = filtered(load_trials(sweep_path), where)
        limit = boundary_limit(trials, **{**asked, "facet": list(asked["facet"])})
    save(limit.plot(), output)
    if as_json:
        click.echo(json.dumps({"output": str(output), **limit.as_dict(), "notices": notices}))
        return
    shown = [*limit.keys, "limit", "low", "high", "exponent_low", "exponent_high", "last", "verdict"]
    say(printed("limits", limit.limits[shown]))
    say(limit.summary())
    click.echo(str(output))
