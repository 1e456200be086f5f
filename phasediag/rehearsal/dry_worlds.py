"""The data of several trials, before anything is trained: those of one must not depend on another's.

What a task keeps in its class or its file (a cache, a generator, a counter) is seen by all trials that a
process trains, in an order that nobody promises.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from phasediag.errors import PhasediagError
from phasediag.registry import Component, component
from phasediag.rehearsal.dry_data import STREAMS, Made, World, check_data, made_by
from phasediag.source_lines import place_of
from phasediag.training.padding import world_names
from phasediag.trial import Trials
from phasediag.user_code.loading import imported_anew

MOST_VALUES: Final = 64
"""Combinations of a task's values whose data are made, at most."""
MOST_REPLICATES: Final = 4
"""Replicates whose data are made, at most."""


def check_worlds(trials: Trials, folder: Path) -> None:
    """Make the data of some trials of one structure, and refuse what cannot be trained on.

    Parameters
    ----------
    trials
        Of a structure.
    folder
        Where user files are.

    Raises
    ------
    PhasediagError
        Where the task cannot make data of one of them, makes others after those of another, or sets of
        another number of samples.
    """
    task = component("task", str(trials.record(0)["task"]), folder)
    if not task.loaded:
        return
    worlds = _worlds(task, trials, folder)
    made = [check_data(task, world) for world in worlds]
    _check_sizes(task, made)
    if len(worlds) > 1:
        _check_order(task, worlds, [each.digest for each in made], folder)


def _worlds(task: Component, trials: Trials, folder: Path) -> list[World]:
    """One trial of each combination of the task's values, and of each replicate, up to a number of them."""
    names = world_names(task.cls, task.name, ())
    values: dict[Any, int] = {}
    replicates: dict[Any, int] = {}
    columns = [trials.values(name) for name in names if name in trials.columns]
    for row, seed in enumerate(trials.seed.tolist()):
        values.setdefault(tuple(column[row] for column in columns), row)
        replicates.setdefault(seed, row)
    rows = [*list(values.values())[:MOST_VALUES], *list(replicates.values())[:MOST_REPLICATES]]
    return [
        World(record=trials.record(row), seed=int(trials.seed[row]), folder=folder)
        for row in dict.fromkeys(rows)
    ]


def _check_sizes(task: Component, made: list[Made]) -> None:
    """Refuse sets of several numbers of samples: networks of one program share the shapes of a step."""
    for method in made[0].sets:
        counts = dict.fromkeys(len(each.sets[method][0]) for each in made)
        if len(counts) > 1:
            one, other, *_ = counts
            raise PhasediagError(
                f"{place_of(task.cls)}: {task.name}.{method} gives {one} samples for one trial and {other} "
                "for another of the same structure; give equally many, or declare what decides it as a "
                "parameter with role='structural'"
            )


def _check_order(task: Component, worlds: list[World], digests: list[str], folder: Path) -> None:
    """Refuse data that come out otherwise where those of other trials were made before, or were not."""
    assert task.loaded is not None
    with imported_anew(task.loaded, folder.resolve()) as module:
        cls = getattr(module, task.name.partition(":")[2])
        for world, digest in zip(reversed(worlds), reversed(digests), strict=True):
            if made_by(cls, task.name, world).digest != digest:
                raise PhasediagError(
                    f"{place_of(task.cls)}: {task.name} makes other data of a trial where it has made those "
                    f"of another one before; {STREAMS}"
                )
