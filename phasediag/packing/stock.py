"""Trials that wait to be trained, and how much of them a worker takes at a time.

A stock holds the trials of one program. A pack is cut from it when a worker asks for one: for the machine
that will train it, at the pace that this machine has shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Final

import numpy as np

from phasediag.packing.buckets import buckets, bundle_of, envelope_of
from phasediag.packing.machine import CPU, Machine
from phasediag.packing.origin import Origin
from phasediag.packing.pack import CompileMode, Cost, Pack, Projection, cost_of, projected
from phasediag.packing.sorting import TrainingOrder, orders_of, programs_of
from phasediag.packing.structure import Structure
from phasediag.packing.trial_source import TrialSource
from phasediag.training.network import network_of
from phasediag.training.padding import world_names
from phasediag.trial import Codes, IntArray, Parameter

PACK_SECONDS: Final = 60.0
"""Aimed at for a pack, so that starting it costs little and losing it not much."""
LAST_SECONDS: Final = PACK_SECONDS / 20
"""Aimed at for each of the last packs of a launch, so that no worker idles for long at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """By what the trials of a launch are cut into tiles and packs."""

    workers: int
    """Processes that train at once."""
    compile_mode: CompileMode
    """`auto` compiles where that pays."""
    trials_per_pack: int | None
    """Trials of every pack; None: as many as train in about `PACK_SECONDS`."""

    def tile(self, cost: Cost, trials: int) -> int:
        """The size of tiles of so many trials."""
        return _even(cost.tile, min(trials, self.trials_per_pack or ceil(trials / self.workers)))

    def compiled(self, cost: Cost, tile: int, steps: float) -> bool:
        """Whether to compile what trains so many steps of all trials together."""
        if self.compile_mode != "auto":
            return self.compile_mode == "on"
        saved = (cost.step_seconds(tile, False) - cost.step_seconds(tile, True)) / tile * steps
        return saved / self.workers > cost.compile_seconds

    def seconds(self, cost: Cost, trials: int, steps: float) -> float:
        """Projected time of so many trials with so many steps together, beside other compiled structures."""
        tile = self.tile(cost, trials)
        compiled = self.compiled(cost, tile, steps)
        slots = ceil(trials / tile) * tile / trials * steps
        training = slots / tile * cost.step_seconds(tile, compiled) / self.workers
        return training + (cost.further_seconds if compiled else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one kind of machine trains the trials of a stock."""

    cost: Cost
    tile: int
    compiled: bool
    shared: bool
    """Whether tiles can be cut so that each holds trials of one world."""

    @property
    def seconds_per_step(self) -> float:
        """Projected, of one step of one trial in a full tile."""
        return self.cost.step_seconds(self.tile, self.compiled) / self.tile


class Stock:
    """The trials of one program that nobody has taken yet.

    It holds where they stand in their source, in the order in which they are trained, and of all else as much
    as differs from one run of alike trials to the next.

    Parameters
    ----------
    trials
        Of the launch, in any order: they are made as they are taken.
    order
        Of those of this program.
    structure
        Of their program.
    cost
        Of a trial of the program, on any machine.
    origin
        From where the trials of the source are trained on; None: from the start.
    """

    def __init__(
        self,
        trials: TrialSource,
        order: TrainingOrder,
        structure: Structure,
        cost: Cost,
        conditions: Conditions,
        origin: Origin | None = None,
    ) -> None:
        self.trials, self._rows = trials, order.rows
        self.structure, self.conditions = structure, conditions
        self._cost, self._at = cost, 0
        self._ends, self._each = order.ends, order.steps - (origin.step if origin else 0)
        self._origin = origin
        spans = np.diff(self._ends, prepend=0)
        self._before = np.concatenate([[0.0], np.cumsum(spans * self._each.astype(np.float64))])
        self._ways: dict[str, Way] = {}
        self._shares: deque[int] = deque()
        self._shares_of: Way | None = None

    def __len__(self) -> int:
        """Trials that are left."""
        return len(self._rows) - self._at

    def staff(self, workers: int) -> None:
        """Take in how many workers there are, or will be; what has been cut stays, and so do its tiles."""
        if workers == self.conditions.workers:
            return
        self.conditions = replace(self.conditions, workers=workers)
        self._shares.clear()
        if not self._at:
            self._ways.clear()

    def way(self, machine: Machine) -> Way:
        """How a machine trains them; the same whenever it is asked for."""
        key = repr(machine)
        if key not in self._ways:
            self._ways[key] = self._way(replace(self._cost, machine=machine))
        return self._ways[key]

    def _way(self, cost: Cost) -> Way:
        fixed, run = self.conditions.trials_per_pack, self._run(self._at)
        tile = self.conditions.tile(cost, len(self))
        aligned = _aligned(np.diff(self._ends[run:], prepend=self._at), tile)
        shared = aligned > 0 and (fixed or aligned) % aligned == 0
        tile = aligned if shared else tile
        compiled = self.conditions.compiled(cost, tile, self._steps(self._at, len(self._rows)))
        return Way(cost=cost, tile=tile, shared=shared, compiled=compiled)

    def seconds(self, machine: Machine) -> float:
        """Projected time of all that is left, on one machine."""
        if not len(self):
            return 0.0
        return self._steps(self._at, len(self._rows)) * self.way(machine).seconds_per_step

    def next_seconds(self, machine: Machine, pace: float = 1.0) -> float:
        """Projected time of the pack that a machine would take next."""
        stop = self._stop(machine, pace)
        return self._steps(self._at, stop) * self.way(machine).seconds_per_step

    def last_seconds(self, machine: Machine) -> float:
        """Projected time of the smallest packs that a machine takes, roughly."""
        way, fixed = self.way(machine), self.conditions.trials_per_pack
        each = self.seconds(machine) / max(1, len(self))
        return each * fixed if fixed else max(LAST_SECONDS, each * way.tile)

    def parts(self, machine: Machine, workers: int) -> int:
        """How many of so many workers find a pack here at once."""
        if not len(self):
            return 0
        fixed = self.conditions.trials_per_pack
        return min(workers, ceil(len(self) / (fixed or self.way(machine).tile)))

    def take(self, machine: Machine, pace: float = 1.0) -> Pack:
        """The next pack, cut for a machine.

        Parameters
        ----------
        pace
            Seconds that it takes for a projected one.
        """
        return self.cut(machine, pace).pack()

    def cut(self, machine: Machine, pace: float = 1.0) -> Cut:
        """Where the next pack is cut, as for `take`; it is taken by that."""
        way, start, stop = self.way(machine), self._at, self._stop(machine, pace)
        taken, share = stop - start, self.conditions.trials_per_pack is None
        if share:
            left = self._shares.popleft() - ceil(taken / way.tile)
            if left > 0:
                self._shares.appendleft(left)
        firsts = np.arange(start, stop, way.tile)
        lasts = np.minimum(firsts + way.tile, stop) - 1
        self._at = stop
        first, last = self._run(start), self._run(stop - 1)
        spans = np.diff(np.minimum(self._ends[first : last + 1], stop), prepend=start)
        steps = np.repeat(self._each[first : last + 1], spans)
        return Cut(
            trials=self.trials, rows=self._rows[start:stop], structure=self.structure, way=way,
            shared=way.shared and bool((self._runs(firsts) == self._runs(lasts)).all()),
            projection=projected(steps, way.tile, way.cost, way.compiled), origin=self._origin,
        )  # fmt: skip

    def _stop(self, machine: Machine, pace: float) -> int:
        """Where the next pack of a machine ends."""
        way, fixed = self.way(machine), self.conditions.trials_per_pack
        if fixed is not None:
            return min(len(self._rows), self._at + fixed)
        each = pace * self.seconds(machine) / (len(self) / way.tile)
        if not self._shares or self._shares_of != way:
            self._shares = deque(_shares(each, ceil(len(self) / way.tile), self.conditions.workers))
            self._shares_of = way
        tiles = min(self._shares[0], max(1, round(PACK_SECONDS / each)))
        return min(len(self._rows), self._at + tiles * way.tile)

    def _runs(self, rows: IntArray) -> IntArray:
        """The runs in which trials stand, by where they stand in the order of training."""
        return np.searchsorted(self._ends, rows, side="right")

    def _run(self, row: int) -> int:
        return int(np.searchsorted(self._ends, row, side="right"))

    def _steps(self, start: int, stop: int) -> float:
        """Steps of all trials from one to another in the order of training."""
        return self._until(stop) - self._until(start)

    def _until(self, row: int) -> float:
        run = self._run(row)
        if run == len(self._ends):
            return float(self._before[-1])
        begin = self._ends[run - 1] if run else 0
        return float(self._before[run] + (row - begin) * self._each[run])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """A pack whose trials are not made yet."""

    trials: TrialSource
    rows: Codes
    """Positions of its trials in their source, in the order in which they are trained."""
    structure: Structure
    way: Way
    shared: bool
    projection: Projection
    origin: Origin | None = None
    """From where the trials of the source are trained on; None: from the start."""

    def __len__(self) -> int:
        return len(self.rows)

    def pack(self) -> Pack:
        """The pack."""
        return Pack(
            source=self.trials.of(self.rows), structure=self.structure, cost=self.way.cost,
            tile_size=self.way.tile, compiled=self.way.compiled, shared=self.shared,
            origin=None if self.origin is None else self.origin.take(self.rows),
        )  # fmt: skip


def stocks_of(
    trials: TrialSource, parameters: Mapping[str, Parameter], folder: Path, conditions: Conditions,
    machine: Machine = CPU, origin: Origin | None = None,
) -> list[Stock]:  # fmt: skip
    """Group trials by structure, and join structures by padding where it pays.

    Parameters
    ----------
    parameters
        Tells the structural parameters from the batched ones.
    folder
        Where user files are.
    machine
        What workers have, as far as it is known.
    origin
        From where they are trained on; None: from the start.

    Returns
    -------
    Every trial is in one of them.
    """
    if not len(trials):
        return []
    sorted_out = programs_of(trials, parameters)
    distinct, group = sorted_out.structures, sorted_out.group
    networks = [network_of(structure.record, folder) for structure in distinct]
    costs = [
        cost_of(network, structure.record, machine)
        for network, structure in zip(networks, distinct, strict=True)
    ]
    done = origin.step if origin else 0
    bundles = [
        bundle_of(structure, network, folder, flops=cost.flops, trials=count, steps=steps - count * done)
        for structure, network, cost, count, steps in zip(
            distinct, networks, costs, sorted_out.counts, sorted_out.steps, strict=True
        )
    ]
    joined = buckets(bundles, lambda i, count, total: conditions.seconds(costs[i], count, total))
    bucket, heads = np.empty(len(bundles), dtype=np.int64), []
    for number, members in enumerate(joined):
        bucket[members] = number
        heads.append(distinct[members[0]].padded_to(envelope_of([bundles[i] for i in members])))
    worlds = [
        world_names(networks[members[0]].task, str(head.record["task"]), head.envelope)
        for members, head in zip(joined, heads, strict=True)
    ]
    return [
        Stock(trials, order, head, costs[members[0]], conditions, origin)
        for members, head, order in zip(joined, heads, orders_of(trials, bucket, group, worlds), strict=True)
    ]


def next_pack(stocks: Sequence[Stock], machine: Machine, pace: float = 1.0) -> Pack | None:
    """The longest pack that a machine can take next; None where nothing is left."""
    waiting = [stock for stock in stocks if len(stock)]
    if not waiting:
        return None
    return max(waiting, key=lambda stock: stock.next_seconds(machine, pace)).take(machine, pace)


def cut_trials(
    trials: TrialSource, parameters: Mapping[str, Parameter], folder: Path, conditions: Conditions,
    machine: Machine = CPU, origin: Origin | None = None,
) -> list[Cut]:  # fmt: skip
    """The packs that equal workers would take, one after the other.

    Parameters
    ----------
    parameters
        Tells the structural parameters from the batched ones.
    folder
        Where user files are.
    machine
        What each worker has.
    origin
        From where they are trained on; None: from the start.

    Returns
    -------
    The packs, longest first. Every trial is in one of them.
    """
    cuts = []
    for stock in stocks_of(trials, parameters, folder, conditions, machine, origin):
        while len(stock):
            cuts.append(stock.cut(machine))
    return sorted(cuts, key=lambda cut: -cut.projection.seconds)


def _shares(each: float, left: int, workers: int) -> list[int]:
    """How many tiles each worker takes next, of so many that are left, and that take so many seconds each.

    Each worker gets an equal pack, and all of them half of what is left: a round of factoring, of Hummel,
    Schonberg and Flynn (1992), with packs of `PACK_SECONDS` at most and about `LAST_SECONDS` at least.
    """
    most, least = max(1, round(PACK_SECONDS / each)), max(1, round(LAST_SECONDS / each))
    even = ceil(left / workers)
    share = min(most, max(least, ceil(left / (2 * workers))) if even > 1.5 * least else even)
    given = min(left, share * workers)
    packs = min(workers, given)
    return [(given + i) // packs for i in reversed(range(packs))]


def _aligned(counts: IntArray, tile: int) -> int:
    """The largest tile, from half of `tile` on, that cuts runs of trials in whole tiles; 0: there is none."""
    common = int(np.gcd.reduce(np.unique(counts)))
    return max((d for d in range(max(2, ceil(tile / 2)), tile + 1) if common % d == 0), default=0)


def _even(largest: int, share: int) -> int:
    """The size of equal tiles, at least 2 and at most `largest`, that hold a share with least padding."""
    return max(2, ceil(share / ceil(share / largest)))
