"""Linear regression in context, learnt from the tokens of one sequence (the paper's Fig. 10, bottom)."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from phasediag.tasks import _parameters as shared
from phasediag.tasks._declared import IN_CONTEXT
from phasediag.training.data import DrawnTask
from phasediag.trial import Constraint, Parameter, Streams, Value


class InContext(DrawnTask):
    """A sequence of tokens (x_t, w . x_t) with w of its own; the last token's w . x is the target.

    x_t is normal of standard deviation `input_scale` in token_size - 1 dimensions; the last
    number of every token is w . x_t, in the last token 0. w is normal of mean square norm 1, in a
    random subspace of `teacher_rank` dimensions from the stream `teacher` (0: in all). An input
    is the flattened sequence. Label noise is on the target, not on the tokens.
    """

    registered: ClassVar[str] = IN_CONTEXT.name
    declares: ClassVar[tuple[Parameter, ...]] = IN_CONTEXT.parameters
    constraints: ClassVar[tuple[Constraint, ...]] = IN_CONTEXT.constraints

    def __init__(self, values: Mapping[str, Value], streams: Streams) -> None:
        super().__init__(values, streams)
        self.length, size = shared.whole(values["length"]), shared.whole(values["token_size"])
        rank = shared.whole(values["teacher_rank"]) or size - 1
        basis, _ = np.linalg.qr(streams.generator("teacher").standard_normal((size - 1, size - 1)))
        self.basis = torch.from_numpy(basis[:, :rank].copy())

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """The numbers of a sequence; one output."""
        return shared.whole(values["length"]) * shared.whole(values["token_size"]), 1

    def draw(self, generator: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Sequences (count, length * token_size) and the labels of their last tokens (count, 1)."""
        inputs, rank = self.basis.shape
        drawn = torch.from_numpy(generator.standard_normal((count, self.length * inputs + rank)))
        x = drawn[:, : self.length * inputs].reshape(count, self.length, inputs)
        x = x * shared.number(self.values["input_scale"])
        w = drawn[:, self.length * inputs :] @ self.basis.T / sqrt(rank)
        labels = (x * w[:, None, :]).sum(dim=2)
        tokens = torch.cat([x, labels[:, :, None]], dim=2)
        tokens[:, -1, -1] = 0
        return tokens.reshape(count, -1), labels[:, -1:]
