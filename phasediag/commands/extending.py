"""launch --extend: the same trials for longer, and what moved."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import click

from phasediag.commands.options import say, seconds
from phasediag.commands.refine import launched
from phasediag.errors import PhasediagError


def extended(sweep_or_grid: str, factor: float, storage: str, time_limit: str | None, **options: Any) -> None:
    """Train the trials of a sweep or grid for longer, say what moved, and end with the code of a launch."""
    from phasediag.analysis.extension import extension
    from phasediag.analysis.frames import load_trials
    from phasediag.errors import AnalysisError
    from phasediag.sweeps.extend import extend

    deadline = None if time_limit is None else time.monotonic() + seconds(time_limit)
    train = partial(launched, deadline=deadline, **options)
    done = extend(
        sweep_or_grid, factor, storage, train=train, notify=lambda sentence: say(f"note: {sentence}")
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
