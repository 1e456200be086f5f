"""A random field with a power-law spectrum: a target of no finite number of neurons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from phasediag import shared_parameters as shared
from phasediag.errors import RefusedError
from phasediag.training.task import GeneratedTask, tensor
from phasediag.trial import (
    Constraint,
    FiniteFloat,
    Parameter,
    PositiveFloat,
    PositiveInt,
    Role,
    Streams,
    Value,
    integer,
    label_noise_parameters,
    number,
)

if TYPE_CHECKING:
    from torch import Tensor


class RandomField(GeneratedTask):
    """x normal of standard deviation input_scale; y = sum_j a_j cos(k_j x + phi_j), of variance 1.

    The wave numbers |k_j| are spread evenly in their logarithm from smallest_wave to largest_wave, with
    directions and phases drawn evenly from the stream `teacher`. Of the variance, the share of wave
    numbers between k and k + dk is proportional to k^-field_exponent dk. Each output is a field of its own.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (
        shared.inputs(1),
        shared.outputs(1),
        shared.samples(1000),
        shared.TEST_SAMPLES,
        Parameter(name="waves", type=PositiveInt, default=256, neutral=256, role=Role.BATCHED,
                  unit="waves", meaning="Plane waves that make the field."),
        Parameter(name="field_exponent", type=FiniteFloat, default=3.0, neutral=3.0, role=Role.BATCHED,
                  meaning="The variance at wave number k falls as k to the power of minus this."),
        Parameter(name="smallest_wave", type=PositiveFloat, default=0.5, neutral=0.5, role=Role.BATCHED,
                  unit="1/inputs", meaning="The smallest wave number."),
        Parameter(name="largest_wave", type=PositiveFloat, default=16.0, neutral=16.0, role=Role.BATCHED,
                  unit="1/inputs", meaning="The largest wave number."),
        shared.INPUT_SCALE,
        *label_noise_parameters(),
    )  # fmt: skip
    constraints: ClassVar[tuple[Constraint, ...]] = (
        Constraint(
            parameters=("smallest_wave", "largest_wave"),
            fault=lambda smallest, largest: (
                RefusedError(
                    f"wave numbers from {smallest:g} to {largest:g} are none",
                    "give a largest_wave above smallest_wave",
                )
                if smallest >= largest
                else None
            ),
        ),
    )

    def __init__(self, values: Mapping[str, Value], streams: Streams) -> None:
        super().__init__(values, streams)
        inputs, outputs = self.sizes(values)
        generator, waves = streams.generator("teacher"), integer(values["waves"])
        ends = (number(values["smallest_wave"]), number(values["largest_wave"]))
        size = np.geomspace(*ends, waves)
        direction = generator.standard_normal((outputs, waves, inputs))
        direction /= np.linalg.norm(direction, axis=2, keepdims=True)
        # Evenly spread logarithms: dk is proportional to k.
        log_variance = (1 - number(values["field_exponent"])) * np.log(size)
        variance = np.exp(log_variance - log_variance.max())
        self.wave_vectors = tensor(direction * size[:, None])
        self.phases = tensor(generator.uniform(0, 2 * np.pi, (outputs, waves)))
        self.amplitudes = tensor(np.sqrt(2 * variance / variance.sum()))

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """Inputs and outputs of a sample."""
        return integer(values["inputs"]), integer(values["outputs"])

    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Normal inputs, shape (count, inputs)."""
        inputs, _ = self.sizes(self.values)
        return tensor(generator.standard_normal((count, inputs))) * number(self.values["input_scale"])

    def target(self, x: Tensor) -> Tensor:
        """The fields at inputs (count, inputs): shape (count, outputs)."""
        phases = (x @ self.wave_vectors.transpose(1, 2)).transpose(0, 1) + self.phases
        field: Tensor = phases.cos() @ self.amplitudes
        return field
