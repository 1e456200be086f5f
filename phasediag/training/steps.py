"""Ways of taking steps: of all trials at once through `vmap`, or of one after the other, natively."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import torch
from torch import Tensor
from torch.func import vmap

from phasediag.native import program as native
from phasediag.native.nested import filled, leaves, skeleton
from phasediag.native.source import Slot
from phasediag.training.as_written import takes_the_step
from phasediag.training.compilation import Compiled, UntranslatedError
from phasediag.training.data import Samples
from phasediag.training.network import Network
from phasediag.training.optimizers import Rates, Weights
from phasediag.training.probes import other_samples, other_weights
from phasediag.training.step import Differentiated, Objective, Parts, State, parts_of, state_of, trial_step

CALL_NUMBERS: Final = 2**18
"""Elementwise results of the steps that one call takes, where one step has fewer: about a millisecond."""
MOST_STEPS_A_CALL: Final = 8


class Steps(Protocol):
    """Takes steps of a tile."""

    @property
    def seconds(self) -> float:
        """Spent on compiling so far."""

    @property
    def notice(self) -> str:
        """Why they are slower than was asked for; empty where they are not."""

    def take(
        self, state: State, rates: Rates, batches: Samples, world: Tensor, shared: bool, until: int
    ) -> State:
        """The state a step for each batch later; the given one may become it.

        Parameters
        ----------
        batches
            Shapes (steps, worlds, samples, ...).
        world
            Int64, shape (trials,): the world of each trial.
        shared
            Whether all live in the only one.
        until
            The step, counted as `steps_done`, after the last batch.
        """


class Vmapped:
    """All trials at once: `vmap` of the step, as it is or compiled.

    Parameters
    ----------
    network
        Of the tile.
    device
        `cpu` or `cuda`.
    compiled
        Whether through the compiler of `torch.compile`, in place on a GPU.
    """

    def __init__(self, network: Network, device: torch.device, compiled: bool) -> None:
        self.network, self.device, self.compiled = network, device, compiled
        self.in_place = compiled and device.type == "cuda"
        self.notice = ""
        self._many: dict[bool, Callable[..., Any]] = {}
        self._proven: set[bool] = set()
        """The compiled calls that have been seen to take the step that was written."""

    @property
    def seconds(self) -> float:
        """Spent on compiling so far."""
        return sum(many.seconds for many in self._many.values() if isinstance(many, Compiled))

    def steps_a_call(self, trials: int, batch_size: int) -> int:
        """Steps that one call takes: on a GPU the more, the less a step costs beside calling it.

        Compiling takes as long for each of them: for steps that draw random numbers, half a minute. On a
        processor a call costs little beside the step, and each more would cost 5 to 10 s.
        """
        if not self.in_place or self.network.habits.random:
            return 1
        fitting = max(1, CALL_NUMBERS // (trials * batch_size * self.network.arithmetic.numbers))
        return min(MOST_STEPS_A_CALL, 1 << (fitting.bit_length() - 1))

    def take(
        self, state: State, rates: Rates, batches: Samples, world: Tensor, shared: bool, until: int
    ) -> State:
        """The state of all trials a step for each batch later, as `Steps.take` has it."""
        steps, count = len(batches.x), self.steps_a_call(len(world), batches.x.shape[2])
        for first in range(0, steps, count):
            stop = min(steps, first + count)
            chosen = [min(step, stop - 1) for step in range(first, first + count)]
            parts = [_batch(batches, step, world, shared) for step in chosen]
            state = self._call(state, rates, parts, shared, until - steps + first, until - steps + stop)
        return state

    def _call(
        self, state: State, rates: Rates, batches: Sequence[tuple[Tensor, ...]], shared: bool, done: int,
        until: int,
    ) -> State:  # fmt: skip
        if shared not in self._many:
            many = vmapped_steps(self.network, shared)
            staying = 2 if self.in_place else 0
            self._many[shared] = Compiled(many, staying) if self.compiled else many
        parts = parts_of(state)
        stop = torch.full((), until, dtype=torch.int64, device=self.device)  # torch.tensor waits for a GPU
        with torch.no_grad():
            try:
                if self.compiled and shared not in self._proven:
                    step = vmapped_steps(self.network, shared)
                    if not takes_the_step(self._many[shared], step, parts, rates, batches, shared, done):
                        said = "torch.compile gives other weights than the step itself"
                        return self._uncompiled(said, parts, rates, batches, shared, stop)
                    self._proven.add(shared)
                taken = self._many[shared](parts, rates, batches, stop)
            except UntranslatedError as error:
                return self._uncompiled(
                    f"torch.compile failed ({error})", parts, rates, batches, shared, stop
                )
        return state_of(taken)

    def _uncompiled(
        self, said: str, parts: Parts, rates: Rates, batches: Sequence[tuple[Tensor, ...]], shared: bool,
        stop: Tensor,
    ) -> State:  # fmt: skip
        """Give the compiler up, and take the steps of a call without it."""
        self.notice = f"{said}: training uncompiled, which is slower"
        self.compiled = self.in_place = False
        self._many = {shared: vmapped_steps(self.network, shared)}
        return state_of(self._many[shared](parts, rates, batches, stop))


def _batch(batches: Samples, step: int, world: Tensor, shared: bool) -> tuple[Tensor, ...]:
    """What one step sees: the batch of the only world, or that of each trial's world."""
    parts = (batches.x[step], batches.y[step], batches.noise[step])
    return tuple(part[0] if shared else part.index_select(0, world) for part in parts)


def vmapped_steps(network: Network, shared: bool) -> Callable[..., Any]:
    """Some times `trial_step` over a leading axis of trials, of plain tensors and dicts of them.

    The function takes the parts of a state; the rates; the batches of the steps, x, y and noise; and the
    step, counted as `steps_done`, at which every trial stops. It takes a step for each batch, whose shapes
    are (samples, ...) where all trials share it, or else (trials, samples, ...).
    """

    def one(parts: Parts, rates: Rates, batch: tuple[Tensor, Tensor, Tensor]) -> Parts:
        x, y, noise = batch
        return parts_of(trial_step(network, state_of(parts), rates, Samples(x=x, y=y, noise=noise)))

    def many(
        state: Parts,
        rates: Rates,
        batches: Sequence[tuple[Tensor, Tensor, Tensor]],
        until: Tensor,
    ) -> Parts:
        bounded = {**rates, "steps": torch.minimum(rates["steps"], until)}
        step = vmap(one, in_dims=(0, 0, None if shared else 0))
        for batch in batches:
            state = step(state, bounded, batch)
        return state

    return many


class Native:
    """One trial after the other, in place, each for all the steps of a call: a native program of the step.

    Parameters
    ----------
    network
        Of the tile.
    state, rates, batches
        Of a tile, for their shapes.

    Raises
    ------
    UnsupportedError
        Where the step holds what native programs do not do.
    """

    def __init__(self, network: Network, state: State, rates: Rates, batches: Samples) -> None:
        started = time.monotonic()
        of_trials = (*parts_of(state), dict(rates))
        given, form = leaves(of_trials), skeleton(of_trials)
        own = len(given)
        samples = [batches.x, batches.y, batches.noise]

        def flat(*tensors: Tensor) -> Sequence[Tensor]:
            *parts, rates = filled(form, tensors[:own])
            x, y, noise = tensors[own:]
            batch = Samples(x=x, y=y, noise=noise)
            return leaves(parts_of(trial_step(network, state_of(parts), rates, batch, by_autograd)))

        examples = [tensor[0].clone() for tensor in given] + [part[0, 0].clone() for part in samples]
        places = [Slot.TRIAL] * own + [Slot.WORLD] * len(samples)
        self.notice = ""
        self.program = native.NativeProgram(flat, examples, places)
        noisy = len(state.weights) if state.moments else 0  # Adam's first step is a sign, even of rounding
        self.program.verify(_unlike(state, rates, batches), noisy)
        self.seconds = time.monotonic() - started

    def take(
        self, state: State, rates: Rates, batches: Samples, world: Tensor, shared: bool, until: int
    ) -> State:
        """The state of all trials a step for each batch later, as `Steps.take` has it."""
        of_trials = (*parts_of(state), dict(rates))
        samples = (batches.x, batches.y, batches.noise)
        self.program([*leaves(of_trials), *samples], world, len(batches.x))
        return state


def _unlike(state: State, rates: Rates, batches: Samples) -> list[Tensor]:
    """Arguments of one step that are not those of the first trial.

    The learning rate is one, so that the change is as large as the gradients.
    """
    weights = other_weights(state.weights)
    moments = {m: {n: torch.zeros_like(w) for n, w in weights.items()} for m in state.moments}
    buffers = {name: buffer[-1].clone() for name, buffer in state.buffers.items()}
    own = {name: rate[-1].clone() for name, rate in rates.items()}
    own["learning_rate"] = torch.ones_like(own["learning_rate"])
    done, alive = torch.zeros_like(state.steps_done[0]), torch.ones_like(state.alive[0])
    batch = other_samples(Samples(x=batches.x[-1], y=batches.y[-1], noise=batches.noise[-1]))
    return [*leaves((weights, moments, buffers, done, alive, own)), batch.x, batch.y, batch.noise]


def by_autograd(objective: Objective) -> Differentiated:
    """The gradient by plain autograd, of one network alone: `torch.func` takes a second to be ready."""

    def both(trained: Weights) -> tuple[Weights, tuple[Tensor, Weights]]:
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in trained.items()}
        with torch.enable_grad():
            loss, buffers = objective(leaves)
        gradients = torch.autograd.grad(
            loss, list(leaves.values()), allow_unused=True, materialize_grads=True
        )
        kept = {name: buffer.detach() for name, buffer in buffers.items()}
        return dict(zip(leaves, gradients, strict=True)), (loss.detach(), kept)

    return both
