"""One number to one number: collapse by gradient noise is known in closed form (`science.md` E5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from phasediag.tasks import _parameters as shared
from phasediag.tasks._declared import SCALAR_LINEAR
from phasediag.training.data import GeneratedTask
from phasediag.trial import Parameter, Value

_SIGNS: Final = np.array([-1.0, 1.0])


class ScalarLinear(GeneratedTask):
    """y = signal * x + label_noise * eps, x and eps of mean 0 and variance 1, drawn anew each step."""

    registered: ClassVar[str] = SCALAR_LINEAR.name
    always_fresh: ClassVar[bool] = SCALAR_LINEAR.always_fresh
    declares: ClassVar[tuple[Parameter, ...]] = SCALAR_LINEAR.parameters

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """One input, one output."""
        return 1, 1

    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Inputs, shape (count, 1)."""
        return _draw(generator, str(self.values["input_distribution"]), count)

    def target(self, x: Tensor) -> Tensor:
        """Shape (count, 1)."""
        return shared.number(self.values["signal"]) * x

    def unit_noise(self, generator: np.random.Generator, count: int) -> Tensor:
        """Label noise of variance 1, shape (count, 1)."""
        return _draw(generator, str(self.values["noise_distribution"]), count)


def _draw(generator: np.random.Generator, distribution: str, count: int) -> Tensor:
    if distribution == "rademacher":
        return torch.from_numpy(_SIGNS[generator.integers(0, 2, (count, 1))])
    return torch.from_numpy(generator.standard_normal((count, 1)))
