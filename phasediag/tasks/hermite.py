"""A teacher of the hermite model's kind, whose permutation transition is known (`docs/physics.md` E9)."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from phasediag import shared_parameters as shared
from phasediag.errors import RefusedError
from phasediag.training.task import GeneratedTask, tensor
from phasediag.trial import Constraint, FiniteFloat, Parameter, Role, Value, label_noise_parameters, numbers

if TYPE_CHECKING:
    from torch import Tensor


class HermiteTask(GeneratedTask):
    """y = S He_1(x) + Q He_2(x) / sqrt(2), x normal, S and Q the sums of the teacher's weights and squares.

    With `batch_size: 0` the loss is the exact population loss: the squared error of two such
    functions is a polynomial of degree 4, which the three-point Gauss-Hermite rule integrates
    exactly; its nodes -sqrt(3), 0, sqrt(3) with weights 1/6, 4/6, 1/6 are six equal samples.
    """

    always_fresh: ClassVar[bool] = True
    population: ClassVar[bool] = True
    declares: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="teacher_weights", type=Annotated[tuple[FiniteFloat, ...], Field(min_length=1)],
                  default=(1.0, 0.2), neutral=(1.0, 0.2), role=Role.BATCHED,
                  meaning="The weights a_j of the teacher's neurons."),
        shared.TEST_SAMPLES,
        *label_noise_parameters(),
    )  # fmt: skip
    constraints: ClassVar[tuple[Constraint, ...]] = (
        Constraint(
            parameters=("label_noise", "batch_size"),
            fault=lambda label_noise, batch_size: (
                RefusedError(
                    f"label noise {label_noise:g} with batch_size: 0, the noise-free population loss",
                    "set label_noise: 0, or a batch_size of at least 1",
                )
                if batch_size == 0 and label_noise
                else None
            ),
        ),
    )

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """One input, one output."""
        return 1, 1

    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Normal inputs, shape (count, 1)."""
        return tensor(generator.standard_normal((count, 1)))

    def target(self, x: Tensor) -> Tensor:
        """What the teacher gives, shape (count, 1)."""
        weights = np.array(numbers(self.values["teacher_weights"]))
        return float(weights.sum()) * x + float((weights**2).sum()) * (x * x - 1) / sqrt(2)

    def train_set(self) -> tuple[Tensor, Tensor]:
        """The quadrature nodes of the population loss, shape (6, 1), and what the teacher gives there."""
        x = tensor(np.array([-sqrt(3), 0, 0, 0, 0, sqrt(3)])[:, None])
        return x, self.target(x)

    def test_set(self) -> tuple[Tensor, Tensor]:
        """The quadrature nodes where the loss is the population's, else fresh samples; (count, 1) each."""
        return super().test_set() if self.fresh else self.train_set()
