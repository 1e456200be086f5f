"""Parameters that several tasks or models have; needs no torch."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from phasediag.trial import Count, Parameter, PositiveFloat, PositiveInt, Role

ActivationName = Literal["tanh", "relu", "gelu", "swish", "linear", "sin", "square", "cube"]

WIDTH: Final = Parameter(
    name="width", type=PositiveInt, default=16, neutral=16, role=Role.STRUCTURAL, unit="neurons",
    meaning="Neurons of each hidden layer.",
)  # fmt: skip
ACTIVATION: Final = Parameter(
    name="activation", type=ActivationName, default="tanh", neutral="tanh", role=Role.STRUCTURAL,
    meaning="Nonlinearity of the hidden layers.",
)  # fmt: skip
LENGTH: Final = Parameter(
    name="length", type=Annotated[int, Field(ge=2)], default=20, neutral=20, role=Role.STRUCTURAL,
    unit="tokens", meaning="Tokens of a sequence; the last one is the query.",
)  # fmt: skip
TEST_SAMPLES: Final = Parameter(
    name="test_samples", type=PositiveInt, default=500, neutral=500, role=Role.STRUCTURAL, unit="samples",
    meaning="Size of the noise-free test set (and of the fresh training loss).",
)  # fmt: skip
INPUT_SCALE: Final = Parameter(
    name="input_scale", type=PositiveFloat, default=1.0, neutral=1.0, role=Role.BATCHED,
    meaning="Multiplies the inputs.",
)  # fmt: skip


def inputs(default: int) -> Parameter:
    """The parameter `inputs`."""
    return Parameter(
        name="inputs", type=PositiveInt, default=default, neutral=default, role=Role.STRUCTURAL,
        meaning="Numbers in a sample.",
    )  # fmt: skip


def outputs(default: int) -> Parameter:
    """The parameter `outputs`."""
    return Parameter(
        name="outputs", type=PositiveInt, default=default, neutral=default, role=Role.STRUCTURAL,
        meaning="Numbers in a target.",
    )  # fmt: skip


def samples(default: int) -> Parameter:
    """The parameter `samples`, where 0 means fresh data."""
    return Parameter(
        name="samples", type=Count, default=default, neutral=default, role=Role.STRUCTURAL, unit="samples",
        meaning="Size of the training set; 0 draws fresh data every step.",
    )  # fmt: skip
