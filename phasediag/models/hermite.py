"""Neurons of one weight whose permutation transition is known exactly (`science.md` E9)."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor, nn

from phasediag.models.mlp import PARAMETERS as MLP_PARAMETERS
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

    registered: ClassVar[str] = "hermite"
    declares: ClassVar[tuple[Parameter, ...]] = tuple(p for p in MLP_PARAMETERS if p.name == "width")
    padded: ClassVar[tuple[str, ...]] = ("width", "batch_size")
    constraints: ClassVar[tuple[Constraint, ...]] = (
        Constraint(
            parameters=("model", "task"),
            fault=lambda model, task: (
                (
                    f"model hermite takes one input and gives one output; task '{task}' is not made for it; "
                    "set task: hermite"
                )
                if model == "hermite" and task != "hermite" and ":" not in task
                else None
            ),
        ),
        Constraint(
            parameters=("init", "model"),
            fault=lambda init, model: (
                "balanced needs a chain of weight layers, which model hermite is not; use kaiming_normal"
                if init == "balanced" and model == "hermite"
                else None
            ),
        ),
    )

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
