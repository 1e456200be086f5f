"""launch --extend: the same trials for longer, and what moved."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from phasediag.commands.options import say
from phasediag.errors import PhasediagError

if TYPE_CHECKING:
    from phasediag.commands.launch_options import Launching


def extended(sweep_or_grid: str, factor: float, storage: str, launching: Launching) -> None:
    """Train the trials of a sweep or grid for longer, say what moved, and end with the code of a launch."""
    from phasediag.analysis.extension import extension
    from phasediag.analysis.frames import load_trials
    from phasediag.errors import AnalysisError
    from phasediag.sweeps.extend import extend

    done = extend(
        sweep_or_grid,
        factor,
        storage,
        train=launching.train,
        notify=lambda sentence: say(f"note: {sentence}"),
    )
    if done.stopped:
        say(done.stopped)
    try:
        say(extension(load_trials(done.sweep)).summary())
    except AnalysisError as error:
        say(f"note: {error}")
    click.echo(done.sweep)
    sys.exit(done.exit_code)


def taken_back(sweep: str) -> None:
    """Take the last extension of a sweep back."""
    from phasediag.sweeps.undo import undo_extension

    if sweep.endswith((".yaml", ".yml")):
        raise PhasediagError(f"--undo takes back an extension of a sweep; name its folder instead of {sweep}")
    undone = undo_extension(sweep)
    say(str(undone))
    click.echo(undone.sweep)


def extension_of_sweep(sweep: str) -> tuple[dict[str, Any] | None, str]:
    """What moved in a sweep that was extended, as `status` tells it: in plain types, and in words."""
    from phasediag.analysis.extension import known_extension
    from phasediag.storage.launches import extension_of
    from phasediag.storage.store import Store

    if not any(extension_of(text) for _, text in Store.at(sweep).required().grids()):
        return None, ""
    from phasediag.analysis.frames import load_trials

    known = known_extension(load_trials(sweep))
    return (None, "") if known is None else (known.as_dict(), known.summary())
