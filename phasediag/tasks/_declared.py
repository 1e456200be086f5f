"""What the tasks of phasediag declare; needs no torch, so that a grid is read without it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from phasediag.errors import RefusedError
from phasediag.models._declared import LENGTH, ActivationName
from phasediag.tasks import _parameters as shared
from phasediag.trial import (
    Constraint,
    Count,
    Declaration,
    FiniteFloat,
    NonNegativeFloat,
    Parameter,
    PositiveInt,
    Role,
    label_noise_parameters,
)

Distribution = Literal["rademacher", "gaussian"]
CLASSES: Final = 10
"""Of the task `digits`."""
IMAGES: Final = 1797
"""Images of the task `digits`."""
HELD_OUT: Final = 297
"""Those of them that are always left for the test set."""

TEACHER_STUDENT: Final = Declaration(
    name="teacher_student",
    parameters=(
        shared.inputs(5),
        shared.outputs(1),
        shared.samples(1000),
        shared.test_samples(500),
        Parameter(name="teacher_width", type=PositiveInt, default=4, neutral=4, role=Role.BATCHED,
                  unit="neurons", meaning="Neurons of each hidden layer of the teacher."),
        Parameter(name="teacher_depth", type=Annotated[int, Field(ge=1)], default=2, neutral=2,
                  role=Role.BATCHED, unit="weight layers", meaning="Weight layers of the teacher."),
        Parameter(name="teacher_activation", type=ActivationName, default="tanh", neutral="tanh",
                  role=Role.BATCHED, meaning="Nonlinearity of the teacher."),
        Parameter(name="teacher_scale", type=FiniteFloat, default=1.0, neutral=1.0, role=Role.BATCHED,
                  meaning="Multiplies the teacher's output."),
        shared.input_scale(),
        *label_noise_parameters(),
    ),
)  # fmt: skip

LINEAR_MAP: Final = Declaration(
    name="linear_map",
    parameters=(
        shared.inputs(5),
        shared.outputs(5),
        shared.samples(1000),
        shared.test_samples(500),
        Parameter(name="singular_values", type=Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)],
                  default=(1.0,), neutral=(1.0,), role=Role.BATCHED, unit="targets",
                  meaning="Singular values of the map; the rest are zero."),
        *label_noise_parameters(),
    ),
    constraints=(
        Constraint(
            parameters=("singular_values", "inputs", "outputs", "task"),
            fault=lambda values, inputs, outputs, task: (
                RefusedError(
                    f"{len(values)} singular values for a map of {inputs} inputs and {outputs} outputs",
                    f"give at most {min(inputs, outputs)}",
                )
                if task == "linear_map" and len(values) > min(inputs, outputs)
                else None
            ),
        ),
        Constraint(
            parameters=("samples", "inputs", "task"),
            fault=lambda samples, inputs, task: (
                RefusedError(
                    f"{samples} samples cannot be whitened in {inputs} dimensions",
                    f"give at least {inputs}, or 0 for fresh data",
                )
                if task == "linear_map" and 0 < samples < inputs
                else None
            ),
        ),
    ),
)  # fmt: skip

SCALAR_LINEAR: Final = Declaration(
    name="scalar_linear",
    parameters=(
        Parameter(name="signal", type=FiniteFloat, default=0.5, neutral=0.5, role=Role.BATCHED,
                  meaning="Slope c = E[xy] of the target."),
        Parameter(name="input_distribution", type=Distribution, default="rademacher", neutral="rademacher",
                  role=Role.BATCHED, meaning="Distribution of x: signs, or normal."),
        Parameter(name="noise_distribution", type=Distribution, default="rademacher", neutral="rademacher",
                  role=Role.BATCHED, meaning="Distribution of the label noise: signs, or normal."),
        shared.test_samples(500),
        *label_noise_parameters(),
    ),
    always_fresh=True,
)  # fmt: skip

HERMITE: Final = Declaration(
    name="hermite",
    parameters=(
        Parameter(name="teacher_weights", type=Annotated[tuple[FiniteFloat, ...], Field(min_length=1)],
                  default=(1.0, 0.2), neutral=(1.0, 0.2), role=Role.BATCHED,
                  meaning="The weights a_j of the teacher's neurons."),
        shared.test_samples(500),
        *label_noise_parameters(),
    ),
    constraints=(shared.NO_NOISE_IN_POPULATION,),
    always_fresh=True,
    population=True,
)  # fmt: skip

DIGITS: Final = Declaration(
    name="digits",
    parameters=(
        Parameter(name="samples", type=Annotated[int, Field(ge=1, le=IMAGES - HELD_OUT)], default=1000,
                  neutral=1000, role=Role.STRUCTURAL, unit="images", meaning="Size of the training set."),
        shared.input_scale(),
        *label_noise_parameters(classes=True),
    ),
    classes=CLASSES,
)  # fmt: skip

IN_CONTEXT: Final = Declaration(
    name="in_context",
    parameters=(
        LENGTH,
        Parameter(name="token_size", type=Annotated[int, Field(ge=2)], default=6, neutral=6,
                  role=Role.STRUCTURAL, meaning="Numbers in a token: token_size - 1 inputs and their label."),
        Parameter(name="teacher_rank", type=Count, default=0, neutral=0, role=Role.BATCHED,
                  unit="dimensions", meaning="Dimensions in which the sequences' maps vary; 0: all."),
        shared.samples(1000),
        shared.test_samples(500),
        shared.input_scale(),
        *label_noise_parameters(),
    ),
    constraints=(
        Constraint(
            parameters=("teacher_rank", "token_size", "task"),
            fault=lambda teacher_rank, token_size, task: (
                RefusedError(
                    f"maps of rank {teacher_rank} for tokens of {token_size - 1} inputs",
                    f"give at most {token_size - 1}, or 0 for all",
                )
                if task == "in_context" and teacher_rank > token_size - 1
                else None
            ),
        ),
    ),
)  # fmt: skip

DECLARED: Final = {
    declared.name: declared
    for declared in (TEACHER_STUDENT, LINEAR_MAP, SCALAR_LINEAR, HERMITE, DIGITS, IN_CONTEXT)
}
