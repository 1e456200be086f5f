"""A linear map with prescribed singular values (`science.md` E1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from phasediag.tasks import _parameters as shared
from phasediag.tasks._declared import LINEAR_MAP
from phasediag.training.data import GeneratedTask
from phasediag.trial import Constraint, Parameter, Streams, Value


class LinearMap(GeneratedTask):
    """y = M x, x Gaussian of unit covariance; a finite training set is whitened to exactly that.

    M has the given singular values and random singular vectors from the stream `teacher`.
    """

    registered: ClassVar[str] = LINEAR_MAP.name
    declares: ClassVar[tuple[Parameter, ...]] = LINEAR_MAP.parameters
    constraints: ClassVar[tuple[Constraint, ...]] = LINEAR_MAP.constraints

    def __init__(self, values: Mapping[str, Value], streams: Streams) -> None:
        super().__init__(values, streams)
        inputs, outputs = self.sizes(values)
        generator = streams.generator("teacher")
        rank = min(inputs, outputs)
        left, _ = np.linalg.qr(generator.standard_normal((outputs, outputs)))
        right, _ = np.linalg.qr(generator.standard_normal((inputs, inputs)))
        spectrum = np.zeros(rank)
        given = shared.numbers(values["singular_values"])
        spectrum[: len(given)] = given
        self.map = torch.from_numpy(left[:, :rank] * spectrum @ right[:, :rank].T)

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """Inputs and outputs of a sample."""
        return shared.whole(values["inputs"]), shared.whole(values["outputs"])

    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Normal inputs, shape (count, inputs)."""
        inputs, _ = self.sizes(self.values)
        return torch.from_numpy(generator.standard_normal((count, inputs)))

    def target(self, x: Tensor) -> Tensor:
        """The map's output, shape (count, outputs)."""
        return x @ self.map.T

    def train_set(self) -> tuple[Tensor, Tensor]:
        """Whitened inputs, so that the mean of x x^T is the identity, and their targets."""
        x, _ = super().train_set()
        factor = torch.linalg.cholesky(x.T @ x / len(x))
        white = torch.linalg.solve_triangular(factor, x.T, upper=False).T
        return white, self.target(white)
