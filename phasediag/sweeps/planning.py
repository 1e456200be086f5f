"""The packs of what is still to train."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from phasediag.executors.executor import Staff
from phasediag.executors.ledger import Ledger
from phasediag.grids.grid import Grid
from phasediag.measuring.convergence import relaxed
from phasediag.packing.machine import Machine, machine_of
from phasediag.packing.origin import Origin
from phasediag.packing.pack import CompileMode, Pack, pack_of, state_bytes
from phasediag.packing.stock import Conditions, Stock, packs_from, stocks_of
from phasediag.packing.structure import structure_of, structures
from phasediag.ramp import lengths, slowest
from phasediag.running import checkpoint
from phasediag.running.checkpoint import Header
from phasediag.storage.roster import ID_BYTES
from phasediag.storage.store import Store
from phasediag.sweeps.beginnings import beginnings_of
from phasediag.sweeps.status import duration
from phasediag.sweeps.survey import Survey
from phasediag.training.network import network_of
from phasediag.training.pace import mean_rates
from phasediag.trial import Trials

ROW_BYTES: Final = 120
"""A row of `trials` and its undetailed rows of `measurements`, compressed."""
DISTANCE_BYTES: Final = 5.6
"""One stored distance in single precision, and how it moved, compressed."""
START_SECONDS: Final = 6.0
"""Until the workers of a local Ray train, measured by `benchmarks/overhead.py`; inline launches take less."""
BESIDES: Final = 1.07
"""Time of a pack over that of its steps: measuring, writing, and a worker that waits for the next."""
SAMPLED_STEPS: Final = 1024
"""Steps of a trial whose learning rates are averaged before it is trained."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
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
    def training_seconds(self) -> float:
        """Projected time from the first step to the last: each worker takes the next pack when it is free."""
        free = [0.0] * self.workers
        for pack in self.packs:
            heapq.heapreplace(free, free[0] + BESIDES * pack.projected_seconds)
        return max(free)

    @property
    def compile_seconds(self) -> float:
        """Projected time until all programs are compiled that this machine has not yet."""
        machines = list({p.structure: p.cost.machine for p in self.packs if p.compiled}.values())
        if not machines:
            return 0.0
        return machines[0].compile_seconds + sum(m.further_seconds for m in machines[1:]) / self.workers

    @property
    def seconds(self) -> float:
        """Projected time of a launch on this machine, from the command to its end."""
        return START_SECONDS + self.compile_seconds + self.training_seconds if self.packs else 0.0

    @property
    def bytes(self) -> int:
        """Projected device memory of the largest tile."""
        return max((pack.projected_bytes for pack in self.packs), default=0)

    @property
    def store_bytes(self) -> int:
        """Projected size of the fragments, of kept weights, and of the ids kept beside the grid."""
        missing, measure = self.survey.missing, self.survey.grid.measure
        if not len(missing):
            return 0
        width = missing.values("width").astype(float) if "width" in missing.columns else np.ones(len(missing))
        kept = 0.0 if measure.distances == "none" else len(measure.observables) * DISTANCE_BYTES
        rows = len(self.survey.trials) * ID_BYTES + len(missing) * ROW_BYTES + kept * width.sum()
        return int(rows) + self.weights_bytes

    @property
    def weights_bytes(self) -> int:
        """Projected size of the weights that are kept, with what the optimizer keeps."""
        missing, grid = self.survey.missing, self.survey.grid
        if not grid.keep or not len(missing):
            return 0
        distinct, group = structures(missing, grid.parameters)
        each = [state_bytes(network_of(structure.record, grid.folder)) for structure in distinct]
        return int(grid.keep * float(np.array(each, dtype=np.float64)[group].sum()))

    @property
    def unrelaxed(self) -> int:
        """Trials with decay whose training is too short for what decays to have decayed."""
        trials, grid = self.survey.trials, self.survey.grid
        rate, decay = (slowest(trials, name) for name in ("learning_rate", "weight_decay"))
        steps = trials.values("steps").astype(float)
        columns = trials.columns
        plain = {"schedule": "constant", "warmup_steps": 0, "layer_rates": None}
        if any(columns[name].pool != (value,) for name, value in plain.items()):
            rate = _mean_rates(trials, grid)
        return int(((decay > 0) & ~relaxed(rate * decay * steps)).sum())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known before a launch, in whole sentences."""
        if not self.unrelaxed:
            return self.survey.notices
        return (
            *self.survey.notices,
            f"{self.unrelaxed:,} of {len(self.survey.trials):,} trials train for fewer than 10 relaxation "
            "times (learning_rate * weight_decay * steps < 10): a boundary among them is a front of training "
            "time, not of phases; raise steps, or give relaxations: 20 under fixed instead",
        )

    def __repr__(self) -> str:
        """What a launch would do, in words."""
        survey = self.survey
        counts = (
            f"{survey.grid.name}: {len(survey.trials):,} trials at {self.points:,} points; "
            f"{survey.done:,} done, {survey.failed:,} failed, {len(survey.missing):,} missing"
        )
        if self.packs:
            counts += f"; about {duration(self.seconds)} on {self.workers} workers of this machine"
        warnings = (f"warning: {text}" for text in self.warnings)
        return "\n".join([counts, *warnings, *(f"note: {text}" for text in self.notes)])


def _mean_rates(trials: Trials, grid: Grid) -> npt.NDArray[np.float64]:
    """The rates of `phasediag.training.pace` of trials that do all their steps, to a thousandth."""
    distinct, group = structures(trials, grid.parameters)
    means = np.empty(len(trials))
    for number, structure in enumerate(distinct):
        rows = np.flatnonzero(group == number)
        descent = network_of(structure.record, grid.folder).descent
        some = trials.take(rows)
        rates = {"learning_rate": torch.from_numpy(some.values("learning_rate").astype(float))}
        rates |= descent.constants(some.records(), torch.float64, torch.device("cpu"))
        means[rows] = mean_rates(descent, rates, some.values("steps").astype(np.int64), most=SAMPLED_STEPS)
    return means


def make_plan(survey: Survey, store: Store, *, workers: int, compile_mode: CompileMode = "auto") -> Plan:
    """The packs of what is missing: first those with a checkpoint, then those that equal workers would take.

    Parameters
    ----------
    workers
        Processes that will train at once.
    """
    grid = survey.grid
    resumed, rest, notes = _unfinished(grid, store, survey.missing)
    conditions, machine = _conditions(grid, workers, compile_mode), machine_of(grid.resources.gpus)
    stocks, further = _stocks(grid, store, rest, conditions, machine)
    packs = (*resumed, *packs_from(stocks, machine))
    return Plan(survey=survey, packs=packs, workers=workers, notes=(*notes, *further))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Books:
    """What a launch begins with."""

    ledger: Ledger
    most: int | None
    """Packs at once, at most; None: as many as there is work for."""
    workers: int
    """Places at least for which packs are cut."""
    expected: int
    """Packs at once as the launch starts."""
    notes: tuple[str, ...]
    """What the user should know beforehand, in sentences."""


def open_books(survey: Survey, store: Store, staff: Staff, *, compile_mode: CompileMode = "auto") -> Books:
    """The ledger of what is missing; packs are cut when they are claimed."""
    grid, asked = survey.grid, survey.grid.resources.workers
    resumed, rest, notes = _unfinished(grid, store, survey.missing)
    machine = machine_of(grid.resources.gpus)
    workers = staff.now if asked == "auto" else asked if staff.grows else min(asked, staff.now)
    conditions = _conditions(grid, workers, compile_mode)
    stocks, further = _stocks(grid, store, rest, conditions, machine)
    ledger = Ledger(stocks, resumed, machine)
    if staff.grows and asked == "auto":
        ledger.staff(max(workers, ledger.useful(machine)))
    most, expected = None if asked == "auto" else asked, ledger.places(min(workers, staff.now))
    return Books(
        ledger=ledger, most=most, workers=workers, expected=expected, notes=(*notes, *further)
    )  # fmt: skip


def _stocks(
    grid: Grid, store: Store, trials: Trials, conditions: Conditions, machine: Machine
) -> tuple[list[Stock], tuple[str, ...]]:
    """The stocks of trials, apart by the step at which these begin; and what is to be told of that."""
    beginnings = beginnings_of(grid, store, trials)
    stocks = [
        stock
        for rows, origin in beginnings
        for stock in stocks_of(
            trials.take(rows), grid.parameters, grid.folder, conditions, machine, origin
        )
    ]  # fmt: skip
    going_on = sum(len(rows) for rows, origin in beginnings if origin is not None)
    if not going_on:
        return stocks, ()
    saved = sum(origin.step * len(rows) for rows, origin in beginnings if origin is not None)
    share = saved / float(lengths(trials).astype(float).sum())
    return stocks, (
        f"{going_on:,} of {len(trials):,} trials go on from the kept weights of shorter ones, which saves "
        f"{share:.0%} of the steps",
    )


def _conditions(grid: Grid, workers: int, compile_mode: CompileMode) -> Conditions:
    per_pack = grid.resources.trials_per_pack
    return Conditions(
        workers=workers, compile_mode=compile_mode, trials_per_pack=None if per_pack == "auto" else per_pack
    )


def _unfinished(grid: Grid, store: Store, missing: Trials) -> tuple[list[Pack], Trials, tuple[str, ...]]:
    """What can be continued.

    Returns
    -------
    packs
        Those with a checkpoint whose trials are all missing.
    rest
        The missing trials of no such pack.
    notes
        What is left aside, in sentences.
    """
    unfinished = store.checkpoints()
    if not unfinished:
        return [], missing, ()
    position = {trial_id: row for row, trial_id in enumerate(missing.trial_id.tolist())}
    free = np.ones(len(missing), dtype=bool)
    packs, foreign = [], 0
    for pack_id in unfinished:
        header = checkpoint.read_header(store, pack_id)
        if header is None:
            continue
        rows = np.array([position.get(trial_id, -1) for trial_id in header.trial_ids])
        if not header.readable:
            foreign += bool((rows >= 0).any())
            continue
        if (rows < 0).any() or not free[rows].all():
            continue
        free[rows] = False
        packs.append(pack_of_header(grid, header, missing.take(rows)))
    return packs, missing.take(free), (checkpoint.left_aside(foreign),) if foreign else ()


def pack_of_header(grid: Grid, header: Header, trials: Trials) -> Pack:
    """The pack that a header tells of, which holds the ids of these trials in their order."""
    structure = structure_of(trials.record(0), grid.parameters, header.envelope)
    return pack_of(
        trials, structure, grid.folder, tile_size=header.tile_size, compiled=header.compiled,
        shared=header.shared, machine=machine_of(grid.resources.gpus), origin=Origin.of(header.origin),
    )  # fmt: skip
