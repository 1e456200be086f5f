"""A pack of trials, its tiles, and what they are projected to take: memory and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from phasediag.errors import PhasediagError
from phasediag.grids.lot import Expansion, Lot
from phasediag.identity import pack_id
from phasediag.packing.machine import CPU, Machine
from phasediag.packing.origin import Origin
from phasediag.packing.structure import Structure
from phasediag.packing.trial_source import TrialSource
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
    gathered: float = 0.0
    """Numbers that the convolutions of one step gather, counted likewise; no compiler makes that faster."""
    machine: Machine = CPU
    """What it is trained on."""
    native: bool = True
    """Whether a native program is expected to train it, where it is compiled for a processor."""

    @property
    def compile_seconds(self) -> float:
        """What the first program costs."""
        return self.machine.compile_seconds[self.native]

    @property
    def further_seconds(self) -> float:
        """What a further program costs."""
        return self.machine.further_seconds[self.native]

    def step_seconds(self, trials: int, compiled: bool) -> float:
        """Projected time of one step of a tile."""
        per_number = self.machine.seconds_per_number[compiled]
        work = self.flops * self.machine.seconds_per_flop + self.numbers * per_number
        work += self.gathered * self.machine.seconds_per_number[False]
        return trials * work + self.machine.seconds_per_call[compiled] * (1 + self.layers / 2)

    @property
    def tile(self) -> int:
        """Trials whose working set fits the cache of a processor, or fills a GPU."""
        return int(min(self.machine.largest_tile, max(2, self.machine.tile_bytes // self.bytes)))


def cost_of(network: Network, values: Mapping[str, Value], machine: Machine = CPU) -> Cost:
    """The cost of one trial, from the shapes of its network and of its batch."""
    arithmetic, features = network.arithmetic, network.arithmetic.numbers
    weights = sum(int(np.prod(shape)) for shape in network.control.shapes.values())
    inputs, outputs = network.task.sizes(values)
    batch = values["batch_size"] or values.get("samples") or 6
    assert isinstance(batch, int)
    numbers = batch * (features + inputs + 2 * outputs) + weights * (1 + len(network.descent.moments))
    words = network.dtype.itemsize / 4
    return Cost(
        flops=6.0 * batch * arithmetic.products * words, numbers=numbers * words, layers=len(network.shapes),
        bytes=network.dtype.itemsize
        * (3.0 * batch * (features + inputs) + weights * (3 + 2 * len(network.descent.moments))),
        machine=machine, native=network.habits.native, gathered=batch * arithmetic.gathered * words,
    )  # fmt: skip


def state_bytes(network: Network) -> int:
    """What the state of the training of one network takes, and its weights where they differ from that."""
    trained = sum(int(np.prod(shape)) for shape in network.control.shapes.values())
    numbers = trained * (1 + len(network.descent.moments))
    if not network.control.absent or network.fixed or network.habits.state:
        numbers += sum(int(np.prod(shape)) for shape in network.shapes.values())
        numbers += sum(buffer.numel() for buffer in network.module.buffers())
    return numbers * network.dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What a pack is projected to take."""

    tile_size: int
    """No larger than the trials need."""
    bytes: int
    """Upper bound on device memory."""
    seconds: float
    """On what a worker has, compilation left out."""


def projected(steps: IntArray, tile_size: int, cost: Cost, compiled: bool) -> Projection:
    """What trials with so many steps each take, trained tile after tile in this order."""
    size = min(tile_size, max(2, len(steps)))
    longest = np.maximum.reduceat(steps, np.arange(0, len(steps), size)).astype(np.float64)
    return Projection(
        tile_size=size, bytes=int(2 * size * cost.bytes + cost.machine.fixed_bytes),
        seconds=float(sum(longest)) * cost.step_seconds(size, compiled),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Pack:
    """Trials of one program, trained tile after tile: the unit of work, checkpoint and fragment.

    Its trials are made when they are first asked for, and where: a pack that is sent to a worker is small.
    """

    source: TrialSource
    """Its trials, in the order in which they are trained."""
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
    projection: Projection = field(init=False)

    def __post_init__(self) -> None:
        steps = lengths(self.source.everything()) - (self.origin.step if self.origin else 0)
        projection = projected(steps, self.tile_size, self.cost, self.compiled)
        fixed = {
            "tile_size": projection.tile_size, "pack_id": pack_id(self.source.ids()),
            "projection": projection,
        }  # fmt: skip
        for name, value in fixed.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.source)

    def __getstate__(self) -> dict[str, Any]:
        """All but the trials that were made."""
        return {name: value for name, value in self.__dict__.items() if name != "trials"}

    @cached_property
    def trials(self) -> Trials:
        """Its trials, made now, in the order in which they are trained."""
        return self.source.trials()

    def made_by(self, expansion: Expansion | None) -> Pack:
        """The pack with its trials, where it was sent without them.

        Parameters
        ----------
        expansion
            Of the grid that the trials are of.

        Raises
        ------
        PhasediagError
            Where other trials come out than were meant.
        """
        if not isinstance(self.source, Lot) or self.source.knows_grid:
            return self
        assert expansion is not None, "a pack of numbers, and no grid"
        made = replace(self, source=self.source.over(expansion).trials())
        if made.pack_id != self.pack_id:
            raise PhasediagError("this machine makes other trials of the grid than the launch does")
        return made

    @property
    def projected_bytes(self) -> int:
        """Upper bound on device memory, in bytes."""
        return self.projection.bytes

    @property
    def projected_seconds(self) -> float:
        """On what a worker has, compilation left out."""
        return self.projection.seconds

    def tiles(self) -> Iterator[Trials]:
        """The trials of each tile; the last one may be short."""
        for start in range(0, len(self), self.tile_size):
            yield self.trials.take(np.arange(start, min(start + self.tile_size, len(self))))

    def halves(self) -> tuple[Pack, Pack]:
        """Two packs of the same program that train its trials, of which there must be two at least."""
        middle, count = len(self) // 2, len(self)
        return self.of(np.arange(middle)), self.of(np.arange(middle, count))

    def of(self, rows: IntArray) -> Pack:
        """A pack of some of its trials; where its tiles are cut differently, they may hold several worlds."""
        return replace(self.tile(rows), shared=False)

    def tile(self, rows: IntArray) -> Pack:
        """A pack of the trials of one of its tiles."""
        origin = None if self.origin is None else self.origin.take(rows)
        return replace(self, source=self.source.of(rows), origin=origin)


def pack_of(
    trials: TrialSource, structure: Structure, folder: Path, *, tile_size: int, compiled: bool,
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
        source=trials, structure=structure, cost=cost, tile_size=tile_size, compiled=compiled, shared=shared,
        origin=origin,
    )  # fmt: skip
