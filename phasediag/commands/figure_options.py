"""The options of a command that draws a phase diagram: what `phasediag.figures.look.Look` has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from phasediag.commands.options import together

_LIMITS: Final[dict[str, Any]] = {"nargs": 2, "type": float, "metavar": "LOW HIGH"}
_SCALE: Final = click.Choice(["linear", "log"])
_OPTIONS: Final = {
    "size": click.option("--size", nargs=2, type=float, metavar="WIDTH HEIGHT", help="In inches."),
    "title": click.option("--title", help="Above the diagram."),
    "x_label": click.option("--x-label", help="Words at the axis across; so --y-label, --order-label."),
    "y_label": click.option("--y-label", hidden=True),
    "order_label": click.option("--order-label", hidden=True),
    "colours": click.option("--colours", metavar="MAP", help="A colour map of matplotlib, such as cividis."),
    "colour_limits": click.option("--colour-limits", **_LIMITS, help="Values at the ends of the colours."),
    "equalise": click.option("--equalise", is_flag=True, default=None,
                            help="Spread the colours evenly over the cells."),
    "x_limits": click.option("--x-limits", **_LIMITS, help="Ends of the axis across; so --y-limits."),
    "y_limits": click.option("--y-limits", **_LIMITS, hidden=True),
    "x_scale": click.option("--x-scale", type=_SCALE, help="How the axis across is divided; so --y-scale."),
    "y_scale": click.option("--y-scale", type=_SCALE, hidden=True),
}  # fmt: skip


LOOK: Final = together("look", _OPTIONS)
"""The options of a figure, which a command takes as one mapping, `look`."""


def given(look: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as `plot` and `Look.of` take them."""
    return {name: value for name, value in look.items() if value is not None}
