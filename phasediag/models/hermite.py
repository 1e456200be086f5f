"""Neurons of one weight whose permutation transition is known exactly (`docs/physics.md` E9)."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from phasediag.errors import RefusedError
from phasediag.models._chain import NO_CHAIN
from phasediag.shared_parameters import WIDTH
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.model import Model
from phasediag.trial import Constraint, Parameter

if TYPE_CHECKING:
    from torch import Tensor


class Hermite(Model):
    """f(x) = sum_i w_i He_1(x) + w_i^2 He_2(x) / sqrt(2), with He_1 = x and He_2 = x^2 - 1.

    Parameters
    ----------
    inputs, outputs
        Both 1.
    width
        Neurons h.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (WIDTH,)
    constraints: ClassVar[tuple[Constraint, ...]] = (
        Constraint(
            parameters=("model", "task"),
            fault=lambda model, task: (
                RefusedError(
                    f"model {model} takes one input and gives one output; task '{task}' is not made for it",
                    "set task: hermite",
                )
                if task != "hermite" and ":" not in task
                else None
            ),
        ),
        NO_CHAIN,
    )
    padded: ClassVar[tuple[str, ...]] = ("width", "batch_size")

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        import torch
        from torch import nn

        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions (samples, 1) for inputs (samples, 1)."""
        first = self.weight.sum()
        second = self.weight.square().sum()
        return first * x + second * (x * x - 1) / sqrt(2)

    @property
    def neuron_groups(self) -> tuple[NeuronGroup, ...]:
        """One group; a neuron is its one weight."""
        return (NeuronGroup(name="hidden.1", incoming=("weight",)),)
