"""What the models of phasediag declare; needs no torch, so that a grid is read without it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from phasediag.errors import RefusedError
from phasediag.trial import Constraint, Count, Declaration, Parameter, PositiveInt, Role

ActivationName = Literal["tanh", "relu", "gelu", "swish", "linear", "sin", "square", "cube"]
Attention = Literal["softmax", "linear"]
LENGTH: Final = Parameter(
    name="length", type=Annotated[int, Field(ge=2)], default=20, neutral=20, role=Role.STRUCTURAL,
    unit="tokens", meaning="Tokens of a sequence; the last one is the query.",
)  # fmt: skip
_WIDTH: Final = Parameter(
    name="width", type=PositiveInt, default=16, neutral=16, role=Role.STRUCTURAL, unit="neurons",
    meaning="Neurons of each hidden layer.",
)  # fmt: skip
_ACTIVATION: Final = Parameter(
    name="activation", type=ActivationName, default="tanh", neutral="tanh", role=Role.STRUCTURAL,
    meaning="Nonlinearity of the hidden layers.",
)  # fmt: skip


def length_fault(length: int, inputs: int, model: str) -> RefusedError | None:
    """What is wrong where a transformer's inputs cannot be cut into so many tokens."""
    if model != "transformer" or inputs % length == 0:
        return None
    divisors = ", ".join(str(n) for n in range(2, inputs + 1) if inputs % n == 0) or "none: take other inputs"
    problem = f"{inputs} inputs cannot be cut into {length} tokens"
    return RefusedError(problem, f"lengths that divide them: {divisors}")


def _unbalanced(name: str) -> Constraint:
    """A model that cannot start with balanced weights."""
    return Constraint(
        parameters=("init", "model"),
        fault=lambda init, model: (
            RefusedError(
                f"balanced needs a chain of weight layers, which model {name} is not", "use kaiming_normal"
            )
            if init == "balanced" and model == name
            else None
        ),
    )


MLP: Final = Declaration(
    name="mlp",
    parameters=(
        Parameter(name="depth", type=Annotated[int, Field(ge=1)], default=2, neutral=2, role=Role.STRUCTURAL,
                  unit="weight layers", meaning="Weight layers; depth - 1 hidden layers."),
        _WIDTH,
        _ACTIVATION,
        Parameter(name="bias", type=bool, default=False, neutral=False, role=Role.STRUCTURAL,
                  meaning="Whether every layer has biases; they start at zero."),
    ),
)  # fmt: skip

HERMITE: Final = Declaration(
    name="hermite",
    parameters=(_WIDTH,),
    constraints=(
        Constraint(
            parameters=("model", "task"),
            fault=lambda model, task: (
                RefusedError(
                    f"model hermite takes one input and gives one output; task '{task}' is not made for it",
                    "set task: hermite",
                )
                if model == "hermite" and task != "hermite" and ":" not in task
                else None
            ),
        ),
        _unbalanced("hermite"),
    ),
)

TRANSFORMER: Final = Declaration(
    name="transformer",
    parameters=(
        LENGTH,
        Parameter(name="attention_layers", type=PositiveInt, default=2, neutral=2, role=Role.STRUCTURAL,
                  unit="layers", meaning="Self-attention layers, with a residual connection around each."),
        Parameter(name="heads", type=PositiveInt, default=1, neutral=1, role=Role.STRUCTURAL, unit="heads",
                  meaning="Attention heads of each layer."),
        Parameter(name="head_width", type=PositiveInt, default=16, neutral=16, role=Role.STRUCTURAL,
                  unit="numbers", meaning="Numbers of a head's query, key and value."),
        Parameter(name="stream_width", type=PositiveInt, default=16, neutral=16, role=Role.STRUCTURAL,
                  unit="numbers", meaning="Numbers of a token in the residual stream."),
        Parameter(name="attention", type=Attention, default="softmax", neutral="softmax",
                  role=Role.STRUCTURAL,
                  meaning="What weighs the tokens: softmax of the logits, or the logits over their number."),
        Parameter(name="feedforward", type=Count, default=0, neutral=0, role=Role.STRUCTURAL, unit="neurons",
                  meaning="Hidden neurons after each attention layer; 0 leaves them out."),
        _ACTIVATION,
    ),
    constraints=(
        Constraint(parameters=("length", "inputs", "model"), fault=length_fault),
        _unbalanced("transformer"),
    ),
)  # fmt: skip

DECLARED: Final = {declared.name: declared for declared in (MLP, HERMITE, TRANSFORMER)}
