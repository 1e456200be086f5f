"""launch --extend and --until-converged: the same trials for longer, and what moved."""

from __future__ import annotations

import sys
from math import isnan
from typing import TYPE_CHECKING, Any

import click

from phasediag.commands.options import say, telling
from phasediag.errors import PhasediagError

if TYPE_CHECKING:
    from phasediag.commands.launch_options import Launching
    from phasediag.sweeps.until import LongerRound, TrainedOn


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


def trained_on(sweep_or_grid: str, most: float, order: str, storage: str, launching: Launching) -> None:
    """Train what is not settled for longer, say what moved, how it stands, and end with a launch's code."""
    from phasediag.sweeps.until import train_until_converged

    done = train_until_converged(
        sweep_or_grid, most, storage, order=order, train=launching.train,
        notify=lambda sentence: say(f"note: {sentence}"),
        on_round=lambda coming: say(described_longer_round(coming)),
    )  # fmt: skip
    say(described_end(done, most, order))
    if done.points:
        say(_boundary(done.sweep, order))
    click.echo(done.sweep)
    sys.exit(done.exit_code)


def described_longer_round(coming: LongerRound) -> str:
    """What a round will train and about how long that takes; once it is trained, what moved."""
    from phasediag.sweeps.status import about

    if coming.moved is not None:
        pairs = coming.moved.pairs
        phases, counts = (int(pairs[f"{what} moved"].sum()) for what in ("phase", "count"))
        return (
            f"round {coming.number}: of {len(pairs):,} trials {phases:,} changed their phase and {counts:,} "
            f"their {coming.moved.count}"
        )
    takes = "" if isnan(coming.coming_s) else f", {about(coming.coming_s)} of one worker"
    return (
        f"round {coming.number}: {coming.points:,} of {coming.of:,} points are not settled; their "
        f"{coming.trials:,} trials are trained to {coming.factor:g} times their first steps{takes}"
    )


def described_end(done: TrainedOn, most: float, order: str) -> str:
    """How many points are settled, and what to do about the others."""
    if not done.points:
        return done.stopped or "no trial is recorded"
    parts = [done.stopped] if done.stopped else []
    if done.unsettled:
        parts.append(f"{done.unsettled:,} of {done.points:,} points are not settled in {order}")
    else:
        parts.append(f"all {done.points:,} points are settled in {order}")
    longest = done.unsettled - done.failed
    if longest and not done.stopped:
        parts.append(
            f"{longest:,} of them were trained to {most:g} times their first steps, and a boundary beside "
            f"them may be a front of training time; --most {2 * most:g} goes on"
        )
    if done.failed:
        parts.append(f"in {done.failed:,} longer trials failed: --retry-failed trains them again")
    if done.unknown:
        parts.append(f"of {done.unknown:,} it is not known: they are not trained on")
    return "; ".join(parts)


def _boundary(sweep: str, order: str) -> str:
    """Where the boundary is now, on the axes that a report takes."""
    from phasediag.analysis.frames import load_trials
    from phasediag.analysis.phases import phase_diagram
    from phasediag.analysis.versions import newest
    from phasediag.errors import AnalysisError
    from phasediag.report.choice import choose

    try:
        with telling():
            trials = newest(load_trials(sweep), (order,), pooled=True)
        choice = choose(trials)
        if choice.x is None:
            return "one point has no boundary"
        diagram = phase_diagram(choice.of(trials), choice.x, choice.y, order, facet=choice.facets)
    except AnalysisError as error:
        return f"note: {error}"
    return " ".join(text for text in (*diagram.findings, diagram.caveat) if text)


def taken_back(sweep: str, *, until_converged: bool) -> None:
    """Take the last extension of a sweep back, or all training on of what had not converged."""
    from phasediag.sweeps.undo import EXTENSION, UNTIL_CONVERGED, undo

    if sweep.endswith((".yaml", ".yml")):
        raise PhasediagError(f"--undo takes back an extension of a sweep; name its folder instead of {sweep}")
    undone = undo(sweep, UNTIL_CONVERGED if until_converged else EXTENSION)
    say(str(undone))
    click.echo(undone.sweep)


def extension_of_sweep(sweep: str) -> tuple[dict[str, Any] | None, str]:
    """What moved in a sweep that was extended, as `status` tells it: in plain types, and in words."""
    from phasediag.storage.launches import extension_of
    from phasediag.storage.store import Store

    if not any(extension_of(text) for _, text in Store.at(sweep).required().grids()):
        return None, ""
    from phasediag.analysis.extension import known_extension
    from phasediag.analysis.frames import load_trials

    known = known_extension(load_trials(sweep))
    return (None, "") if known is None else (known.as_dict(), known.summary())
