"""Training: the step of one network, written once; `vmap` makes it many, `torch.compile` fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from phasediag.training.compilation import Compiled
from phasediag.training.data import Batches, Samples, Task
from phasediag.training.evaluation import losses_of
from phasediag.training.initial import initial_weights
from phasediag.training.network import Network, network_of
from phasediag.training.optimizers import Moments, Rates, Weights
from phasediag.training.padding import (
    BATCH,
    PaddedBatches,
    constants_of,
    data_loss,
    placed,
    whole,
    within,
    world_names,
)  # fmt: skip
from phasediag.trial import Streams, Trials, Value

CALL_NUMBERS: Final = 2**18
"""Elementwise results of the steps that one call takes, where one step has fewer: about a millisecond."""
MOST_STEPS_A_CALL: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A network in training; in a tile every tensor has a leading axis of trials."""

    weights: Weights
    """What is trained: the weights themselves, or what `network.control` makes them of."""
    moments: Moments
    steps_done: Tensor
    """Int64 scalar."""
    alive: Tensor
    """Bool scalar: every loss so far was finite."""

    def tensors(self) -> dict[str, Tensor]:
        """All tensors under flat names, for a checkpoint."""
        flat = {f"weights/{name}": tensor for name, tensor in self.weights.items()}
        for moment, tensors in self.moments.items():
            flat |= {f"moments/{moment}/{name}": tensor for name, tensor in tensors.items()}
        return flat | {"steps_done": self.steps_done, "alive": self.alive}


def trial_step(network: Network, state: State, rates: Rates, batch: Samples) -> State:
    """One step of one network.

    Parameters
    ----------
    state
        Of one network, no leading axes.
    rates
        Of the trial: the scalars learning_rate, weight_decay, label_noise, and steps (int64); the
        constants of its control and of its padding.
    batch
        x (samples, inputs), y and noise (samples, outputs).

    Returns
    -------
    The next state. A trial whose loss is not finite, or that has done its steps, stays as it is.
    """

    def objective(trained: Weights) -> Tensor:
        weights = network.control.effective(trained, rates)
        prediction = functional_call(network.module, weights, (batch.x,))
        target = batch.y + rates["label_noise"] * batch.noise
        loss = data_loss(network.task.loss, prediction, target, rates)
        return network.control.penalized(loss, trained, rates)

    gradients, loss = grad_and_value(objective)(state.weights)
    gradients = within(gradients, rates)
    weights, moments = network.update(state.weights, gradients, state.moments, rates, state.steps_done + 1)
    unfinished = state.steps_done < rates["steps"]
    alive = state.alive & (torch.isfinite(loss) | ~unfinished)
    active = alive & unfinished
    return State(
        weights=_chosen(active, weights, state.weights),
        moments={name: _chosen(active, moments[name], state.moments[name]) for name in moments},
        steps_done=state.steps_done + active,
        alive=alive,
    )


def _chosen(active: Tensor, new: Weights, old: Weights) -> Weights:
    return {name: torch.where(active, new[name], old[name]) for name in old}


def vmapped_steps(network: Network, shared: bool) -> Callable[..., Any]:
    """Some times `trial_step` over a leading axis of trials, of plain tensors and dicts of them.

    The function takes the parts of a state; the rates; the batches of the steps, x, y and noise; and the
    step, counted as `steps_done`, at which every trial stops. It takes a step for each batch, whose shapes
    are (samples, ...) where all trials share it, or else (trials, samples, ...).
    """

    def one(
        weights: Weights,
        moments: Moments,
        done: Tensor,
        alive: Tensor,
        rates: Rates,
        x: Tensor,
        y: Tensor,
        e: Tensor,
    ) -> tuple[Weights, Moments, Tensor, Tensor]:
        state = State(weights=weights, moments=moments, steps_done=done, alive=alive)
        after = trial_step(network, state, rates, Samples(x=x, y=y, noise=e))
        return after.weights, after.moments, after.steps_done, after.alive

    def many(
        state: tuple[Weights, Moments, Tensor, Tensor],
        rates: Rates,
        batches: Sequence[tuple[Tensor, Tensor, Tensor]],
        until: Tensor,
    ) -> tuple[Weights, Moments, Tensor, Tensor]:
        bounded = {**rates, "steps": torch.minimum(rates["steps"], until)}
        own = None if shared else 0
        step = vmap(one, in_dims=(0, 0, 0, 0, 0, own, own, own))
        for batch in batches:
            state = step(*state, bounded, *batch)
        return state

    return many


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
        Whether the steps go through the compiler of `torch.compile`.
    envelope
        The largest values of the parameters in which the trials may differ; none: they differ in none.
    """

    def __init__(
        self, values: Mapping[str, Value], folder: Path, device: torch.device, compiled: bool,
        envelope: Mapping[str, Value] | None = None,
    ) -> None:  # fmt: skip
        self.envelope = dict(envelope or {})
        self.network = network_of({**values, **self.envelope}, folder)
        self.folder, self.device = folder, device
        self._networks: dict[tuple[Value, ...], Network] = {}
        self.compiled = compiled
        self.in_place = compiled and device.type == "cuda"
        self._many: dict[bool, Callable[..., Any]] = {}

    @property
    def compile_s(self) -> float:
        """Seconds spent on compiling so far."""
        return sum(many.seconds for many in self._many.values() if isinstance(many, Compiled))

    def steps_a_call(self, tile: Tile) -> int:
        """Steps that one call takes: the more, the less a step costs beside calling it."""
        if not self.compiled:
            return 1
        numbers = len(tile.trials) * tile.batches.batch_size * self.network.numbers_per_sample
        fitting = max(1, CALL_NUMBERS // numbers)
        return min(MOST_STEPS_A_CALL, 1 << (fitting.bit_length() - 1))

    def advance(self, state: State, rates: Rates, batches: Sequence[Samples], until: int) -> State:
        """The state of a tile a step for each batch later; of a trial, at most its step `until`.

        Where the program works in place, as it does compiled on a GPU, the given state becomes that one.

        Parameters
        ----------
        batches
            One for all trials, without a leading axis of trials, or one for each.
        """
        shared = batches[0].x.dim() == 2
        if shared not in self._many:
            many = vmapped_steps(self.network, shared)
            staying = 2 if self.in_place else 0
            self._many[shared] = Compiled(many, staying) if self.compiled else many
        parts = (state.weights, state.moments, state.steps_done, state.alive)
        plain = [(batch.x, batch.y, batch.noise) for batch in batches]
        stop = torch.full((), until, dtype=torch.int64, device=self.device)  # torch.tensor waits for a GPU
        with torch.no_grad():
            parts = self._many[shared](parts, rates, plain, stop)
        weights, moments, done, alive = parts
        return State(weights=weights, moments=moments, steps_done=done, alive=alive)

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
    """

    def __init__(self, program: Program, trials: Trials, *, shared: bool = True) -> None:
        self.program = program
        self.trials = trials
        records = [trials.record(row) for row in range(len(trials))]
        self.steps = [int(r["steps"]) for r in records]  # type: ignore[arg-type]
        self.network, self.device = network, device = program.network, program.device
        self.own = [program.own(record) for record in records]
        worlds, index = _worlds(network.task, records, trials, program.envelope)
        self.world = torch.tensor(index, device=device)
        self.shared = shared and len(worlds) == 1
        values = {**records[0], **program.envelope}
        drawing = PaddedBatches if BATCH in program.envelope else Batches
        fresh_noise = values.get("noise") == "fresh"
        self.batches = drawing(worlds, whole(values[BATCH]), fresh_noise, network.dtype, device)
        self.rates = _rates(records, network.dtype, device)
        self.rates |= network.control.constants(records, trials.seed.tolist(), network.dtype, device)
        shapes = {each: each.shapes for each in {network, *self.own}}
        own = [shapes[each] for each in self.own]
        self.rates |= constants_of(program.envelope, records, own, shapes[network], device)
        self.state = _start(network, self.own, records, trials, self.rates, device)
        self.step = 0
        self._constant = self.batches.at(0) if self.batches.constant else None

    @property
    def trained(self) -> Weights:
        """What is trained, with a leading axis of trials."""
        return self.state.weights

    @property
    def weights(self) -> Weights:
        """The weights of the networks, each with a leading axis of trials: what is measured and kept."""
        return vmap(self.network.control.effective)(self.state.weights, self.rates)

    def advance(self, until: int) -> None:
        """Train up to step `until`."""
        count = self.program.steps_a_call(self)
        while self.step < until:
            stop = min(until, self.step + count)
            batches = [self._batch(min(step, stop - 1)) for step in range(self.step, self.step + count)]
            self.state = self.program.advance(self.state, self.rates, batches, stop)
            self.step = stop

    def _batch(self, step: int) -> Samples:
        """Of one step: the batch of the tile's only world, or that of each trial's world."""
        batch = self._constant or self.batches.at(step)
        parts = (batch.x, batch.y, batch.noise)
        if self.shared:
            x, y, noise = (part[0] for part in parts)
        else:
            x, y, noise = (part.index_select(0, self.world) for part in parts)
        return Samples(x=x, y=y, noise=noise)

    def losses(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Train loss, test loss and test accuracy (None without classes), each shape (trials,)."""
        return losses_of(self.network, self.weights, self.rates["label_noise"], self.world, self.batches)

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Continue from a checkpoint's tensors."""
        device = self.program.device
        moved = {name: tensor.to(device) for name, tensor in tensors.items()}
        self.state = State(
            weights={name: moved[f"weights/{name}"] for name in self.state.weights},
            moments={
                moment: {name: moved[f"moments/{moment}/{name}"] for name in weights}
                for moment, weights in self.state.moments.items()
            },
            steps_done=moved["steps_done"], alive=moved["alive"],
        )  # fmt: skip
        self.step = step


def _worlds(
    task: type[Task], records: list[dict[str, Value]], trials: Trials, envelope: Mapping[str, Value]
) -> tuple[list[Task], list[int]]:
    """The distinct replicates, data sets and batch sizes of a tile, and which one each trial lives in."""
    names = world_names(task, str(records[0]["task"]), envelope)
    positions: dict[tuple[Any, ...], int] = {}
    worlds: list[Task] = []
    index: list[int] = []
    for record, seed in zip(records, trials.seed.tolist(), strict=True):
        key = (seed, *(record[name] for name in names))
        if key not in positions:
            positions[key] = len(worlds)
            data_seed = record["data_seed"]
            assert data_seed is None or isinstance(data_seed, int)
            worlds.append(task(record, Streams(seed, data_seed)))
        index.append(positions[key])
    return worlds, index


def _rates(records: list[dict[str, Value]], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    names = ("learning_rate", "weight_decay", "label_noise")
    rates = {n: torch.tensor([r.get(n) or 0.0 for r in records], dtype=dtype, device=device) for n in names}
    return rates | {"steps": torch.tensor([r["steps"] for r in records], dtype=torch.int64, device=device)}


def _start(
    network: Network, own: list[Network], records: list[dict[str, Value]], trials: Trials, rates: Rates,
    device: torch.device,
) -> State:  # fmt: skip
    """Initial weights, drawn once for each replicate, kind of init and size, times init_scale."""
    seeds, inits = trials.seed.tolist(), [str(record["init"]) for record in records]
    kinds = list(zip(seeds, inits, own, strict=True))
    distinct = list(dict.fromkeys(kinds))
    drawn = [
        placed(initial_weights(each.shapes, init, Streams(seed).generator("init")), network.shapes)
        for seed, init, each in distinct
    ]
    index = torch.tensor([distinct.index(kind) for kind in kinds], device=device)
    scale = torch.tensor([r["init_scale"] for r in records], dtype=torch.float64, device=device)
    weights = {}
    for name, shape in network.shapes.items():
        stacked = torch.stack([torch.from_numpy(w[name]) for w in drawn]).to(device)[index]
        scaled = stacked * scale.view(-1, *[1] * len(shape))
        weights[name] = scaled.to(network.dtype)
    weights = vmap(network.control.start)(weights, rates)
    zeros = {m: {n: torch.zeros_like(w) for n, w in weights.items()} for m in network.moments}
    count = len(records)
    return State(
        weights=weights, moments=zeros,
        steps_done=torch.zeros(count, dtype=torch.int64, device=device),
        alive=torch.ones(count, dtype=torch.bool, device=device),
    )  # fmt: skip
