"""Where the trials of a launch begin: at step 0, or at the end of shorter ones whose weights are kept."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.grids.grid import Grid
from phasediag.identity import LENGTH, Identity, course_ids
from phasediag.packing.origin import Origin
from phasediag.packing.trial_source import TrialSource
from phasediag.ramp import ramped
from phasediag.storage.kept_weights import packs_with_weights
from phasediag.storage.store import Store
from phasediag.trial import IntArray, objects

OF_STEPS: Final = ("constant", "step")
"""Schedules that do not ask how many steps there are: a longer trial passes through a shorter one."""

FROM_KEPT: Final = 2
"""How many times as long a trial is, at least, as one from whose kept weights it goes on: it is measured at
half of its steps, and must pass through there."""

Beginning = tuple[IntArray, Origin | None]
"""Some trials, by their positions, and from where they go on; None: they begin at step 0."""


def beginnings_of(grid: Grid, store: Store, source: TrialSource) -> list[Beginning]:
    """Trials by the step at which they begin; each is in one of the groups, and no group is empty.

    A trial goes on from the longest of those whose weights are kept and that have at most one part in
    `FROM_KEPT` of its steps.
    """
    held = _kept(store) if len(source) else {}
    trials = source.everything() if held else None
    if trials is None or ramped(trials):
        return [(np.arange(len(source)), None)] if len(source) else []
    identity = Identity(parameters=grid.parameters, sources=grid.sources)
    courses = course_ids(trials, identity, grid.measure.words).tolist()
    schedules, steps = trials.values("schedule").tolist(), trials.values(LENGTH).tolist()
    begins: dict[int, list[tuple[int, str, str]]] = defaultdict(list)
    for row, (course, schedule, length) in enumerate(zip(courses, schedules, steps, strict=True)):
        shorter = [
            each for each in held.get(course, ()) if each[0] <= length // FROM_KEPT and schedule in OF_STEPS
        ]
        step, trial, pack = max(shorter, default=(0, "", ""))
        begins[step].append((row, trial, pack))
    return [_beginning(step, members) for step, members in sorted(begins.items())]


def _beginning(step: int, members: list[tuple[int, str, str]]) -> Beginning:
    rows, trials, packs = zip(*members, strict=True)
    origin = Origin(step=step, trial_id=objects(trials), pack_id=objects(packs)) if step else None
    return np.array(rows, dtype=np.int64), origin


def _kept(store: Store) -> dict[str, list[tuple[int, str, str]]]:
    """Steps, ids and packs, by course, of the trials whose weights are kept."""
    packs = pa.array(list(packs_with_weights(store.folder)), pa.string())
    held: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    if not len(packs):
        return held
    columns = ("course_id", LENGTH, "trial_id", "pack_id")
    rows = store.trials_table(columns, ordered=False)
    rows = rows.filter(pc.and_(pc.is_valid(rows["course_id"]), pc.is_in(rows["pack_id"], value_set=packs)))
    for course, *what in zip(*(rows[name].to_pylist() for name in columns), strict=True):
        held[course].append(tuple(what))
    return held
