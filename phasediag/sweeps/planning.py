"""The packs of what is still to train."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np

from phasediag.executors.executor import Staff
from phasediag.executors.ledger import Ledger
from phasediag.grids.grid import Grid
from phasediag.grids.lot import Lot
from phasediag.identity import ID_BYTES, Ids
from phasediag.packing.machine import machine_of
from phasediag.packing.origin import Origin
from phasediag.packing.pack import CompileMode, Cost, Pack, Projection, pack_of, state_bytes
from phasediag.packing.stock import Conditions, Cut, cut_trials, stocks_of
from phasediag.packing.structure import Structure, structure_of, structures
from phasediag.packing.trial_source import TrialSource
from phasediag.ramp import lengths
from phasediag.running import checkpoint
from phasediag.running.checkpoint import Header
from phasediag.storage.roster import digests_of
from phasediag.storage.store import Store
from phasediag.sweeps.beginnings import beginnings_of
from phasediag.sweeps.measuring_time import measuring_note
from phasediag.sweeps.relaxing import Relaxing, relaxing_of
from phasediag.sweeps.status import about
from phasediag.sweeps.survey import Survey
from phasediag.training.network import network_of

ROW_BYTES: Final = 120
"""A row of `trials` and its undetailed rows of `measurements`, compressed."""
DISTANCE_BYTES: Final = 5.6
"""One stored distance in single precision, and how it moved, compressed."""
START_SECONDS: Final = 6.0
"""Until the workers of a local Ray train, measured by `benchmarks/overhead.py`; inline launches take less."""
BESIDES: Final = 1.07
"""Time of a pack over that of its steps: measuring, writing, and a worker that waits for the next."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Plan:
    """What a launch would do."""

    survey: Survey
    resumed: tuple[Pack, ...]
    """Packs that are continued from their checkpoints."""
    cuts: tuple[Cut, ...]
    """All other packs to train, longest first."""
    workers: int
    relaxing: Relaxing
    """Whether what decays has the time to, in all trials of the grid."""
    notes: tuple[str, ...] = ()
    """What the user should know beforehand, in sentences."""

    @property
    def packs(self) -> tuple[Pack, ...]:
        """All packs to train with their trials, which are made now, those that are continued first."""
        return (*self.resumed, *(cut.pack() for cut in self.cuts))

    @property
    def programs(self) -> tuple[tuple[Structure, Cost, bool, Projection], ...]:
        """What trains each pack, whether compiled, and what that takes."""
        resumed = ((each.structure, each.cost, each.compiled, each.projection) for each in self.resumed)
        cuts = ((each.structure, each.way.cost, each.way.compiled, each.projection) for each in self.cuts)
        return (*resumed, *cuts)

    @property
    def points(self) -> int:
        """Distinct points of the grid: each is trained in every replicate."""
        return len(self.survey.trials) // self.survey.grid.replicates

    @property
    def training_seconds(self) -> float:
        """Projected time from the first step to the last: each worker takes the next pack when it is free."""
        free = [0.0] * self.workers
        for *_, projection in self.programs:
            heapq.heapreplace(free, free[0] + BESIDES * projection.seconds)
        return max(free)

    @property
    def compile_seconds(self) -> float:
        """Projected time until all programs are compiled that this machine has not yet."""
        compiled = {program: cost for program, cost, compiled, _ in self.programs if compiled}
        costs = list(compiled.values())
        if not costs:
            return 0.0
        return costs[0].compile_seconds + sum(cost.further_seconds for cost in costs[1:]) / self.workers

    @property
    def seconds(self) -> float:
        """Projected time of a launch on this machine, from the command to its end."""
        return START_SECONDS + self.compile_seconds + self.training_seconds if self.programs else 0.0

    @property
    def bytes(self) -> int:
        """Projected device memory of the largest tile."""
        return max((projection.bytes for *_, projection in self.programs), default=0)

    @property
    def store_bytes(self) -> int:
        """Projected size of the fragments, of kept weights, and of the ids kept beside the grid."""
        missing, measure = self.survey.missing, self.survey.grid.measure
        if not len(missing):
            return 0
        width = sum(
            float(block.values("width").astype(float).sum()) if "width" in block.columns else len(block)
            for block in missing.blocks()
        )
        kept = 0.0 if measure.distances == "none" else len(measure.observables) * DISTANCE_BYTES
        rows = len(self.survey.trials) * ID_BYTES + len(missing) * ROW_BYTES + kept * width
        return int(rows) + self.weights_bytes

    @property
    def weights_bytes(self) -> int:
        """Projected size of the weights that are kept, with what the optimizer keeps."""
        missing, grid, total = self.survey.missing, self.survey.grid, 0
        for block in missing.blocks() if grid.keep and len(missing) else ():
            distinct, group = structures(block, grid.parameters)
            counts = np.bincount(group, minlength=len(distinct)).tolist()
            networks = (network_of(structure.record, grid.folder) for structure in distinct)
            total += sum(count * state_bytes(each) for count, each in zip(counts, networks, strict=True))
        return int(grid.keep * total)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known before a launch, in whole sentences."""
        return (*self.survey.notices, *filter(None, [self.relaxing.warning]))

    @property
    def advice(self) -> str:
        """What would give trials that are too short the steps that they need; empty where none is."""
        untouched = len(self.survey.missing) == len(self.survey.trials)
        return self.relaxing.remedy(self.survey.grid, self.training_seconds if untouched else None)

    def __repr__(self) -> str:
        """What a launch would do, in words."""
        survey = self.survey
        counts = (
            f"{survey.grid.name}: {len(survey.trials):,} trials at {self.points:,} points; "
            f"{survey.done:,} done, {survey.failed:,} failed, {len(survey.missing):,} missing"
        )
        if self.programs:
            counts += f"; {about(self.seconds)} on {self.workers} workers of this machine"
        warnings = (f"warning: {text}" for text in self.warnings)
        notes = (f"note: {text}" for text in (self.advice, *self.notes) if text)
        return "\n".join([counts, *warnings, *notes])


def make_plan(survey: Survey, store: Store, *, workers: int, compile_mode: CompileMode = "auto") -> Plan:
    """The packs of what is missing: first those with a checkpoint, then those that equal workers would take.

    Parameters
    ----------
    workers
        Processes that will train at once.
    """
    grid = survey.grid
    resumed, rest, notes = _unfinished(survey, store)
    conditions = _conditions(grid, workers, compile_mode)
    machine = machine_of(grid.resources.gpus)
    beginnings = _beginnings(grid, store, rest)
    cuts = [
        cut
        for trials, origin in beginnings.parts
        for cut in cut_trials(trials, grid.parameters, grid.folder, conditions, machine, origin)
    ]
    longest_first = sorted(cuts, key=lambda cut: -cut.projection.seconds)
    structures_met = [*(pack.structure for pack in resumed), *(cut.structure for cut in cuts)]
    measuring = measuring_note(grid, [structure.record for structure in structures_met])
    return Plan(
        survey=survey, resumed=tuple(resumed), cuts=tuple(longest_first), workers=workers,
        relaxing=relaxing_of(survey.trials, grid),
        notes=(*notes, *beginnings.notes, *filter(None, [measuring])),
    )  # fmt: skip


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
    resumed, rest, notes = _unfinished(survey, store)
    machine = machine_of(grid.resources.gpus)
    workers = staff.now if asked == "auto" else asked if staff.grows else min(asked, staff.now)
    conditions = _conditions(grid, workers, compile_mode)
    beginnings = _beginnings(grid, store, rest)
    stocks = [
        stock
        for trials, origin in beginnings.parts
        for stock in stocks_of(trials, grid.parameters, grid.folder, conditions, machine, origin)
    ]
    ledger = Ledger(stocks, resumed, machine)
    if staff.grows and asked == "auto":
        ledger.staff(max(workers, ledger.useful(machine)))
    most, expected = None if asked == "auto" else asked, ledger.places(min(workers, staff.now))
    return Books(
        ledger=ledger, most=most, workers=workers, expected=expected, notes=(*notes, *beginnings.notes)
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Beginnings:
    """Trials by the step at which they begin."""

    parts: tuple[tuple[TrialSource, Origin | None], ...]
    notes: tuple[str, ...]
    """What is to be told of that."""


def _beginnings(grid: Grid, store: Store, rest: TrialSource) -> _Beginnings:
    """Trials apart by whether, and from which step, they go on from kept weights."""
    begun = beginnings_of(grid, store, rest)
    if all(origin is None for _, origin in begun):
        return _Beginnings(parts=((rest, None),) if len(rest) else (), notes=())
    count = sum(len(rows) for rows, origin in begun if origin is not None)
    saved = sum(origin.step * len(rows) for rows, origin in begun if origin is not None)
    share = saved / sum(float(lengths(block).astype(float).sum()) for block in rest.blocks())
    note = (
        f"{count:,} of {len(rest):,} trials go on from the kept weights of shorter ones, which saves "
        f"{share:.0%} of the steps"
    )
    return _Beginnings(parts=tuple((rest.of(rows), origin) for rows, origin in begun), notes=(note,))


def _conditions(grid: Grid, workers: int, compile_mode: CompileMode) -> Conditions:
    per_pack = grid.resources.trials_per_pack
    return Conditions(
        workers=workers, compile_mode=compile_mode, trials_per_pack=None if per_pack == "auto" else per_pack
    )


def _unfinished(survey: Survey, store: Store) -> tuple[list[Pack], Lot, tuple[str, ...]]:
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
    grid, missing, unfinished = survey.grid, survey.missing, store.checkpoints()
    if not unfinished:
        return [], missing, ()
    known = Ids(missing.digests())
    free = np.ones(len(missing), dtype=bool)
    packs, foreign = [], 0
    for pack_id in unfinished:
        header = checkpoint.read_header(store, pack_id)
        if header is None:
            continue
        rows = known.find(digests_of(header.trial_ids))
        if not header.readable:
            foreign += bool((rows >= 0).any())
            continue
        if (rows < 0).any() or not free[rows].all():
            continue
        free[rows] = False
        packs.append(pack_of_header(grid, header, missing.of(rows)))
    return packs, missing.of(free), (checkpoint.left_aside(foreign),) if foreign else ()


def pack_of_header(grid: Grid, header: Header, trials: TrialSource) -> Pack:
    """The pack that a header tells of, which holds the ids of these trials in their order."""
    record = trials.of(np.arange(1)).trials().record(0)
    structure = structure_of(record, grid.parameters, header.envelope)
    return pack_of(
        trials, structure, grid.folder, tile_size=header.tile_size, compiled=header.compiled,
        shared=header.shared, machine=machine_of(grid.resources.gpus), origin=Origin.of(header.origin),
    )  # fmt: skip
