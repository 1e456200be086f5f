"""A teacher of the hermite model's kind, whose permutation transition is known (`science.md` E9)."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from phasediag.tasks import _parameters as shared
from phasediag.tasks._declared import HERMITE
from phasediag.training.data import GeneratedTask
from phasediag.trial import Constraint, Parameter, Value


class HermiteTask(GeneratedTask):
    """y = S He_1(x) + Q He_2(x) / sqrt(2), x normal, S and Q the sums of the teacher's weights and squares.

    With `batch_size: 0` the loss is the exact population loss: the squared error of two such
    functions is a polynomial of degree 4, which the three-point Gauss-Hermite rule integrates
    exactly; its nodes -sqrt(3), 0, sqrt(3) with weights 1/6, 4/6, 1/6 are six equal samples.
    """

    registered: ClassVar[str] = HERMITE.name
    always_fresh: ClassVar[bool] = HERMITE.always_fresh
    population: ClassVar[bool] = HERMITE.population
    declares: ClassVar[tuple[Parameter, ...]] = HERMITE.parameters
    constraints: ClassVar[tuple[Constraint, ...]] = HERMITE.constraints

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """One input, one output."""
        return 1, 1

    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Normal inputs, shape (count, 1)."""
        return torch.from_numpy(generator.standard_normal((count, 1)))

    def target(self, x: Tensor) -> Tensor:
        """Shape (count, 1)."""
        weights = np.array(shared.numbers(self.values["teacher_weights"]))
        return float(weights.sum()) * x + float((weights**2).sum()) * (x * x - 1) / sqrt(2)

    def train_set(self) -> tuple[Tensor, Tensor]:
        """The quadrature nodes of the population loss."""
        x = torch.tensor([-sqrt(3), 0, 0, 0, 0, sqrt(3)], dtype=torch.float64)[:, None]
        return x, self.target(x)

    def test_set(self) -> tuple[Tensor, Tensor]:
        """The quadrature nodes where the loss is the population's, else fresh samples."""
        return super().test_set() if self.fresh else self.train_set()
