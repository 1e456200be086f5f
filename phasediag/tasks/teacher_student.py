"""Targets of a random network, the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from phasediag import shared_parameters as shared
from phasediag.models.mlp import MLP
from phasediag.training.initial import initial_weights
from phasediag.training.task import GeneratedTask, tensor
from phasediag.trial import (
    FiniteFloat,
    Parameter,
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


class TeacherStudent(GeneratedTask):
    """x normal of standard deviation input_scale; y = teacher_scale * teacher(x).

    The teacher is an MLP without biases, of Kaiming normal weights from the stream `teacher`.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (
        shared.inputs(5),
        shared.outputs(1),
        shared.samples(1000),
        shared.TEST_SAMPLES,
        Parameter(name="teacher_width", type=PositiveInt, default=4, neutral=4, role=Role.BATCHED,
                  unit="neurons", meaning="Neurons of each hidden layer of the teacher."),
        Parameter(name="teacher_depth", type=Annotated[int, Field(ge=1)], default=2, neutral=2,
                  role=Role.BATCHED, unit="weight layers", meaning="Weight layers of the teacher."),
        Parameter(name="teacher_activation", type=shared.ActivationName, default="tanh", neutral="tanh",
                  role=Role.BATCHED, meaning="Nonlinearity of the teacher."),
        Parameter(name="teacher_scale", type=FiniteFloat, default=1.0, neutral=1.0, role=Role.BATCHED,
                  meaning="Multiplies the teacher's output."),
        shared.INPUT_SCALE,
        *label_noise_parameters(),
    )  # fmt: skip

    def __init__(self, values: Mapping[str, Value], streams: Streams) -> None:
        import torch

        super().__init__(values, streams)
        inputs, outputs = self.sizes(values)
        with torch.device("meta"):
            self.teacher = MLP(
                inputs, outputs, depth=integer(values["teacher_depth"]),
                width=integer(values["teacher_width"]), activation=str(values["teacher_activation"]),
            )  # fmt: skip
        shapes = {name: tuple(p.shape) for name, p in self.teacher.named_parameters()}
        drawn = initial_weights(shapes, "kaiming_normal", streams.generator("teacher"))
        self.weights = {name: tensor(w) for name, w in drawn.items()}

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """Inputs and outputs of a sample."""
        return integer(values["inputs"]), integer(values["outputs"])

    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Normal inputs, shape (count, inputs)."""
        inputs, _ = self.sizes(self.values)
        normal = tensor(generator.standard_normal((count, inputs)))
        return normal * number(self.values["input_scale"])

    def target(self, x: Tensor) -> Tensor:
        """The teacher's output, shape (count, outputs)."""
        from torch.func import functional_call

        output: Tensor = functional_call(self.teacher, self.weights, (x,))
        return output * number(self.values["teacher_scale"])
