"""explain: why a trial exists; what a changed grid keeps, adds and drops."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phasediag.commands.offers import sweeps
from phasediag.commands.options import JSON, SET, STORAGE, say
from phasediag.errors import PhasediagError

if TYPE_CHECKING:
    from phasediag.sweeps.explain import GridStory, TrialStory


@click.command(short_help="Why a trial exists; what a changed grid would do.")
@click.argument("what", metavar="GRID|SWEEP|TRIAL", shell_complete=sweeps)
@click.argument("trial", required=False)
@STORAGE
@SET
@JSON
def explain(what: str, trial: str | None, storage: str, settings: Sequence[str], as_json: bool) -> None:
    """Tell why a trial exists, what shared it, how to redo it; or what a grid changes.

    \b
    phasediag explain sweeps/g 3f9a   a trial, by the first digits of its id
    phasediag explain 3f9a            the same, in all sweeps of --storage
    phasediag explain grid.yaml       what a launch keeps, adds and leaves
    """  # noqa: D301 (what click reads)
    from phasediag.sweeps.explain import explain_grid, explain_trial, sweep_of_trial

    if what.endswith((".yaml", ".yml")) or Path(what).is_file():
        if trial is not None:
            raise click.UsageError("a grid is explained by itself: leave TRIAL out, or name its sweep")
        from phasediag.grids.settings import parse_setting

        grid = explain_grid(what, storage, [parse_setting(each) for each in settings])
        say(json.dumps(asdict(grid)) if as_json else grid_in_words(what, grid), err=False)
        return
    if settings:
        raise click.UsageError("--set changes a grid: give the file of a grid, or leave it out")
    if trial is None and (Path(what) / "grids").is_dir():
        raise PhasediagError(f"which trial of {what}? give its id, or the first digits of it")
    sweep, text = (sweep_of_trial(storage, what), what) if trial is None else (what, trial)
    story = explain_trial(sweep, text)
    if as_json:
        click.echo(json.dumps({**asdict(story), "redo": story.redo}, default=str))
        return
    say(trial_in_words(story), err=False)


def trial_in_words(story: TrialStory) -> str:
    """What is known of a trial, a line for each thing."""
    lines = [f"trial {story.trial_id} of {story.sweep}"]
    lines += [f"  {name} = {value}" for name, value in story.values.items()]
    lines += [f"asked for by {reason}" for reason in story.why] or ["no grid of the sweep asks for it"]
    row = story.row
    if row is None:
        return "\n".join([*lines, "not recorded yet: `phasediag launch` of its grid trains it"])
    what = row["status"] if not row["error"] else f"{row['status']}: {row['error']}"
    commit = f", commit {row['git_commit'][:12]}" if row["git_commit"] else ""
    lines += [
        f"{what}, replicate {row['replicate']}, {row['steps_done']:,} steps in {row['wall_s']:.3g} s, "
        f"train_loss {_number(row['train_loss'])}, degree_normalized {_number(row['degree_normalized'])}",
        f"trained {row['started_at']:%Y-%m-%d %H:%M} UTC on {row['device']}, torch {row['torch_version']}, "
        f"phasediag {row['phasediag_version']}{commit}",
        f"with it: {story.pack:,} trials in its pack {row['pack_id'][:12]}; {story.world:,} of its seed "
        f"(same data, batches, noise); {story.point:,} replicates of its point",
    ]
    lines += [_kept(row)]
    lines += [
        f"next along {each.axis}: {each.value}, degree_normalized {_number(each.degree_normalized)}, "
        f"{each.trial_id[:12]}"
        for each in story.neighbours
    ]
    return "\n".join([*lines, f"again: {story.redo}"])


def _kept(row: Mapping[str, Any]) -> str:
    """From where a trial was trained, and whether its weights are kept."""
    begins = "trained from the start"
    if row["trained_from"]:
        begins = f"trained on from step {row['from_step']:,}, the kept weights of {row['trained_from'][:12]}"
    return f"{begins}; its last weights are {'kept' if row['course_id'] else 'not kept'}"


def grid_in_words(path: str, story: GridStory) -> str:
    """What a grid keeps, adds and drops, a line for each thing."""
    if not story.known:
        return f"{path}: there is no sweep {story.sweep} yet; all {story.added:,} trials are new"
    lines = [
        f"{path} against {story.sweep}",
        f"  keeps  {story.kept:,} trials that are recorded",
        f"  waits  {story.planned:,} that earlier grids ask for too, not recorded yet",
        f"  adds   {story.added:,} new trials",
        f"  leaves {story.dropped:,} recorded trials that it does not ask for: they stay in the sweep",
        *(f"  {change}" for change in story.changes),
    ]
    if story.added and not story.kept and story.dropped:
        lines.append("every trial is new: what changed is part of all of them")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "none" if value is None or value != value else f"{value:.4g}"
