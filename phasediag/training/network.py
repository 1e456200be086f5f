"""What the trials of a structure have in common: their network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from phasediag.constructor import arguments_of
from phasediag.errors import PhasediagError
from phasediag.native.building import settle_cache
from phasediag.registry import Component, component
from phasediag.source_lines import explained, place_of
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.arguments import Batched, attributes_in, batched_of, check_alike, holding
from phasediag.training.arithmetic import Arithmetic
from phasediag.training.chance import Chance
from phasediag.training.construction import (
    CANONICAL_SEED,
    OTHER_SEEDS,
    Construction,
    drawn_weights,
    in_precision,
    neuron_groups_of,
    values_of,
    varying_buffers,
)
from phasediag.training.control import Control, control_of
from phasediag.training.data import Task
from phasediag.training.descent import Descent, descent_of
from phasediag.training.initial import initial_weights
from phasediag.training.losses import LossFunction, loss_of
from phasediag.training.model import Model, module_class, stated
from phasediag.training.optimizers import Rates, Weights
from phasediag.training.passes import Habits, evaluating, habits_of
from phasediag.training.refusals import refusal
from phasediag.trial import Role, Streams, Value
from phasediag.user_code.process import SettingError, kept_process
from phasediag.user_code.work import at_work

DTYPES: Final = {"float32": torch.float32, "float64": torch.float64}
_SIZES: Final = (
    "write @staticmethod def sizes(values), which gives the numbers of an input and of a target of a sample, "
    "two whole numbers >= 1"
)
FIXED: Final = "fixed/"
"""`fixed/NAME`, a constant of the trial: the parameter NAME, which is not trained, or the buffer NAME, which
differs between replicates; where a trial is measured also a buffer that training changes."""
CHANCE: Final = "chance"
"""The key of a trial's random numbers among its constants, where passes in training draw some."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """What all trials of a structure have in common."""

    module: nn.Module
    """On the meta device where only its code and shapes are used; one that is `constructed` holds the buffers
    and the attributes that all replicates share."""
    task: type[Task]
    dtype: torch.dtype
    descent: Descent
    """By what it is trained."""
    loss: LossFunction
    """The loss of predictions and targets."""
    groups: tuple[NeuronGroup, ...]
    control: Control
    """Makes the weights of the network from the numbers that are trained."""
    sizes: tuple[int, int]
    """Numbers of an input and of a target."""
    construction: Construction
    """How the module is made for a replicate."""
    constructed: bool = False
    """Whether what its constructor gives counts: of the user's modules, and where `Model.constructed`."""
    drawn: Mapping[str, bool] = field(default_factory=dict)
    """`drawn_weights` of the module."""
    varying: tuple[str, ...] = ()
    """The buffers that differ between replicates, or by a batched argument, and stay as they are."""
    batched: Batched = field(default_factory=Batched)
    """The arguments of the module in which its trials differ."""
    habits: Habits = field(default_factory=Habits)
    """What passes in training do besides giving a prediction."""

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, trained or not."""
        return {name: tuple(p.shape) for name, p in self.module.named_parameters()}

    @cached_property
    def _slots(self) -> dict[str, str]:
        """Every place of a part of the module that holds a parameter or a buffer, and what is there.

        `functional_call` by itself loses ties where a part is registered under several names.
        """
        named = [*self.module.named_parameters(), *self.module.named_buffers()]
        names = {id(tensor): name for name, tensor in named}
        slots: dict[str, str] = {}
        for path, part in self.module.named_modules():
            held = [
                *part.named_parameters(recurse=False, remove_duplicate=False),
                *part.named_buffers(recurse=False, remove_duplicate=False),
            ]
            slots |= {f"{path}.{leaf}" if path else leaf: names[id(tensor)] for leaf, tensor in held}
        return slots

    @cached_property
    def frozen(self) -> tuple[str, ...]:
        """The parameters that are not trained."""
        return tuple(name for name, p in self.module.named_parameters() if not p.requires_grad)

    @property
    def fixed(self) -> tuple[str, ...]:
        """What each trial has of its own and does not train: `FIXED` among its constants."""
        return self.frozen + self.varying + self.batched.attributes

    @property
    def padded(self) -> tuple[str, ...]:
        """`Model.padded`, as the class that the grid names states it, not one that it is derived from."""
        return tuple(vars(self.construction.cls).get("padded", Model.padded))

    @cached_property
    def arithmetic(self) -> Arithmetic:
        """What a sample takes by the shapes of layers and what the module states, or as seen, if more."""
        seen = self.habits.arithmetic or Arithmetic(products=0, numbers=0)
        shapes, uses = self.shapes.values(), int(stated(self.module, "uses_of_weights"))
        products = int(stated(self.module, "products_per_sample")) + uses * sum(map(prod, shapes))
        outputs = uses * sum(shape[0] for shape in shapes if len(shape) > 1)
        numbers = int(stated(self.module, "numbers_per_sample")) + outputs
        return replace(seen, products=max(seen.products, products), numbers=max(seen.numbers, numbers))

    def collapse_slope(self, values: Mapping[str, Value]) -> float | None:
        """What `Model.collapse_slope` says of a trial's values; None where the model does not know."""
        slope: float | None = stated(self.construction.cls, "collapse_slope")(values)
        return slope

    @property
    def padded_at_all(self) -> bool:
        """Whether networks of this kind can be padded: those with more than trained parameters cannot."""
        return not (self.fixed or self.habits.state or self.habits.random)

    def weights(self, trained: Weights, rates: Rates) -> Weights:
        """Everything of one network that differs between trials, by name: its parameters, its own buffers.

        Parameters
        ----------
        trained
            What is trained.
        rates
            The constants of the trial, with `FIXED` of the buffers that training changes.
        """
        weights = self.control.effective(trained, rates)
        own = self.fixed + self.habits.state
        return {**weights, **{name: rates[FIXED + name] for name in own}} if own else weights

    def predict(self, weights: Weights, x: Tensor) -> Tensor:
        """What the network with these weights gives for samples x, shape (samples, inputs), in evaluation."""
        with self._evaluating(x):
            return self._called(self._placed(weights), x)

    @contextmanager
    def _evaluating(self, x: Tensor) -> Iterator[None]:
        """The module as losses are taken; `Chance` draws nothing then, and knows a p of the trial's own."""
        none = torch.zeros((), dtype=torch.int64, device=x.device)
        own = self.habits.random and self.batched.attributes
        with (
            evaluating(self.module) if self.constructed else nullcontext(),
            Chance(torch.stack([none, none]), none) if own else nullcontext(),
        ):
            yield

    def passed(self, weights: Weights, x: Tensor, rates: Rates, step: Tensor) -> tuple[Tensor, Weights]:
        """A pass in training.

        Parameters
        ----------
        weights
            As `weights` gives them.
        x
            Samples, shape (samples, inputs).
        rates
            The constants of the trial.
        step
            Int64 scalar: the steps that it has done.

        Returns
        -------
        The prediction, and the buffers of the state as the pass leaves them.
        """
        state = self.habits.state
        if not state and not self.habits.random:  # as in most networks, where a step counts microseconds
            return self._called(self._placed(weights), x), {}
        own = {**weights, **{name: weights[name].clone() for name in state}}
        placed = self._placed(own)
        with Chance(rates[CHANCE], step) if self.habits.random else nullcontext():
            prediction = self._called(placed, x)
        left = {name: placed[self._place_of[name]] for name in state}
        for name, tensor in left.items():
            if tensor.shape != weights[name].shape or tensor.dtype != weights[name].dtype:
                raise ValueError(
                    f"a pass in training leaves the buffer '{name}' with shape {tuple(tensor.shape)} and "
                    f"{tensor.dtype}, and it had {tuple(weights[name].shape)} and {weights[name].dtype}; "
                    "keep both"
                )
        return prediction, left

    def _placed(self, weights: Weights) -> Weights:
        placed = {place: weights[name] for place, name in self._slots.items() if name in weights}
        own = self.batched.attributes
        return placed | {name: weights[name] for name in own} if own else placed

    @cached_property
    def _place_of(self) -> dict[str, str]:
        """One place of each parameter and buffer."""
        return {name: place for place, name in self._slots.items()}

    def _called(self, placed: Weights, x: Tensor) -> Tensor:
        names = self.batched.attributes
        own = {name: placed.pop(name) for name in names}
        with holding(self.module, own) if names else nullcontext():
            prediction: Tensor = functional_call(self.module, placed, (x,), tie_weights=False)
        return prediction

    def start(
        self, seed: int, init: str, arguments: Mapping[str, Value] | None = None
    ) -> tuple[dict[str, np.ndarray], frozenset[str]]:
        """Where a replicate's network starts.

        Parameters
        ----------
        seed
            Of the replicate.
        init
            `kaiming_normal`, `balanced`, or, of a module of the user's, `own`.
        arguments
            The batched ones.

        Returns
        -------
        Parameters, and buffers of its own, by name, at init_scale 1; and what init_scale multiplies.
        """
        generator = Streams(seed).generator("init")
        if not self.constructed:
            return dict(initial_weights(self.shapes, init, generator)), frozenset(self.shapes)
        module = self.construction.given(arguments or {}).module(seed)
        made = values_of(module)
        self._check_shared(made)
        if self.batched.names:
            check_alike(self.module, module, self.batched)
        own = attributes_in(module, self.batched.attributes)
        weights = {name: np.array(value) for name, value in own.items()}
        weights |= {name: made[name].numpy() for name in (*self.shapes, *self.varying, *self.habits.state)}
        if init == "balanced":
            matrices = {name: self.shapes[name] for name, matrix in self.drawn.items() if matrix}
            weights |= initial_weights(matrices, init, generator)
        if init == "kaiming_normal":
            normal = initial_weights(self.shapes, init, generator)
            weights |= {name: normal[name] for name, matrix in self.drawn.items() if matrix}
        if init != "own":
            weights |= {
                name: np.zeros(self.shapes[name]) for name, matrix in self.drawn.items() if not matrix
            }
        return weights, frozenset(self.drawn)

    def _check_shared(self, made: Mapping[str, Tensor]) -> None:
        """Refuse a replicate whose module holds another buffer than the one that all share.

        Some replicates were compared, not all: a buffer of few values may have been the same in those.
        """
        for name, buffer in self.module.named_buffers():
            own = name in self.varying or name in self.habits.state
            if not own and not torch.equal(buffer.cpu(), made[name].cpu()):
                raise PhasediagError(
                    f"the buffer '{name}' differs between replicates by rare chance, so that they cannot "
                    "share it; draw it from more values, or make it the same for all"
                )


def network_of(values: Mapping[str, Value], folder: Path) -> Network:
    """The network of a trial's record; user files are looked up in `folder`.

    Raises
    ------
    PhasediagError
        Where the model refuses the values, or cannot be trained.
    """
    settle_cache()
    task = component("task", str(values["task"]), folder)
    model = component("model", str(values["model"]), folder)
    inputs, outputs = sizes_of(task, values)
    dtype = DTYPES[str(values["dtype"])]
    construction = Construction(
        cls=model.cls, arguments=arguments_of(model.cls, model.parameters, values, inputs, outputs),
        dtype=dtype,
    )  # fmt: skip
    constructed = bool(model.source) or bool(stated(model.cls, "constructed"))
    module = _built(model, construction, constructed)
    with _asked(model, "its neuron_groups"):
        groups = neuron_groups_of(module, place_of(model.cls) if model.source else model.name)
    trained = {name: tuple(p.shape) for name, p in module.named_parameters() if p.requires_grad}
    control = control_of(values, trained, groups)
    habits, varying, batched = Habits(), tuple[str, ...](), Batched()
    if constructed:
        arguments = [p for p in model.parameters.values() if p.role is Role.BATCHED]
        batched = batched_of(construction, arguments, place_of(model.cls))
        others = OTHER_SEEDS if model.source else ()
        varying = (*varying_buffers(module, map(construction.module, others)), *batched.buffers)
        with _asked(model, "a first pass"):
            habits = habits_of(construction.module(CANONICAL_SEED), inputs, dtype, batched.attributes)
    return Network(
        module=module, task=task.cls, dtype=dtype, loss=loss_of(values, task.cls), groups=groups,
        control=control, descent=descent_of(values, folder, tuple(control.shapes)),
        sizes=(inputs, outputs), construction=construction,
        constructed=constructed, drawn=drawn_weights(module, groups),
        varying=tuple(name for name in dict.fromkeys(varying) if name not in habits.state), habits=habits,
        batched=batched,
    )  # fmt: skip


@contextmanager
def _asked(part: Component, doing: str) -> Iterator[None]:
    """Let code of the user's run; the process is as before, and what numbers follow from is refused."""
    if not part.source:
        yield
        return
    try:
        with kept_process(), at_work(part.cls, part.name, doing):
            yield
    except SettingError as error:
        raise PhasediagError(f"{place_of(part.cls)}: {part.name}: as it is used, {error}") from error


def sizes_of(task: Component, values: Mapping[str, Value]) -> tuple[int, int]:
    """Numbers of an input and of a target.

    Raises
    ------
    PhasediagError
        Where a task of the user does not give two whole numbers.
    """
    if not hasattr(task.cls, "sizes"):
        raise PhasediagError(f"{place_of(task.cls)}: {task.name} has no method 'sizes'; {_SIZES}")
    try:
        with _asked(task, "its sizes"):
            sizes = task.cls.sizes(values)
        inputs, outputs = sizes
    except PhasediagError:
        raise
    except Exception as error:
        raise PhasediagError(f"{explained(error, task.cls)}; {_SIZES}") from error
    if not all(isinstance(size, int) and size >= 1 for size in (inputs, outputs)):
        raise PhasediagError(f"{place_of(task.cls)}: {task.name}.sizes gives {sizes!r}; {_SIZES}")
    return inputs, outputs


def _built(model: Component, construction: Construction, constructed: bool) -> nn.Module:
    try:
        if not constructed:
            with torch.device("meta"):
                module: nn.Module = model.cls(**construction.arguments)
            return module
        if not issubclass(module_class(model.cls), nn.Module):
            raise PhasediagError(
                f"{place_of(model.cls)}: {model.name} is no torch.nn.Module; derive it from one"
            )
        module = construction.made(CANONICAL_SEED)
    except PhasediagError:
        raise
    except Exception as error:
        given = ", ".join(f"{name}={value!r}" for name, value in construction.arguments.items())
        raise PhasediagError(
            f"{explained(error, model.cls)}; model '{model.name}' cannot be built with {given}: change these "
            "values, or mend the model"
        ) from error
    if why := refusal(module):
        raise PhasediagError(f"{place_of(model.cls)}: {model.name} cannot be trained: {why}")
    return in_precision(module, construction.dtype)
