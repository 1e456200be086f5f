"""What the trials of a structure have in common: their network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import nn

from phasediag.errors import PhasediagError
from phasediag.registry import component
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.control import Control, control_of
from phasediag.training.data import Task
from phasediag.training.optimizers import Update, optimizer
from phasediag.trial import Value

DTYPES: Final = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """What all trials of a structure have in common."""

    module: nn.Module
    """On the meta device: only its code and shapes are used."""
    task: type[Task]
    dtype: torch.dtype
    update: Update
    moments: tuple[str, ...]
    groups: tuple[NeuronGroup, ...]
    control: Control
    """Makes the weights of the network from the numbers that are trained."""
    sizes: tuple[int, int]
    """Numbers of an input and of a target."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter."""
        return {name: tuple(p.shape) for name, p in self.module.named_parameters()}

    @property
    def uses_of_weights(self) -> int:
        """How often one sample passes each weight; the module tells where it is not once."""
        return int(getattr(self.module, "uses_of_weights", 1))

    @property
    def numbers_per_sample(self) -> int:
        """Elementwise results of one sample: the outputs of its layers, and what the module tells besides."""
        outputs = sum(shape[0] for shape in self.shapes.values() if len(shape) > 1)
        return outputs * self.uses_of_weights + int(getattr(self.module, "numbers_per_sample", 0))


def network_of(values: Mapping[str, Value], folder: Path) -> Network:
    """The network of a trial's record; user files are looked up in `folder`.

    Raises
    ------
    PhasediagError
        Where the model refuses the values.
    """
    task = component("task", str(values["task"]), folder)
    model = component("model", str(values["model"]), folder)
    inputs, outputs = task.cls.sizes(values)
    arguments = {name: values[name] for name in model.parameters}
    try:
        with torch.device("meta"):
            module = model.cls(inputs=inputs, outputs=outputs, **arguments)
    except Exception as error:
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        raise PhasediagError(
            f"model '{model.name}' cannot be built with inputs={inputs}, outputs={outputs}, {given}: "
            f"{type(error).__name__}: {error}; change these values, or mend the model"
        ) from error
    momentum = values["momentum"]
    assert isinstance(momentum, float)
    moments, update = optimizer(str(values["optimizer"]), momentum)
    groups = tuple(getattr(module, "neuron_groups", ()))
    shapes = {name: tuple(p.shape) for name, p in module.named_parameters()}
    return Network(
        module=module, task=task.cls, dtype=DTYPES[str(values["dtype"])], update=update, moments=moments,
        groups=groups, control=control_of(values, shapes, groups), sizes=(inputs, outputs),
    )  # fmt: skip
