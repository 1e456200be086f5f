"""quickstart: the first diagram, by the commands that make any other one."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Final

import click

from phasediag.commands.options import STORAGE, say

_BOUNDARY: Final = (
    "gradient noise (learning rate / batch size) makes the neurons equal at weaker decay than the data alone "
    "predict (dashed): the measured boundary, with its 95 % interval, bends away from it"
)
STAIRCASE: Final = -1.1
"""Exponent of a line through the exact steps of the rank, at the decays of the grid."""
_FIT: Final = (
    "the rank falls in four steps, about weight_decay 2, 1, 2/3 and 1/2; a line through the exact steps has "
    f"exponent {STAIRCASE}, to be compared with the interval; four steps are too few to tell a power law "
    "from others, and the fit says so"
)


@click.command(short_help="Train a small sweep, draw its diagram, fit a scaling.")
@STORAGE
@click.option("--output", type=click.Path(path_type=Path), default=Path("quickstart.png"), show_default=True,
              help="The diagram: PNG, SVG or PDF; the fit lies beside it.")  # fmt: skip
@click.option("--executor", type=click.Choice(["ray", "inline"]), default="ray", show_default=True,
              help="Who trains: Ray, or this process.")  # fmt: skip
def quickstart(storage: str, output: Path, executor: str) -> None:
    """Train a small sweep, draw its phase diagram, fit a scaling: the first minute.

    Needs no files. Each command is shown before it runs; `phasediag init quickstart` writes the grid.
    """
    from phasediag.grids.ready import ready_grid

    sweep = f"{storage.rstrip('/')}/quickstart"
    fit = output.with_name(f"{output.stem}-fit{output.suffix}")
    where = ("--where", "init_scale=0.1")
    steps = [
        ["launch", str(ready_grid("quickstart").path), "--storage", storage, "--executor", executor],
        ["diagram", sweep, "--x", "weight_decay", "--y", "lr_over_batch", *where, "--output", str(output)],
        ["scaling", sweep, "--x", "weight_decay", "--y", "rank", *where, "--where", "label_noise=0.7",
         "--where", "lr_over_batch=0.01", "--output", str(fit)],
    ]  # fmt: skip
    for arguments in steps:
        say(f"$ phasediag {shlex.join(arguments)}")
        _run(arguments)
    say(f"{output}: {_BOUNDARY}")
    say(f"{fit}: {_FIT}")
    say(f"next: open both; then `phasediag report {sweep}`, or a grid of your own: `phasediag init`")


def _run(arguments: list[str]) -> None:
    """Run a command of the same group; what ends otherwise than well ends this command too."""
    root = click.get_current_context().find_root()
    assert isinstance(root.command, click.Group)
    command = root.command.get_command(root, arguments[0])
    assert command is not None
    try:
        command.main(arguments[1:], prog_name=f"phasediag {arguments[0]}", standalone_mode=False)
    except SystemExit as ended:
        if ended.code:
            sys.exit(ended.code)
