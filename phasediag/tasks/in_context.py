"""Linear regression in context, learnt from the tokens of one sequence (the paper's Fig. 10, bottom)."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from phasediag import shared_parameters as shared
from phasediag.errors import RefusedError
from phasediag.training.task import DrawnTask, tensor
from phasediag.trial import (
    Constraint,
    Count,
    Parameter,
    Role,
    Streams,
    Value,
    integer,
    label_noise_parameters,
    number,
)

if TYPE_CHECKING:
    from torch import Tensor


class InContext(DrawnTask):
    """A sequence of tokens (x_t, w . x_t) with w of its own; the last token's w . x is the target.

    x_t is normal of standard deviation `input_scale` in token_size - 1 dimensions; the last
    number of every token is w . x_t, in the last token 0. w is normal of mean square norm 1, in a
    random subspace of `teacher_rank` dimensions from the stream `teacher` (0: in all). An input
    is the flattened sequence. Label noise is on the target, not on the tokens.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (
        shared.LENGTH,
        Parameter(name="token_size", type=Annotated[int, Field(ge=2)], default=6, neutral=6,
                  role=Role.STRUCTURAL, meaning="Numbers in a token: token_size - 1 inputs and their label."),
        Parameter(name="teacher_rank", type=Count, default=0, neutral=0, role=Role.BATCHED,
                  unit="dimensions", meaning="Dimensions in which the sequences' maps vary; 0: all."),
        shared.samples(1000),
        shared.TEST_SAMPLES,
        shared.INPUT_SCALE,
        *label_noise_parameters(),
    )  # fmt: skip
    constraints: ClassVar[tuple[Constraint, ...]] = (
        Constraint(
            parameters=("teacher_rank", "token_size"),
            fault=lambda teacher_rank, token_size: (
                RefusedError(
                    f"maps of rank {teacher_rank} for tokens of {token_size - 1} inputs",
                    f"give at most {token_size - 1}, or 0 for all",
                )
                if teacher_rank > token_size - 1
                else None
            ),
        ),
    )

    def __init__(self, values: Mapping[str, Value], streams: Streams) -> None:
        super().__init__(values, streams)
        self.length, size = integer(values["length"]), integer(values["token_size"])
        rank = integer(values["teacher_rank"]) or size - 1
        basis, _ = np.linalg.qr(streams.generator("teacher").standard_normal((size - 1, size - 1)))
        self.basis = tensor(basis[:, :rank].copy())

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """The numbers of a sequence; one output."""
        return integer(values["length"]) * integer(values["token_size"]), 1

    def draw(self, generator: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Sequences (count, length * token_size) and the labels of their last tokens (count, 1)."""
        import torch

        inputs, rank = self.basis.shape
        drawn = tensor(generator.standard_normal((count, self.length * inputs + rank)))
        x = drawn[:, : self.length * inputs].reshape(count, self.length, inputs)
        x = x * number(self.values["input_scale"])
        w = drawn[:, self.length * inputs :] @ self.basis.T / sqrt(rank)
        labels = (x * w[:, None, :]).sum(dim=2)
        tokens = torch.cat([x, labels[:, :, None]], dim=2)
        tokens[:, -1, -1] = 0
        return tokens.reshape(count, -1), labels[:, -1:]
