"""Gradient descent, with or without momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.parameters import MOMENTUM
from phasediag.training.optimizers import Moments, Optimizer, Rates, Weights
from phasediag.trial import Parameter

if TYPE_CHECKING:
    from torch import Tensor


class SGD(Optimizer):
    """`torch.optim.SGD`: the decay enters the gradient, and with it the velocity.

    Parameters
    ----------
    momentum
        What is left of the velocity after a step; without it there is no velocity.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (MOMENTUM,)
    decoupled: ClassVar[bool | None] = False

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.moments = ("velocity",) if momentum else ()

    def update(
        self, weights: Weights, gradient: Weights, moments: Moments, rates: Rates, step: Tensor
    ) -> tuple[Weights, Moments]:
        """A step against the gradient: the new weights and moments, by name, as `Optimizer.update` has it."""
        rate, decay = rates["learning_rate"], rates["weight_decay"]
        if not self.momentum:
            return {name: w - rate * (gradient[name] + decay * w) for name, w in weights.items()}, moments
        velocity = {
            name: self.momentum * moments["velocity"][name] + gradient[name] + decay * w
            for name, w in weights.items()
        }
        return {name: w - rate * velocity[name] for name, w in weights.items()}, {"velocity": velocity}
