"""Trials that wait to be trained, and how much of them a worker takes at a time.

A stock holds the trials of one program. A pack is cut from it when a worker asks for one: for the machine
that will train it, at the pace that this machine has shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Final

import numpy as np

from phasediag.grids.columns import combinations
from phasediag.packing.buckets import buckets, bundle_of, envelope_of
from phasediag.packing.machine import CPU, Machine
from phasediag.packing.origin import Origin
from phasediag.packing.pack import CompileMode, Cost, Pack, cost_of
from phasediag.packing.structure import Structure, structures
from phasediag.ramp import lengths
from phasediag.training.network import Network, network_of
from phasediag.training.padding import world_names
from phasediag.trial import IntArray, Parameter, Trials

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
        return saved / self.workers > cost.machine.compile_seconds

    def seconds(self, cost: Cost, trials: int, steps: float) -> float:
        """Projected time of so many trials with so many steps together, beside other compiled structures."""
        tile = self.tile(cost, trials)
        compiled = self.compiled(cost, tile, steps)
        slots = ceil(trials / tile) * tile / trials * steps
        training = slots / tile * cost.step_seconds(tile, compiled) / self.workers
        return training + (cost.machine.further_seconds if compiled else 0.0)


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

    Parameters
    ----------
    trials
        Of the launch, in any order: they are held once for all of its stocks.
    rows
        Of those of this program.
    structure
        Of their program.
    network
        The one that is trained: that of the structure.
    cost
        Of a trial of the program, on any machine.
    origin
        From where the trials of the launch are trained on; None: from the start.
    """

    def __init__(
        self, trials: Trials, rows: IntArray, structure: Structure, network: Network, cost: Cost,
        conditions: Conditions, origin: Origin | None = None,
    ) -> None:  # fmt: skip
        names = world_names(network.task, str(structure.record["task"]), structure.envelope)
        own = trials.take(rows)
        order, self._world = _order(own, names)
        self.trials, self._rows = trials, rows[order]
        self.structure, self.conditions = structure, conditions
        self._cost, self._at = cost, 0
        left = lengths(own)[order].astype(np.float64) - (origin.step if origin else 0)
        self._steps, self._origin = np.concatenate([[0.0], np.cumsum(left)]), origin
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
        world, fixed = self._world[self._at :], self.conditions.trials_per_pack
        tile = self.conditions.tile(cost, len(world))
        aligned = _aligned(world - world[0], tile)
        shared = aligned > 0 and (fixed or aligned) % aligned == 0
        tile = aligned if shared else tile
        steps = float(self._steps[-1] - self._steps[self._at])
        return Way(cost=cost, tile=tile, shared=shared, compiled=self.conditions.compiled(cost, tile, steps))

    def seconds(self, machine: Machine) -> float:
        """Projected time of all that is left, on one machine."""
        steps = float(self._steps[-1] - self._steps[self._at])
        return steps * self.way(machine).seconds_per_step if len(self) else 0.0

    def next_seconds(self, machine: Machine, pace: float = 1.0) -> float:
        """Projected time of the pack that a machine would take next."""
        stop = self._stop(machine, pace)
        return float(self._steps[stop] - self._steps[self._at]) * self.way(machine).seconds_per_step

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
        way, start, stop = self.way(machine), self._at, self._stop(machine, pace)
        taken, share = stop - start, self.conditions.trials_per_pack is None
        if share:
            left = self._shares.popleft() - ceil(taken / way.tile)
            if left > 0:
                self._shares.appendleft(left)
        firsts = np.arange(start, stop, way.tile)
        lasts = np.minimum(firsts + way.tile, stop) - 1
        self._at = stop
        rows = self._rows[start:stop]
        return Pack(
            trials=self.trials.take(rows), structure=self.structure, cost=way.cost,
            tile_size=way.tile, compiled=way.compiled, origin=self._origin and self._origin.take(rows),
            shared=way.shared and bool((self._world[firsts] == self._world[lasts]).all()),
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


def stocks_of(
    trials: Trials, parameters: Mapping[str, Parameter], folder: Path, conditions: Conditions,
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
    distinct, group = structures(trials, parameters)
    networks = [network_of(structure.record, folder) for structure in distinct]
    costs = [
        cost_of(network, structure.record, machine)
        for network, structure in zip(networks, distinct, strict=True)
    ]
    left = lengths(trials) - (origin.step if origin else 0)
    counts, steps = np.bincount(group), np.bincount(group, weights=left)
    bundles = [
        bundle_of(structure, network, folder, flops=cost.flops, trials=int(count), steps=float(total))
        for structure, network, cost, count, total in zip(
            distinct, networks, costs, counts, steps, strict=True
        )
    ]
    joined = buckets(bundles, lambda i, count, total: conditions.seconds(costs[i], count, total))
    bucket = np.empty(len(bundles), dtype=np.int64)
    for number, members in enumerate(joined):
        bucket[members] = number
    made = []
    for members, rows in zip(joined, _groups(bucket[group]), strict=True):
        head = members[0]
        structure = distinct[head].padded_to(envelope_of([bundles[i] for i in members]))
        made.append(Stock(trials, rows, structure, networks[head], costs[head], conditions, origin))
    return made


def next_pack(stocks: Sequence[Stock], machine: Machine, pace: float = 1.0) -> Pack | None:
    """The longest pack that a machine can take next; None where nothing is left."""
    waiting = [stock for stock in stocks if len(stock)]
    if not waiting:
        return None
    return max(waiting, key=lambda stock: stock.next_seconds(machine, pace)).take(machine, pace)


def pack_trials(
    trials: Trials,
    parameters: Mapping[str, Parameter],
    folder: Path,
    *,
    workers: int,
    compile_mode: CompileMode = "auto",
    trials_per_pack: int | None = None,
    machine: Machine = CPU,
) -> list[Pack]:
    """The packs that equal workers would take, one after the other.

    Parameters
    ----------
    parameters
        Tells the structural parameters from the batched ones.
    folder
        Where user files are.
    workers
        Processes that will train at once: each structure gives at least so many packs where it has
        enough trials.
    compile_mode
        `auto` compiles the structures whose training takes longer than compiling saves.
    trials_per_pack
        None: from projected time.
    machine
        What each worker has.

    Returns
    -------
    The packs, longest first. Every trial is in one of them.
    """
    conditions = Conditions(workers=workers, compile_mode=compile_mode, trials_per_pack=trials_per_pack)
    return packs_from(stocks_of(trials, parameters, folder, conditions, machine), machine)


def packs_from(stocks: Iterable[Stock], machine: Machine) -> list[Pack]:
    """All packs of some stocks as equal machines take them, longest first; the stocks are empty then."""
    packs = []
    for stock in stocks:
        while len(stock):
            packs.append(stock.take(machine))
    return sorted(packs, key=lambda pack: -pack.projected_seconds)


def _groups(group: IntArray) -> list[IntArray]:
    """The rows of each group of trials."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.cumsum(np.bincount(group))[:-1])


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


def _order(trials: Trials, names: Sequence[str]) -> tuple[IntArray, IntArray]:
    """The rows of a program's trials in training order, and the number of the world that each lives in."""
    _, data = combinations([trials.columns[name] for name in names], len(trials))
    steps = lengths(trials)
    keys = (data, trials.replicate, trials.grid_seed, -steps)
    order = np.lexsort(keys)
    changes = np.any([np.diff(key[order]) != 0 for key in keys], axis=0)
    return order, np.concatenate([[0], np.cumsum(changes)])


def _aligned(world: IntArray, tile: int) -> int:
    """The largest tile, from half of `tile` on, that cuts all worlds in whole tiles; 0 if there is none."""
    counts = np.unique(np.bincount(world))
    common = int(np.gcd.reduce(counts))
    return max((d for d in range(max(2, ceil(tile / 2)), tile + 1) if common % d == 0), default=0)


def _even(largest: int, share: int) -> int:
    """The size of equal tiles, at least 2 and at most `largest`, that hold a share with least padding."""
    return max(2, ceil(share / ceil(share / largest)))
