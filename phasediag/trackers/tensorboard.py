"""TensorBoard: one folder of events, with numbers as scalars and figures as images.

They are written by tensorboardX, which Ray Tune brings with it; only to look at them takes TensorBoard.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import indent
from typing import Final

from phasediag.report.summary import SweepSummary

REQUIRED: Final = ("tensorboardX",)
_MOST_ROWS: Final = 200
"""Rows of a table, which TensorBoard shows as text."""


def write(summary: SweepSummary, folder: Path) -> str:
    """Record a summary in the folder's own folder of that name; earlier events there are removed."""
    from tensorboardX import SummaryWriter

    place = folder / summary.name
    for old in place.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(place)) as writer:
        for name, number in summary.numbers.items():
            writer.add_scalar(name, number)
        writer.add_text("findings", "\n\n".join(summary.findings))
        rows = [f"| {name} | {value} |" for name, value in summary.settings.items()]
        writer.add_text("settings", "\n".join(["| parameter | value |", "|---|---|", *rows]))
        for name, table in summary.tables.items():
            writer.add_text(name, indent(table.head(_MOST_ROWS).to_string(index=False), "    "))
        for name, picture in summary.pictures.items():
            writer.add_figure(name, picture.figure, close=False)
    return f"tensorboard --logdir {folder}"
