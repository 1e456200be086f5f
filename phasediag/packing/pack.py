"""Trials to packs and tiles; projected memory and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Final, Literal

import numpy as np

from phasediag.grids.columns import combinations
from phasediag.identity import pack_id
from phasediag.packing.buckets import buckets, bundle_of, envelope_of
from phasediag.packing.machine import CPU, Machine
from phasediag.packing.structure import Structure, structures
from phasediag.ramp import lengths
from phasediag.training.network import Network, network_of
from phasediag.training.padding import world_names
from phasediag.trial import IntArray, Parameter, Trials, Value

CompileMode = Literal["auto", "on", "off"]

PACK_SECONDS: Final = 60.0
"""Aimed at for a pack, so that starting it costs little and losing it not much."""
LAST_SECONDS: Final = PACK_SECONDS / 20
"""Aimed at for each of the last packs of a launch, so that no worker idles for long at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one trial of a structure costs."""

    flops: float
    """The operations of one step: forward and backward products, those in float64 counted twice."""
    numbers: float
    """Elementwise results of one step, counted likewise."""
    bytes: float
    """Device memory while it trains."""
    layers: int
    machine: Machine = CPU
    """What it is trained on."""

    def step_seconds(self, trials: int, compiled: bool) -> float:
        """Projected time of one step of a tile."""
        per_number = self.machine.seconds_per_number[compiled]
        work = trials * (self.flops * self.machine.seconds_per_flop + self.numbers * per_number)
        return work + self.machine.seconds_per_call[compiled] * (1 + self.layers / 2)

    @property
    def tile(self) -> int:
        """Trials whose working set fits the cache of a processor, or fills a GPU."""
        return int(min(self.machine.largest_tile, max(2, self.machine.tile_bytes // self.bytes)))


def cost_of(network: Network, values: Mapping[str, Value], machine: Machine = CPU) -> Cost:
    """The cost of one trial, from the shapes of its network and of its batch."""
    shapes = list(network.shapes.values())
    products = sum(int(np.prod(shape)) for shape in shapes) * network.uses_of_weights
    products += network.products_per_sample
    weights = sum(int(np.prod(shape)) for shape in network.control.shapes.values())
    features = network.numbers_per_sample
    inputs, outputs = network.task.sizes(values)
    batch = values["batch_size"] or values.get("samples") or 6
    assert isinstance(batch, int)
    numbers = batch * (features + inputs + 2 * outputs) + weights * (1 + len(network.descent.moments))
    words = network.dtype.itemsize / 4
    return Cost(
        flops=6.0 * batch * products * words, numbers=numbers * words, layers=len(shapes),
        bytes=network.dtype.itemsize
        * (3.0 * batch * (features + inputs) + weights * (3 + 2 * len(network.descent.moments))),
        machine=machine,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pack:
    """Trials of one program, trained tile after tile: the unit of work, checkpoint and fragment."""

    trials: Trials
    """In the order in which they are trained."""
    structure: Structure
    """The structure of their program. Networks and batches that are smaller than those of its envelope are
    padded."""
    cost: Cost
    """The cost of a trial of the program."""
    tile_size: int
    """No larger than the trials need."""
    compiled: bool
    shared: bool = False
    """Whether each tile's trials live in one world: they see the same batches."""
    pack_id: str = field(init=False)
    projected_bytes: int = field(init=False)
    """Upper bound on device memory, in bytes."""
    projected_seconds: float = field(init=False)
    """On what a worker has, compilation left out."""

    def __post_init__(self) -> None:
        tile_size = min(self.tile_size, max(2, len(self.trials)))
        steps = lengths(self.trials).astype(np.float64)
        longest = [steps[i : i + tile_size].max() for i in range(0, len(steps), tile_size)]
        fixed = {
            "tile_size": tile_size, "pack_id": pack_id(self.trials.trial_id.tolist()),
            "projected_bytes": int(2 * tile_size * self.cost.bytes + self.cost.machine.fixed_bytes),
            "projected_seconds": float(sum(longest)) * self.cost.step_seconds(tile_size, self.compiled),
        }  # fmt: skip
        for name, value in fixed.items():
            object.__setattr__(self, name, value)

    def tiles(self) -> Iterator[Trials]:
        """The trials of each tile; the last one may be short."""
        for start in range(0, len(self.trials), self.tile_size):
            yield self.trials.take(np.arange(start, min(start + self.tile_size, len(self.trials))))

    def halves(self) -> tuple[Pack, Pack]:
        """Two packs of the same program that train its trials, of which there must be two at least."""
        middle, count = len(self.trials) // 2, len(self.trials)
        return self._of(np.arange(middle)), self._of(np.arange(middle, count))

    def _of(self, rows: IntArray) -> Pack:
        """A pack of some of its trials; where its tiles are cut differently, they may hold several worlds."""
        return replace(self, trials=self.trials.take(rows), shared=False)


def pack_of(
    trials: Trials, structure: Structure, folder: Path, *, tile_size: int, compiled: bool,
    shared: bool = False, machine: Machine = CPU,
) -> Pack:  # fmt: skip
    """A pack of trials that are trained in this way, whatever else there is to train.

    Parameters
    ----------
    folder
        Where user files are.
    machine
        What a worker has.
    """
    cost = cost_of(network_of(structure.record, folder), structure.record, machine)
    return Pack(
        trials=trials, structure=structure, cost=cost, tile_size=tile_size, compiled=compiled, shared=shared
    )


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
    """Group trials by structure, join structures by padding where it pays, order them, cut them into packs.

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
    if not len(trials):
        return []
    conditions = Conditions(workers=workers, compile_mode=compile_mode, trials_per_pack=trials_per_pack)
    distinct, group = structures(trials, parameters)
    networks = [network_of(structure.record, folder) for structure in distinct]
    costs = [
        cost_of(network, structure.record, machine)
        for network, structure in zip(networks, distinct, strict=True)
    ]
    counts, steps = np.bincount(group), np.bincount(group, weights=lengths(trials))
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
    packs: list[Pack] = []
    for members, rows in zip(joined, _groups(bucket[group]), strict=True):
        head = members[0]
        structure = distinct[head].padded_to(envelope_of([bundles[i] for i in members]))
        packs += _packs_of(trials.take(rows), structure, networks[head], costs[head], conditions)
    return sorted(packs, key=lambda pack: -pack.projected_seconds)


def _groups(group: IntArray) -> list[IntArray]:
    """The rows of each group of trials."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.cumsum(np.bincount(group))[:-1])


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


def _packs_of(
    trials: Trials, structure: Structure, network: Network, cost: Cost, conditions: Conditions
) -> list[Pack]:
    names = world_names(network.task, str(structure.record["task"]), structure.envelope)
    trials, world = _in_order(trials, names)
    tile = conditions.tile(cost, len(trials))
    aligned = _aligned(world, tile)
    shared = aligned > 0 and (conditions.trials_per_pack or aligned) % aligned == 0
    tile = aligned if shared else tile
    steps = lengths(trials).astype(np.float64)
    compiled = conditions.compiled(cost, tile, float(steps.sum()))
    seconds = np.cumsum(steps) * cost.step_seconds(tile, compiled) / tile
    if conditions.trials_per_pack is None:
        sizes = [
            tile * tiles for tiles in _shares(float(seconds[-1]), len(trials) / tile, conditions.workers)
        ]
    else:
        sizes = [conditions.trials_per_pack] * ceil(len(trials) / conditions.trials_per_pack)
    parts = np.split(np.arange(len(trials)), np.minimum(np.cumsum(sizes), len(trials))[:-1])
    return [
        Pack(
            trials=trials.take(part), structure=structure, cost=cost, tile_size=tile, compiled=compiled,
            shared=shared,
        )
        for part in parts
    ]  # fmt: skip


def _shares(seconds: float, tiles: float, workers: int) -> list[int]:
    """How many tiles each pack of a program takes: as many as there are, or up to one more.

    Round by round, each worker gets an equal pack, and all of them half of what is left: factoring, of
    Hummel, Schonberg and Flynn (1992), with packs of `PACK_SECONDS` at most and about `LAST_SECONDS` at
    least.
    """
    each = seconds / tiles
    most, least = max(1, round(PACK_SECONDS / each)), max(1, round(LAST_SECONDS / each))
    left, shares = ceil(tiles), list[int]()
    while left > 0:
        even = ceil(left / workers)
        share = min(most, max(least, ceil(left / (2 * workers))) if even > 1.5 * least else even)
        given = min(left, share * workers)
        packs = min(workers, given)
        shares += [(given + i) // packs for i in reversed(range(packs))]
        left -= given
    return shares


def _in_order(trials: Trials, names: Sequence[str]) -> tuple[Trials, IntArray]:
    """The trials of a program in training order, and the number of the world that each lives in."""
    _, data = combinations([trials.columns[name] for name in names], len(trials))
    steps = lengths(trials)
    keys = (data, trials.replicate, trials.grid_seed, -steps)
    order = np.lexsort(keys)
    changes = np.any([np.diff(key[order]) != 0 for key in keys], axis=0)
    return trials.take(order), np.concatenate([[0], np.cumsum(changes)])


def _aligned(world: IntArray, tile: int) -> int:
    """The largest tile, from half of `tile` on, that cuts all worlds in whole tiles; 0 if there is none."""
    counts = np.unique(np.bincount(world))
    common = int(np.gcd.reduce(counts))
    return max((d for d in range(max(2, ceil(tile / 2)), tile + 1) if common % d == 0), default=0)


def _even(largest: int, share: int) -> int:
    """The size of equal tiles, at least 2 and at most `largest`, that hold a share with least padding."""
    return max(2, ceil(share / ceil(share / largest)))
