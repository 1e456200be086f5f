"""The step of one network, written once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value

from phasediag.training.data import Samples
from phasediag.training.network import FIXED, Network
from phasediag.training.optimizers import Moments, Rates, Weights
from phasediag.training.padding import data_loss, within

Objective = Callable[[Weights], tuple[Tensor, Weights]]
"""The loss of one network at its weights, and what the pass leaves in its buffers."""
Differentiated = Callable[[Weights], tuple[Weights, tuple[Tensor, Weights]]]
"""The gradient of an objective, and what the objective gives."""


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
    buffers: Weights = field(default_factory=dict)
    """What passes in training leave behind, such as running statistics; most networks have none."""

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state by a flat name (`weights/NAME`, `buffers/NAME`), for a checkpoint."""
        flat = {f"weights/{name}": tensor for name, tensor in self.weights.items()}
        for moment, tensors in self.moments.items():
            flat |= {f"moments/{moment}/{name}": tensor for name, tensor in tensors.items()}
        flat |= {f"buffers/{name}": tensor for name, tensor in self.buffers.items()}
        return flat | {"steps_done": self.steps_done, "alive": self.alive}


Parts = tuple[Weights, Moments, Weights, Tensor, Tensor]
"""The weights, moments, buffers, steps done, and whether alive, of a state."""


def parts_of(state: State) -> Parts:
    """The parts of a state."""
    return state.weights, state.moments, state.buffers, state.steps_done, state.alive


def state_of(parts: Sequence[Any]) -> State:
    """The state of its parts."""
    weights, moments, buffers, done, alive = parts
    return State(weights=weights, moments=moments, buffers=buffers, steps_done=done, alive=alive)


def by_transform(objective: Objective) -> Differentiated:
    """The gradient by a transform of `torch.func`, which `vmap` goes over."""
    differentiated: Differentiated = grad_and_value(objective, has_aux=True)
    return differentiated


def trial_step(
    network: Network, state: State, rates: Rates, batch: Samples,
    differentiated: Callable[[Objective], Differentiated] = by_transform,
) -> State:  # fmt: skip
    """One step of one network.

    Parameters
    ----------
    state
        Of one network, no leading axes.
    rates
        Of the trial: the scalars learning_rate, weight_decay, label_noise, and steps (int64); the
        constants of its control and of its padding; and what it has of its own and does not train.
    batch
        x (samples, inputs), y and noise (samples, outputs).
    differentiated
        How the loss is differentiated.

    Returns
    -------
    The next state. A trial whose loss is not finite, or that has done its steps, stays as it is.
    """
    held = {FIXED + name: buffer for name, buffer in state.buffers.items()}
    constants = {**rates, **held} if held else rates

    def objective(trained: Weights) -> tuple[Tensor, Weights]:
        weights = network.weights(trained, constants)
        prediction, buffers = network.passed(weights, batch.x, rates, state.steps_done)
        target = network.task.noisy(batch.y, batch.noise, rates["label_noise"])
        loss = data_loss(network.loss, prediction, target, rates)
        return network.control.penalized(loss, trained, rates), buffers

    def gradient_of(trained: Weights) -> Weights:
        return differentiated_loss(trained)[0]

    def differentiated_loss(trained: Weights) -> tuple[Weights, Tensor, Weights]:
        gradient, (loss, buffers) = differentiated(objective)(trained)
        return descent.clipped(within(gradient, rates), rates), loss, buffers

    descent = network.descent
    gradient, loss, buffers = differentiated_loss(state.weights)
    weights, moments = descent.update(
        state.weights, gradient, state.moments, rates, state.steps_done + 1, gradient_of
    )
    unfinished = state.steps_done < rates["steps"]
    alive = state.alive & (torch.isfinite(loss) | ~unfinished)
    active = alive & unfinished
    return State(
        weights=_chosen(active, weights, state.weights),
        moments={name: _chosen(active, moments[name], state.moments[name]) for name in moments},
        buffers=_chosen(active, buffers, state.buffers),
        steps_done=state.steps_done + active,
        alive=alive,
    )


def _chosen(active: Tensor, new: Weights, old: Weights) -> Weights:
    return {name: torch.where(active, new[name], old[name]) for name in old}
