"""Declarations that several tasks share."""

from __future__ import annotations

from collections.abc import Sequence

from phasediag.errors import RefusedError
from phasediag.trial import Constraint, Count, Parameter, PositiveFloat, PositiveInt, Role, Value


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


def test_samples(default: int) -> Parameter:
    """The parameter `test_samples`."""
    return Parameter(
        name="test_samples", type=PositiveInt, default=default, neutral=default, role=Role.STRUCTURAL,
        unit="samples", meaning="Size of the noise-free test set (and of the fresh training loss).",
    )  # fmt: skip


def input_scale() -> Parameter:
    """The parameter `input_scale`."""
    return Parameter(
        name="input_scale", type=PositiveFloat, default=1.0, neutral=1.0, role=Role.BATCHED,
        meaning="Multiplies the inputs.",
    )  # fmt: skip


def numbers(value: Value) -> Sequence[float]:
    """A list-valued parameter's numbers."""
    assert isinstance(value, tuple)
    return tuple(float(item) for item in value)


def number(value: Value) -> float:
    """A numeric parameter as a float."""
    assert isinstance(value, int | float)
    return float(value)


def whole(value: Value) -> int:
    """A counting parameter as an int."""
    assert isinstance(value, int)
    return value


NO_NOISE_IN_POPULATION = Constraint(
    parameters=("label_noise", "batch_size", "task"),
    fault=lambda label_noise, batch_size, task: (
        RefusedError(
            f"label noise {label_noise:g} with batch_size: 0, the noise-free population loss",
            "set label_noise: 0, or a batch_size of at least 1",
        )
        if task == "hermite" and batch_size == 0 and label_noise
        else None
    ),
)
