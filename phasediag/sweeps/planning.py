"""The packs of what is still to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from phasediag.grids.grid import Grid
from phasediag.measuring.convergence import relaxed
from phasediag.packing.machine import machine_of
from phasediag.packing.pack import CompileMode, Pack, pack_of, pack_trials
from phasediag.packing.structure import structure_of
from phasediag.storage.roster import ID_BYTES
from phasediag.storage.store import Store
from phasediag.sweeps.survey import Survey, checkpoint_state
from phasediag.trial import Trials

ROW_BYTES: Final = 120
"""A row of `trials` and its undetailed rows of `measurements`, compressed."""
DISTANCE_BYTES: Final = 3.6
"""One stored distance in single precision, compressed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What a launch would do."""

    survey: Survey
    packs: tuple[Pack, ...]
    """All packs to train, those that are continued first."""
    workers: int
    notes: tuple[str, ...] = ()
    """What the user should know beforehand, in sentences."""

    @property
    def points(self) -> int:
        """Distinct points of the grid."""
        return len(set(self.survey.trials.point_id))

    @property
    def seconds(self) -> float:
        """Projected time of training on all workers."""
        return sum(pack.projected_seconds for pack in self.packs) / self.workers

    @property
    def bytes(self) -> int:
        """Projected device memory of the largest tile."""
        return max((pack.projected_bytes for pack in self.packs), default=0)

    @property
    def store_bytes(self) -> int:
        """Projected size of the fragments, and of the ids kept beside the grid."""
        missing, measure = self.survey.missing, self.survey.grid.measure
        if not len(missing):
            return 0
        width = missing.values("width").astype(float) if "width" in missing.columns else np.ones(len(missing))
        kept = 0.0 if measure.distances == "none" else len(measure.observables) * DISTANCE_BYTES
        return int(len(self.survey.trials) * ID_BYTES + len(missing) * ROW_BYTES + kept * width.sum())

    @property
    def unrelaxed(self) -> int:
        """Trials with decay whose training is too short for what decays to have decayed."""
        trials = self.survey.trials
        names = ("learning_rate", "weight_decay", "steps")
        rate, decay, steps = (trials.values(name).astype(float) for name in names)
        return int(((decay > 0) & ~relaxed(rate * decay * steps)).sum())


def make_plan(survey: Survey, store: Store, *, workers: int, compile_mode: CompileMode = "auto") -> Plan:
    """The packs of what is missing: first those with a checkpoint, then the rest.

    Parameters
    ----------
    workers
        Processes that will train at once.
    """
    grid = survey.grid
    resumed, rest = _unfinished(grid, store, survey.missing)
    per_pack = None if grid.resources.trials_per_pack == "auto" else grid.resources.trials_per_pack
    packs = pack_trials(
        rest, grid.parameters, grid.folder,
        workers=workers, compile_mode=compile_mode, trials_per_pack=per_pack,
        machine=machine_of(grid.resources.gpus),
    )  # fmt: skip
    return Plan(survey=survey, packs=(*resumed, *packs), workers=workers)


def _unfinished(grid: Grid, store: Store, missing: Trials) -> tuple[list[Pack], Trials]:
    """Packs with a checkpoint whose trials are all missing, and the missing trials of no such pack."""
    unfinished = store.checkpoints()
    if not unfinished:
        return [], missing
    position = {trial_id: row for row, trial_id in enumerate(missing.trial_id.tolist())}
    free = np.ones(len(missing), dtype=bool)
    packs = []
    for pack_id in unfinished:
        state = checkpoint_state(store, pack_id)
        if state is None:
            continue
        rows = np.array([position.get(trial_id, -1) for trial_id in state["trial_ids"]])
        if (rows < 0).any() or not free[rows].all():
            continue
        free[rows] = False
        trials = missing.take(rows)
        structure = structure_of(trials.record(0), grid.parameters, state.get("envelope", {}))
        pack = pack_of(
            trials, structure, grid.folder, tile_size=state["tile_size"], compiled=state["compiled"],
            shared=state.get("shared", False), machine=machine_of(grid.resources.gpus),
        )  # fmt: skip
        packs.append(pack)
    return packs, missing.take(free)
