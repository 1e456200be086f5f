"""Programs of a structure, and tiles of trials in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from phasediag.native.building import given_up, suits, working_folder
from phasediag.native.lowering import UnsupportedError
from phasediag.ramp import at_stage, kick_of, stages_of
from phasediag.training.chance import keys_of
from phasediag.training.construction import moved
from phasediag.training.data import Batches, Samples, Task
from phasediag.training.evaluation import NativeLosses, losses_of
from phasediag.training.network import CHANCE, FIXED, Network, network_of
from phasediag.training.one_by_one import OneByOne, suits_one_by_one
from phasediag.training.optimizers import Rates, Weights
from phasediag.training.padding import BATCH, PaddedBatches, constants_of, placed, world_names
from phasediag.training.step import State
from phasediag.training.steps import Native, Steps, Vmapped
from phasediag.training.visible import Visible, hidden_names
from phasediag.trial import Streams, Trials, Value, integer


class Program:
    """One structure made executable: trains tiles of one size on one device.

    Parameters
    ----------
    values
        The record of any trial of the structure.
    folder
        Where user files are.
    device
        `cpu` or `cuda`.
    compiled
        Whether to the machine's own code: natively on a processor, where that is known how, else through the
        compiler of `torch.compile`. Not on a processor without a C++ compiler.
    envelope
        The largest values of the parameters in which the trials may differ; none: they differ in none.

    Attributes
    ----------
    steps
        How it takes steps; None: chosen when it takes the first.
    losses
        Of its networks, natively; None where nothing is done so.
    """

    def __init__(
        self, values: Mapping[str, Value], folder: Path, device: torch.device, compiled: bool,
        envelope: Mapping[str, Value] | None = None,
    ) -> None:  # fmt: skip
        self.envelope = dict(envelope or {})
        self.network = network_of({**values, **self.envelope}, folder)
        if self.network.constructed and device.type != "cpu":
            moved(self.network.module, device)
        self.folder, self.device = folder, device
        self._networks: dict[tuple[Value, ...], Network] = {}
        self.compiled = compiled
        self.steps: Steps | None = None
        self._notices: list[str] = []
        self.losses = NativeLosses(self.network) if self.natively else None

    @property
    def notice(self) -> str:
        """Why steps are slower than they might be; empty where they are not."""
        return "; ".join(filter(None, [*self._notices, self.steps.notice if self.steps else ""]))

    @property
    def compile_s(self) -> float:
        """Seconds spent on compiling so far."""
        return sum(each.seconds for each in (self.steps, self.losses) if each is not None)

    def advance(
        self, state: State, rates: Rates, batches: Samples, world: Tensor, shared: bool, until: int
    ) -> State:
        """Take a step for each batch, and give the state then; the given one may become it (see `Steps`)."""
        if self.steps is None:
            self.steps = self._chosen(state, rates, batches)
        return self.steps.take(state, rates, batches, world, shared, until)

    @property
    def natively(self) -> bool:
        """Whether it makes native programs where it can."""
        return self.compiled and self.device.type == "cpu" and suits()

    def _chosen(self, state: State, rates: Rates, batches: Samples) -> Steps:
        if self.natively:
            try:
                steps: Steps = Native(self.network, state, rates, batches)
            except UnsupportedError as error:
                self._notices = [given_up(), f"no native program ({error}): training through torch.compile"]
            else:
                self._notices = [given_up()]
                return steps
        can = self.compiled and (self.device.type == "cuda" or working_folder() is not None)
        if self.compiled and not can:
            self._notices = [f"{given_up()}: training uncompiled, which is slower"]
        if self.device.type == "cpu" and suits_one_by_one(self.network, batches):
            self._notices = []
            return OneByOne(self.network)
        return Vmapped(self.network, self.device, can)

    def tile(self, trials: Trials, *, shared: bool = True) -> Tile:
        """A tile at step 0."""
        return Tile(self, trials, shared=shared)

    def own(self, record: Mapping[str, Value]) -> Network:
        """The network of a trial: that of the program, or a smaller one that is padded to it."""
        differing = {name: value for name, value in self.envelope.items() if name != BATCH}
        sizes = tuple(record[name] for name in differing)
        if sizes == tuple(differing.values()):
            return self.network
        if sizes not in self._networks:
            self._networks[sizes] = network_of(record, self.folder)
        return self._networks[sizes]


class Tile:
    """Trials of one structure in training, side by side.

    Parameters
    ----------
    program
        Of their structure.
    trials
        Two or more.
    shared
        Whether trials that all live in one world share its batches, instead of each having its own.

    Attributes
    ----------
    state
        Every tensor with a leading axis of trials; networks smaller than the program's lie in its corner.
    own
        The network of each trial.
    step
        Steps that the tile has gone through; a trial of fewer steps stays as it is after them.
    steps
        Of each trial, or of each stage of its ramp: then those of all trials are equal.
    stage
        In which stage of their ramps the trials are; 0 without ramps.
    stages
        How many there are; 1 without ramps.
    """

    def __init__(self, program: Program, trials: Trials, *, shared: bool = True, stage: int = 0) -> None:
        self.program = program
        self._given, self._sharing = trials, shared
        self.stage, self.stages = stage, stages_of(trials.record(0))
        self.trials = trials = at_stage(trials, stage)
        records = trials.records()
        self.steps = [int(r["steps"]) for r in records]  # type: ignore[arg-type]
        self.network, self.device = network, device = program.network, program.device
        self.own = [program.own(record) for record in records]
        worlds, index = _worlds(network, records, trials, program)
        self.world = torch.tensor(index, device=device)
        self.shared = shared and len(worlds) == 1
        values = {**records[0], **program.envelope}
        drawing = PaddedBatches if BATCH in program.envelope else Batches
        fresh_noise = values.get("noise") == "fresh"
        self.batches = drawing(worlds, integer(values[BATCH]), fresh_noise, network.dtype, device)
        self.rates = _rates(records, network.dtype, device)
        self.rates["steps"] = self.rates["steps"] * (stage + 1)
        self.rates |= network.descent.constants(records, network.dtype, device)
        self.rates |= network.control.constants(records, trials.seed.tolist(), network.dtype, device)
        start = _start(network, self.own, records, trials, device)
        self.rates |= {FIXED + name: start[name] for name in network.fixed}
        shapes = {each: each.shapes for each in {network, *self.own}}
        own = [shapes[each] for each in self.own]
        self.rates |= constants_of(program.envelope, records, own, shapes[network], device)
        if network.habits.random:
            self.rates[CHANCE] = keys_of(trials.seed.tolist(), device)
        self.rates = {name: tensor.contiguous() for name, tensor in self.rates.items()}
        self.state = _first(network, start, self.rates)
        self.step = 0

    @property
    def trained(self) -> Weights:
        """What is trained, with a leading axis of trials."""
        return self.state.weights

    @property
    def constants(self) -> Rates:
        """What the weights of the networks follow from besides what is trained.

        The constants of each trial, and the buffers that training changes, as they are now.
        """
        if not self.state.buffers:
            return self.rates
        return {**self.rates, **{FIXED + name: buffer for name, buffer in self.state.buffers.items()}}

    @property
    def weights(self) -> Weights:
        """The weights of the networks, each with a leading axis of trials: what is measured and kept."""
        if self.network.control.absent and not (self.network.fixed or self.state.buffers):
            return self.state.weights
        return vmap(self.network.weights)(self.state.weights, self.constants)

    def advance(self, until: int) -> None:
        """Train up to step `until`."""
        while self.step < until:
            batches = self.batches.run(self.step, until - self.step)
            step = self.step + len(batches.x)
            self.state = self.program.advance(self.state, self.rates, batches, self.world, self.shared, step)
            self.step = step

    @property
    def ends(self) -> int:
        """The step at which the tile, or the present stage of its ramp, ends."""
        return (self.stage + 1) * max(self.steps)

    def in_stage(self, stage: int) -> Tile:
        """The trials of this tile in another stage of their ramps, at step 0: to be restored."""
        return Tile(self.program, self._given, shared=self._sharing, stage=stage)

    def next_stage(self) -> Tile:
        """The networks of this tile in the next stage of their ramps: as they are, but for their kicks."""
        tile = self.in_stage(self.stage + 1)
        tile.state, tile.step = replace(self.state, weights=tile._kicked(self.state.weights)), self.step
        return tile

    def _kicked(self, weights: Weights) -> Weights:
        """What is trained, kicked; layers that are not trained stay as they are."""
        sizes = [kick_of(record) for record in self.trials.records()]
        if not any(sizes):
            return weights
        kicks = _kicks(self.network, self.own, self.trials.seed.tolist(), self.stage)
        scale = torch.tensor(sizes, dtype=torch.float64, device=self.device)
        moving = self.network.descent.moving(self.rates)
        kicked = {}
        for name, weight in weights.items():
            share = scale * moving[name] if name in moving else scale
            kick = share.view(-1, *[1] * (weight.dim() - 1)) * kicks[name].to(self.device)
            kicked[name] = weight + kick.to(weight.dtype)
        return kicked

    def losses(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Train loss, test loss and test accuracy (None without classes), each shape (trials,)."""
        noise, native = self.rates["label_noise"], self.program.losses
        return losses_of(self.network, self.weights, noise, self.world, self.batches, native)

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Continue from a checkpoint's tensors."""
        device = self.program.device
        moved = {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}
        self.state = State(
            weights={name: moved[f"weights/{name}"] for name in self.state.weights},
            moments={
                moment: {name: moved[f"moments/{moment}/{name}"] for name in weights}
                for moment, weights in self.state.moments.items()
            },
            buffers={name: moved[f"buffers/{name}"] for name in self.state.buffers},
            steps_done=moved["steps_done"], alive=moved["alive"],
        )  # fmt: skip
        self.step = step


def _worlds(
    network: Network, records: list[dict[str, Value]], trials: Trials, program: Program
) -> tuple[list[Task], list[int]]:
    """The distinct replicates, data sets and batch sizes of a tile, and which one each trial lives in."""
    name = str(records[0]["task"])
    hidden = hidden_names(records[0], program.folder) if ":" in name else frozenset()
    names = world_names(network.task, name, program.envelope)
    positions: dict[tuple[Any, ...], int] = {}
    worlds: list[Task] = []
    index: list[int] = []
    for record, seed in zip(records, trials.seed.tolist(), strict=True):
        key = (seed, *(record[name] for name in names))
        if key not in positions:
            positions[key] = len(worlds)
            data_seed = record["data_seed"]
            assert data_seed is None or isinstance(data_seed, int)
            seen = Visible(record, hidden) if ":" in name else record
            worlds.append(network.task(seen, Streams(seed, data_seed)))
        index.append(positions[key])
    return worlds, index


def _rates(records: list[dict[str, Value]], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    names = ("learning_rate", "weight_decay", "label_noise")
    rates = {n: torch.tensor([r.get(n) or 0.0 for r in records], dtype=dtype, device=device) for n in names}
    return rates | {"steps": torch.tensor([r["steps"] for r in records], dtype=torch.int64, device=device)}


def _start(
    network: Network, own: list[Network], records: list[dict[str, Value]], trials: Trials,
    device: torch.device,
) -> Weights:  # fmt: skip
    """Where the networks start, times init_scale.

    Drawn once for each replicate, kind of init, size, and values of batched arguments.

    Returns
    -------
    Parameters, trained or not, and what each trial has besides of its own, each with a leading axis of
    trials.
    """
    seeds, inits = trials.seed.tolist(), [str(record["init"]) for record in records]
    arguments = [tuple(each.batched.of(r).items()) for r, each in zip(records, own, strict=True)]
    kinds = list(zip(seeds, inits, own, arguments, strict=True))
    distinct = list(dict.fromkeys(kinds))
    starts = [each.start(seed, init, dict(given)) for seed, init, each, given in distinct]
    drawn = [
        values if each is network else placed(values, network.shapes)
        for (values, _), (*_, each, _) in zip(starts, distinct, strict=True)
    ]
    index = torch.tensor([distinct.index(kind) for kind in kinds], device=device)
    scale = torch.tensor([r["init_scale"] for r in records], dtype=torch.float64, device=device)
    weights = {}
    for name in drawn[0]:
        stacked = torch.stack([torch.from_numpy(w[name]) for w in drawn]).to(device)[index]
        if name in starts[0][1]:
            stacked = stacked * scale.view(-1, *[1] * (stacked.dim() - 1))
        weights[name] = stacked.to(network.dtype) if stacked.is_floating_point() else stacked
    return weights


def _kicks(network: Network, own: list[Network], seeds: list[int], stage: int) -> dict[str, Tensor]:
    """Standard normal numbers for everything that is trained, with a leading axis of trials.

    Those of a replicate are the same for all networks of one size.
    """
    distinct = list(dict.fromkeys(zip(seeds, own, strict=True)))
    drawn: list[dict[str, np.ndarray]] = []
    for seed, each in distinct:
        generator = Streams(seed).generator("kick", stage)
        values = {name: generator.standard_normal(shape) for name, shape in each.control.shapes.items()}
        drawn.append(values if each is network else placed(values, network.control.shapes))
    index = torch.tensor([distinct.index(pair) for pair in zip(seeds, own, strict=True)])
    return {name: torch.from_numpy(np.stack([d[name] for d in drawn]))[index] for name in drawn[0]}


def _first(network: Network, start: Weights, rates: Rates) -> State:
    """The state at step 0 of networks that start so, each tensor with a leading axis of trials."""
    own = {*network.fixed, *network.habits.state}
    weights = vmap(network.control.start)({n: w for n, w in start.items() if n not in own}, rates)
    zeros = {m: {n: torch.zeros_like(w) for n, w in weights.items()} for m in network.descent.moments}
    first = next(iter(weights.values()))
    count, device = len(first), first.device
    return State(
        weights=weights, moments=zeros, buffers={n: start[n].contiguous() for n in network.habits.state},
        steps_done=torch.zeros(count, dtype=torch.int64, device=device),
        alive=torch.ones(count, dtype=torch.bool, device=device),
    )  # fmt: skip
