"""A pack of trials, its tiles, and what they are projected to take: memory and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from phasediag.identity import pack_id
from phasediag.packing.machine import CPU, Machine
from phasediag.packing.origin import Origin
from phasediag.packing.structure import Structure
from phasediag.ramp import lengths
from phasediag.training.network import Network, network_of
from phasediag.trial import IntArray, Trials, Value

CompileMode = Literal["auto", "on", "off"]


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


def state_bytes(network: Network) -> int:
    """What the state of the training of one network takes, and its weights where they differ from that."""
    trained = sum(int(np.prod(shape)) for shape in network.control.shapes.values())
    numbers = trained * (1 + len(network.descent.moments))
    if not network.control.absent or network.fixed or network.habits.state:
        numbers += sum(int(np.prod(shape)) for shape in network.shapes.values())
        numbers += sum(buffer.numel() for buffer in network.module.buffers())
    return numbers * network.dtype.itemsize


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
    origin: Origin | None = None
    """From where they are trained on; None: from the start. What comes out is the same."""
    pack_id: str = field(init=False)
    projected_bytes: int = field(init=False)
    """Upper bound on device memory, in bytes."""
    projected_seconds: float = field(init=False)
    """On what a worker has, compilation left out."""

    def __post_init__(self) -> None:
        tile_size = min(self.tile_size, max(2, len(self.trials)))
        steps = lengths(self.trials).astype(np.float64) - (self.origin.step if self.origin else 0)
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
        return self.of(np.arange(middle)), self.of(np.arange(middle, count))

    def of(self, rows: IntArray) -> Pack:
        """A pack of some of its trials; where its tiles are cut differently, they may hold several worlds."""
        return replace(self.tile(rows), shared=False)

    def tile(self, rows: IntArray) -> Pack:
        """A pack of the trials of one of its tiles."""
        origin = None if self.origin is None else self.origin.take(rows)
        return replace(self, trials=self.trials.take(rows), origin=origin)


def pack_of(
    trials: Trials, structure: Structure, folder: Path, *, tile_size: int, compiled: bool,
    shared: bool = False, machine: Machine = CPU, origin: Origin | None = None,
) -> Pack:  # fmt: skip
    """A pack of trials that are trained in this way, whatever else there is to train.

    Parameters
    ----------
    folder
        Where user files are.
    machine
        What a worker has.
    origin
        Of these trials, where they are trained on.
    """
    cost = cost_of(network_of(structure.record, folder), structure.record, machine)
    return Pack(
        trials=trials, structure=structure, cost=cost, tile_size=tile_size, compiled=compiled, shared=shared,
        origin=origin,
    )  # fmt: skip
