"""A linear map with prescribed singular values (`docs/physics.md` E1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from phasediag import shared_parameters as shared
from phasediag.errors import RefusedError
from phasediag.training.task import GeneratedTask, tensor
from phasediag.trial import (
    Constraint,
    NonNegativeFloat,
    Parameter,
    Role,
    Streams,
    Value,
    integer,
    label_noise_parameters,
    numbers,
)

if TYPE_CHECKING:
    from torch import Tensor


class LinearMap(GeneratedTask):
    """y = M x, x Gaussian of unit covariance; a finite training set is whitened to exactly that.

    M has the given singular values and random singular vectors from the stream `teacher`.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (
        shared.inputs(5),
        shared.outputs(5),
        shared.samples(1000),
        shared.TEST_SAMPLES,
        Parameter(name="singular_values", type=Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)],
                  default=(1.0,), neutral=(1.0,), role=Role.BATCHED, unit="targets",
                  meaning="Singular values of the map; the rest are zero."),
        *label_noise_parameters(),
    )  # fmt: skip
    constraints: ClassVar[tuple[Constraint, ...]] = (
        Constraint(
            parameters=("singular_values", "inputs", "outputs"),
            fault=lambda values, inputs, outputs: (
                RefusedError(
                    f"{len(values)} singular values for a map of {inputs} inputs and {outputs} outputs",
                    f"give at most {min(inputs, outputs)}",
                )
                if len(values) > min(inputs, outputs)
                else None
            ),
        ),
        Constraint(
            parameters=("samples", "inputs"),
            fault=lambda samples, inputs: (
                RefusedError(
                    f"{samples} samples cannot be whitened in {inputs} dimensions",
                    f"give at least {inputs}, or 0 for fresh data",
                )
                if 0 < samples < inputs
                else None
            ),
        ),
    )

    def __init__(self, values: Mapping[str, Value], streams: Streams) -> None:
        super().__init__(values, streams)
        inputs, outputs = self.sizes(values)
        generator = streams.generator("teacher")
        rank = min(inputs, outputs)
        left, _ = np.linalg.qr(generator.standard_normal((outputs, outputs)))
        right, _ = np.linalg.qr(generator.standard_normal((inputs, inputs)))
        spectrum = np.zeros(rank)
        given = numbers(values["singular_values"])
        spectrum[: len(given)] = given
        self.map = tensor(left[:, :rank] * spectrum @ right[:, :rank].T)

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """Inputs and outputs of a sample."""
        return integer(values["inputs"]), integer(values["outputs"])

    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Normal inputs, shape (count, inputs)."""
        inputs, _ = self.sizes(self.values)
        return tensor(generator.standard_normal((count, inputs)))

    def target(self, x: Tensor) -> Tensor:
        """The map's output, shape (count, outputs)."""
        return x @ self.map.T

    def train_set(self) -> tuple[Tensor, Tensor]:
        """Whitened inputs, (samples, inputs): the mean of x x^T is the identity; and their targets."""
        import torch

        x, _ = super().train_set()
        factor = torch.linalg.cholesky(x.T @ x / len(x))
        white = torch.linalg.solve_triangular(factor, x.T, upper=False).T
        return white, self.target(white)
