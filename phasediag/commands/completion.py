"""completion: what a shell offers at TAB: commands, options, sweeps and their columns."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

VARIABLE: Final = "_PHASEDIAG_COMPLETE"


@click.command(short_help="What makes a shell complete sweeps and columns.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options, sweeps and columns.

    \b
    bash:  eval "$(phasediag completion bash)"       in ~/.bashrc
    zsh:   eval "$(phasediag completion zsh)"        in ~/.zshrc
    fish:  phasediag completion fish > ~/.config/fish/completions/phasediag.fish
    """  # noqa: D301 (what click reads)
    completes = get_completion_class(shell)
    assert completes is not None
    group = click.get_current_context().find_root().command
    click.echo(completes(group, {}, "phasediag", VARIABLE).source())
