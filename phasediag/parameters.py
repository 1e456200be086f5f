"""The parameters of every trial, whatever its task and model."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from phasediag.trial import (
    REQUIRED,
    Count,
    NonNegativeFloat,
    Parameter,
    PositiveFloat,
    PositiveInt,
    Role,
)

MOMENTUM: Final = Parameter(
    name="momentum", type=Annotated[float, Field(ge=0, lt=1)], default=0.0, neutral=0.0,
    role=Role.STRUCTURAL, meaning="What is left of the velocity after a step, of optimizers that have one.",
)  # fmt: skip
"""A parameter of every trial, which only optimizers that declare it make use of."""

TRAINING: Final[tuple[Parameter, ...]] = (
    Parameter(name="task", type=str, default=REQUIRED, neutral=REQUIRED, role=Role.STRUCTURAL,
              meaning="Source of data: a task of phasediag, or `my_task.py:Task`."),
    Parameter(name="model", type=str, default="mlp", neutral=REQUIRED, role=Role.STRUCTURAL,
              meaning="Architecture: a model of phasediag, or `my_net.py:Net`."),
    Parameter(name="optimizer", type=str, default="sgd", neutral="sgd", role=Role.STRUCTURAL,
              meaning="Update rule: an optimizer of phasediag, or `my_opt.py:Sam`; adam couples the decay, "
              "adamw decouples it."),
    Parameter(name="learning_rate", type=PositiveFloat, default=0.05, neutral=REQUIRED, role=Role.BATCHED,
              meaning="Step size of the update."),
    Parameter(name="schedule", type=str, default="constant", neutral="constant", role=Role.STRUCTURAL,
              meaning="How the learning rate changes over the steps: a schedule of phasediag, or "
              "`my_schedule.py:Class`; learning_rate is what it multiplies."),
    Parameter(name="warmup_steps", type=Count, default=0, neutral=0, role=Role.SWITCHED, unit="steps",
              meaning="Steps in which the learning rate rises, by equal parts, before the schedule."),
    Parameter(name="layer_rates", type=Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)] | None,
              default=None, neutral=None, role=Role.SWITCHED, unit="learning_rate",
              meaning="What each layer's learning rate is over learning_rate: one number for each module "
              "with weights, in their order; 0 leaves a layer as it starts."),
    Parameter(name="gradient_clip", type=PositiveFloat | None, default=None, neutral=None,
              role=Role.SWITCHED, meaning="Largest norm of a network's whole gradient; longer ones are "
              "shortened to it, before the weight decay enters."),
    Parameter(name="loss", type=Literal["squared", "cross_entropy"] | None, default=None, neutral=None,
              role=Role.STRUCTURAL, meaning="Squared error summed over outputs, or cross entropy of "
              "classes, as a mean over samples; null is the task's own loss."),
    Parameter(name="batch_size", type=Count, default=32, neutral=REQUIRED, role=Role.STRUCTURAL,
              unit="samples", meaning="Samples a step, drawn with replacement; 0 is the full batch."),
    Parameter(name="lr_over_batch", type=NonNegativeFloat, default=None, neutral=REQUIRED,
              role=Role.DERIVED, unit="1/samples",
              meaning="Temperature T = learning_rate / batch_size; determines one of the two."),
    MOMENTUM,
    Parameter(name="weight_decay", type=NonNegativeFloat, default=0.0, neutral=0.0, role=Role.BATCHED,
              meaning="Adds weight_decay * theta to the gradient: twice gamma of loss + gamma |theta|^2."),
    Parameter(name="init_scale", type=NonNegativeFloat, default=1.0, neutral=1.0, role=Role.BATCHED,
              meaning="Multiplies the initial weights, of your own model its weight matrices and biases."),
    Parameter(name="init", type=Literal["kaiming_normal", "balanced", "own"], default="kaiming_normal",
              neutral="kaiming_normal", role=Role.BATCHED,
              meaning="Initial weights: normal of std sqrt(2/fan_in), equal singular values init_scale, or "
              "what the constructor of your own model gives; it alone tells what is no weight or bias."),
    Parameter(name="steps", type=PositiveInt, default=10000, neutral=REQUIRED, role=Role.BATCHED,
              unit="steps", meaning="Length of training."),
    Parameter(name="learning_time", type=PositiveFloat, default=None, neutral=REQUIRED,
              role=Role.DERIVED, unit="steps * learning_rate",
              meaning="Stands instead of steps: ceil(learning_time / learning_rate)."),
    Parameter(name="relaxations", type=PositiveFloat, default=None, neutral=REQUIRED,
              role=Role.SHORTHAND, unit="steps * learning_rate * weight_decay",
              meaning="Stands instead of steps under fixed: ceil(relaxations / (learning_rate * "
              "weight_decay)). What decays needs 10 at least; where decay is strong, the data need more. "
              "Momentum is not counted: with it, relaxation is 1 / (1 - momentum) times as fast."),
    Parameter(name="dtype", type=Literal["float32", "float64"], default="float32", neutral="float32",
              role=Role.STRUCTURAL, meaning="Precision of weights and data."),
    Parameter(name="data_seed", type=Count | None, default=None, neutral=None, role=Role.BATCHED,
              meaning="Pins teacher, data and test set across replicates."),
    Parameter(name="control", type=Literal["none", "dcs", "gate", "syre"], default="none", neutral="none",
              role=Role.STRUCTURAL,
              meaning="How the weights follow from what is trained: dcs and gate introduce a symmetry "
              "(theta = (I - OO^T) w + O (u v); v W a matrix), syre removes all (theta + theta_0)."),
    Parameter(name="dcs_symmetry", type=Literal["weights", "permutation", "sign_flip"] | None, default=None,
              neutral=REQUIRED, role=Role.STRUCTURAL,
              meaning="Directions O of dcs: every weight (where not given), the differences of a layer's "
              "neurons, or the weights of hidden neurons."),
    Parameter(name="syre_scale", type=NonNegativeFloat | None, default=None, neutral=REQUIRED,
              role=Role.BATCHED, unit="weights",
              meaning="sigma_0, size of theta_0 of syre; null is 0.01 / sqrt(number of weights)."),
    Parameter(name="syre_distribution", type=Literal["normal", "constant"] | None, default=None,
              neutral=REQUIRED, role=Role.BATCHED,
              meaning="theta_0 of syre: normal of std sigma_0 (where not given), or sigma_0 everywhere."),
    Parameter(name="syre_anisotropy", type=Annotated[float, Field(ge=0, lt=1)] | None, default=None,
              neutral=REQUIRED, role=Role.BATCHED,
              meaning="sigma_D of syre: the decay of each weight is multiplied by a factor, uniform in "
              "1 - sigma_D to 1 + sigma_D; 0 where not given."),
)  # fmt: skip
