"""quickstart: the first diagram, by the commands that make any other one."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from phasediag.commands.options import STORAGE, say


@click.command(short_help="Train a small sweep, draw its diagram, fit a scaling.")
@STORAGE
@click.option("--output", type=click.Path(path_type=Path), default=Path("quickstart.png"), show_default=True,
              help="The figure: PNG, SVG or PDF.")  # fmt: skip
@click.option("--executor", type=click.Choice(["ray", "inline"]), default="ray", show_default=True,
              help="Who trains: Ray, or this process.")  # fmt: skip
def quickstart(storage: str, output: Path, executor: str) -> None:
    """Train a small sweep, draw its phase diagram, fit a scaling: the first minute.

    Needs no files. Each command is shown before it runs; `phasediag init quickstart` writes the grid.
    """
    from phasediag.grids.ready import ready_grid

    sweep = f"{storage.rstrip('/')}/quickstart"
    where = ("--where", "init_scale=0.1")
    steps = [
        ["launch", str(ready_grid("quickstart").path), "--storage", storage, "--executor", executor],
        ["diagram", sweep, "--x", "weight_decay", "--y", "lr_over_batch", *where, "--output", str(output)],
        ["scaling", sweep, "--x", "weight_decay", "--y", "rank", *where, "--where", "label_noise=0",
         "--where", "lr_over_batch=0.01"],
    ]  # fmt: skip
    for arguments in steps:
        say(f"$ phasediag {shlex.join(arguments)}")
        _run(arguments)
    say(f"next: open {output}; then `phasediag report {sweep}`, or a grid of your own: `phasediag init`")


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
