"""cache: where compiled programs are kept, and how to be rid of them."""

from __future__ import annotations

import shutil

import click

from phasediag.commands.options import say


@click.command(short_help="Where compiled programs lie; delete them.")
@click.option(
    "--remove", is_flag=True, help="Delete the programs of phasediag; they are compiled when needed."
)
@click.option("--torch", is_flag=True, help="With --remove: also what torch.compile keeps beside them.")
def cache(remove: bool, torch: bool) -> None:
    """Tell where the compiled programs of this user lie on this machine, and what they take."""
    from phasediag.commands.progress import size
    from phasediag.native.building import kept_folders

    if torch and not remove:
        raise click.UsageError("--torch says what --remove deletes: give --remove too")
    folders = kept_folders()
    for folder in folders:
        taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        say(f"{folder}: {size(taken)}{', removed' if remove else ''}", err=False)
        if remove:
            shutil.rmtree(folder.parent if torch else folder)
    if not folders:
        say("no programs are kept on this machine")
