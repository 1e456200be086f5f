"""Targets of a random network, the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from phasediag.models.mlp import MLP
from phasediag.tasks import _parameters as shared
from phasediag.tasks._declared import TEACHER_STUDENT
from phasediag.training.data import GeneratedTask
from phasediag.training.initial import initial_weights
from phasediag.trial import Parameter, Streams, Value


class TeacherStudent(GeneratedTask):
    """x normal of standard deviation input_scale; y = teacher_scale * teacher(x).

    The teacher is an MLP without biases, of Kaiming normal weights from the stream `teacher`.
    """

    registered: ClassVar[str] = TEACHER_STUDENT.name
    declares: ClassVar[tuple[Parameter, ...]] = TEACHER_STUDENT.parameters

    def __init__(self, values: Mapping[str, Value], streams: Streams) -> None:
        super().__init__(values, streams)
        inputs, outputs = self.sizes(values)
        with torch.device("meta"):
            self.teacher = MLP(
                inputs, outputs, depth=shared.whole(values["teacher_depth"]),
                width=shared.whole(values["teacher_width"]), activation=str(values["teacher_activation"]),
            )  # fmt: skip
        shapes = {name: tuple(p.shape) for name, p in self.teacher.named_parameters()}
        drawn = initial_weights(shapes, "kaiming_normal", streams.generator("teacher"))
        self.weights = {name: torch.from_numpy(w) for name, w in drawn.items()}

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """Inputs and outputs of a sample."""
        return shared.whole(values["inputs"]), shared.whole(values["outputs"])

    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Normal inputs, shape (count, inputs)."""
        inputs, _ = self.sizes(self.values)
        normal = torch.from_numpy(generator.standard_normal((count, inputs)))
        return normal * shared.number(self.values["input_scale"])

    def target(self, x: Tensor) -> Tensor:
        """The teacher's output, shape (count, outputs)."""
        output: Tensor = functional_call(self.teacher, self.weights, (x,))
        return output * shared.number(self.values["teacher_scale"])
