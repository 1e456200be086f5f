"""The identity: targets are the inputs (Fig. 3 middle and Fig. 9 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from phasediag import shared_parameters as shared
from phasediag.training.task import GeneratedTask, tensor
from phasediag.trial import Parameter, Streams, Value, integer, label_noise_parameters, number

if TYPE_CHECKING:
    from torch import Tensor


class IdentityMap(GeneratedTask):
    """y = x, x normal of standard deviation input_scale: as many outputs as inputs."""

    declares: ClassVar[tuple[Parameter, ...]] = (
        shared.inputs(300),
        shared.samples(1000),
        shared.TEST_SAMPLES,
        shared.INPUT_SCALE,
        *label_noise_parameters(),
    )

    def __init__(self, values: Mapping[str, Value], streams: Streams) -> None:
        super().__init__(values, streams)
        self.scale = number(values["input_scale"])

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """Inputs and outputs of a sample, alike."""
        return integer(values["inputs"]), integer(values["inputs"])

    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Normal inputs, shape (count, inputs)."""
        return tensor(generator.standard_normal((count, integer(self.values["inputs"])))) * self.scale

    def target(self, x: Tensor) -> Tensor:
        """The inputs themselves, shape (count, inputs)."""
        return x
