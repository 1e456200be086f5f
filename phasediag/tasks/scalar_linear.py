"""One number to one number: collapse by gradient noise is known in closed form (`docs/physics.md` E5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np

from phasediag import shared_parameters as shared
from phasediag.training.task import GeneratedTask, tensor
from phasediag.trial import FiniteFloat, Parameter, Role, Value, label_noise_parameters, number

if TYPE_CHECKING:
    from torch import Tensor

Distribution = Literal["rademacher", "gaussian"]
_SIGNS: Final = np.array([-1.0, 1.0])


class ScalarLinear(GeneratedTask):
    """y = signal * x + label_noise * eps, x and eps of mean 0 and variance 1, drawn anew each step."""

    always_fresh: ClassVar[bool] = True
    declares: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="signal", type=FiniteFloat, default=0.5, neutral=0.5, role=Role.BATCHED,
                  meaning="Slope c = E[xy] of the target."),
        Parameter(name="input_distribution", type=Distribution, default="rademacher", neutral="rademacher",
                  role=Role.BATCHED, meaning="Distribution of x: signs, or normal."),
        Parameter(name="noise_distribution", type=Distribution, default="rademacher", neutral="rademacher",
                  role=Role.BATCHED, meaning="Distribution of the label noise: signs, or normal."),
        shared.TEST_SAMPLES,
        *label_noise_parameters(),
    )  # fmt: skip

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """One input, one output."""
        return 1, 1

    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Inputs, shape (count, 1)."""
        return _draw(generator, str(self.values["input_distribution"]), count)

    def target(self, x: Tensor) -> Tensor:
        """The signal times the input, shape (count, 1)."""
        return number(self.values["signal"]) * x

    def unit_noise(self, generator: np.random.Generator, count: int) -> Tensor:
        """Label noise of variance 1, shape (count, 1)."""
        return _draw(generator, str(self.values["noise_distribution"]), count)


def _draw(generator: np.random.Generator, distribution: str, count: int) -> Tensor:
    if distribution == "rademacher":
        return tensor(_SIGNS[generator.integers(0, 2, (count, 1))])
    return tensor(generator.standard_normal((count, 1)))
