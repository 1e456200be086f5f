"""Neurons of one weight whose permutation transition is known exactly (`science.md` E9)."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor, nn

from phasediag.models._declared import HERMITE
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.trial import Constraint, Parameter


class Hermite(nn.Module):
    """f(x) = sum_i w_i He_1(x) + w_i^2 He_2(x) / sqrt(2), with He_1 = x and He_2 = x^2 - 1.

    Parameters
    ----------
    inputs, outputs
        Both 1.
    width
        Neurons h.
    """

    registered: ClassVar[str] = HERMITE.name
    declares: ClassVar[tuple[Parameter, ...]] = HERMITE.parameters
    constraints: ClassVar[tuple[Constraint, ...]] = HERMITE.constraints
    padded: ClassVar[tuple[str, ...]] = ("width", "batch_size")

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (samples, 1) to (samples, 1)."""
        first = self.weight.sum()
        second = self.weight.square().sum()
        return first * x + second * (x * x - 1) / sqrt(2)

    @property
    def neuron_groups(self) -> tuple[NeuronGroup, ...]:
        """One group; a neuron is its one weight."""
        return (NeuronGroup(name="hidden.1", incoming=("weight",)),)
