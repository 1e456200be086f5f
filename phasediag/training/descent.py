"""How a network goes from a gradient to its next weights: optimizer, schedule, clipping, rates of layers.

All of it is written for one network. What each trial has of its own stands among its constants.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.ramp import ramp_of
from phasediag.registry import Component, component
from phasediag.source_lines import explained, place_of
from phasediag.training.optimizers import GradientOf, Moments, Optimizer, Rates, Weights
from phasediag.training.schedules import Schedule
from phasediag.trial import Role, Value
from phasediag.user_code.work import at_work

LENGTH: Final = "schedule/steps"
"""Steps of a trial or of a stage of its ramp, among its constants where its rate changes, float64."""
WARMUP: Final = "schedule/warmup"
"""Steps of the warm-up, where there is one, float64."""
CLIP: Final = "gradient_clip"
FACTOR: Final = "layer_rates/"
"""How the name begins that ends with the position of a layer: its rate over that of the fastest one."""
FASTEST: Final = FACTOR + "fastest"
"""Rate of the fastest layer over the learning rate."""
ROUNDING: Final = 1e-6
"""Added to a norm that is divided by, as `torch.nn.utils.clip_grad_norm_` does."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """A class that a grid names, with the values that the trials of a structure share."""

    component: Component
    shared: Mapping[str, Any]
    """Arguments of its constructor."""
    batched: tuple[str, ...]
    """Arguments of which each trial has its own."""

    def made(self, rates: Rates) -> Any:
        """The object for a trial, of these constants."""
        own = {name: rates[self.constant(name)] for name in self.batched}
        return self.component.cls(**self.shared, **own)

    def constants(self, records: Sequence[Mapping[str, Value]], dtype: torch.dtype) -> dict[str, Tensor]:
        """The arguments of which each trial has its own, with a leading axis of trials."""
        return {self.constant(n): torch.tensor([r[n] for r in records], dtype=dtype) for n in self.batched}

    def constant(self, name: str) -> str:
        """Under which name an argument stands among the constants of a trial."""
        return f"{self.component.kind}/{name}"


def chosen(part: Component, values: Mapping[str, Value]) -> Chosen:
    """A component with the values of a trial's record."""
    batched = tuple(name for name, each in part.parameters.items() if each.role is Role.BATCHED)
    shared = {n: p.argument(values[n]) for n, p in part.parameters.items() if n not in batched}
    return Chosen(component=part, shared=shared, batched=batched)


ONE_NUMBER: Final = "give one number: a tensor of shape () made of `step` and `steps`, or a plain float"
"""What a schedule gives."""


class Descent:
    """What makes the next weights of one network out of the gradient of its loss.

    Parameters
    ----------
    optimizer, schedule
        Of a structure.
    warming
        Whether the rate rises in the first steps.
    clipping
        Whether gradients are clipped.
    layers
        Of each layer the names of what is trained, where layers have rates of their own; else none.
    staged
        Whether the schedule begins anew with every stage of a ramp.

    Attributes
    ----------
    moments
        What is kept from step to step, by name.
    scheduled
        Whether the rate changes.

    Raises
    ------
    PhasediagError
        Where a class of the user's cannot be used.
    """

    def __init__(
        self, optimizer: Chosen, schedule: Chosen, *, warming: bool = False, clipping: bool = False,
        layers: Sequence[Sequence[str]] = (), staged: bool = False,
    ) -> None:  # fmt: skip
        self.staged = staged
        self.optimizer, self.schedule = optimizer, schedule
        self.warming, self.clipping = warming, clipping
        self.layers = {name: number for number, names in enumerate(layers) for name in names}
        with _constructing(optimizer):
            first = _example(optimizer)
            self.moments = _moments(first, optimizer.component)
        with _constructing(schedule):
            _check_schedule(_example(schedule), schedule.component)
        self.scheduled = warming or schedule.component.name != "constant"
        self._settled: Optimizer | None = None if optimizer.batched else first
        self._looks = "gradient_of" in inspect.signature(first.update).parameters

    @property
    def decoupled(self) -> bool | None:
        """Whether the decay acts beside the gradient; None where the optimizer does not say so."""
        stated: bool | None = getattr(self.optimizer.component.cls, "decoupled", None)
        return stated

    @property
    def users(self) -> bool:
        """Whether an optimizer of the user's trains."""
        return bool(self.optimizer.component.source)

    def through(self, optimizer: Optimizer) -> Descent:
        """A descent by this optimizer in place of those that are made for the trials."""
        changed = copy(self)
        changed._settled = optimizer
        return changed

    def constants(
        self, records: Sequence[Mapping[str, Value]], dtype: torch.dtype, device: torch.device
    ) -> dict[str, Tensor]:
        """What each trial has of its own and stays as it is, with a leading axis of trials."""

        def column(values: Sequence[Any], kind: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=kind)

        constants = self.optimizer.constants(records, dtype)
        if self.scheduled:
            constants |= self.schedule.constants(records, torch.float64)
            constants[LENGTH] = column([record["steps"] for record in records], torch.float64)
        if self.warming:
            constants[WARMUP] = column([record["warmup_steps"] for record in records], torch.float64)
        if self.clipping:
            constants[CLIP] = column([record["gradient_clip"] for record in records], dtype)
        if self.layers:
            rates = column([record["layer_rates"] for record in records], torch.float64)
            fastest = rates.amax(dim=1)
            constants[FASTEST] = fastest.to(dtype)
            for number, rate in enumerate((rates / fastest[:, None]).to(dtype).unbind(1)):
                constants[f"{FACTOR}{number}"] = rate
        return {name: constant.to(device) for name, constant in constants.items()}

    def clipped(self, gradient: Weights, rates: Rates) -> Weights:
        """A gradient of one network, shortened as a whole where it is longer than `gradient_clip`."""
        if not self.clipping:
            return gradient
        norm = torch.stack([part.square().sum() for part in gradient.values()]).sum().sqrt()
        share = torch.clamp(rates[CLIP] / (norm + ROUNDING), max=1.0)
        return {name: share * part for name, part in gradient.items()}

    def factor(self, rates: Rates, step: Tensor) -> Tensor:
        """What multiplies the learning rate of one trial at a step that is counted from 1; float64."""
        done, steps = step.to(torch.float64) - 1, rates[LENGTH]
        if self.staged:
            done = done - torch.floor(done / steps) * steps
        if not self.warming:
            return self._factor(rates, done, steps)
        warm = rates[WARMUP]
        later = self._factor(rates, torch.clamp(done - warm, min=0.0), steps - warm)
        return torch.where(done < warm, (done + 1) / warm, later)

    def _factor(self, rates: Rates, step: Tensor, steps: Tensor) -> Tensor:
        """What the schedule gives; a plain number of a user's holds at every step."""
        schedule: Schedule = self.schedule.made(rates)
        factor: Any = schedule.factor(step, steps)
        if isinstance(factor, int | float):
            return 0 * step + factor
        if not isinstance(factor, Tensor):
            named = self.schedule.component
            raise PhasediagError(
                f"{place_of(named.cls)}: {named.name}.factor gives {factor!r:.60}; {ONE_NUMBER}"
            )
        return factor

    def update(
        self, weights: Weights, gradient: Weights, moments: Moments, rates: Rates, step: Tensor,
        gradient_of: GradientOf,
    ) -> tuple[Weights, Moments]:  # fmt: skip
        """One step of one network; see `Optimizer.update`.

        Parameters
        ----------
        rates
            All constants of the trial.
        """
        optimizer = self._settled or self.optimizer.made(rates)
        rate = rates["learning_rate"]
        if self.scheduled:
            rate = (rate * self.factor(rates, step)).to(rate.dtype)
        if self.layers:
            rate = rate * rates[FASTEST]
        given = {"learning_rate": rate, "weight_decay": rates["weight_decay"]}
        more = {"gradient_of": gradient_of} if self._looks else {}
        moved, kept = optimizer.update(weights, gradient, moments, given, step, **more)
        if self.layers:
            moved = {n: _part_of_the_way(w, moved[n], rates[self._share(n)]) for n, w in weights.items()}
        return moved, kept

    def moving(self, rates: Rates) -> Weights:
        """For what is trained in layers with rates of their own: 1 where the rate is positive, else 0.

        Each float64 of the shape of a rate, by name; none where all layers share a rate.
        """
        return {name: (rates[self._share(name)] > 0).to(torch.float64) for name in self.layers}

    def _share(self, name: str) -> str:
        return f"{FACTOR}{self.layers[name]}"


def _part_of_the_way(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """`torch.lerp`, exact at both ends: a layer whose rate is 0 stays as it is."""
    way = end - start
    return torch.where(share < 0.5, start + share * way, end - (1 - share) * way)


def descent_of(values: Mapping[str, Value], folder: Path, trained: Sequence[str]) -> Descent:
    """By what a trial's record is trained.

    Parameters
    ----------
    folder
        Where user files are.
    trained
        The names of what is trained; before those of a parameter may stand what a control makes of it.

    Raises
    ------
    PhasediagError
        Where a class of the user's cannot be used, or the network has another number of layers than the
        record has rates for them.
    """
    optimizer, schedule = (
        chosen(component(kind, str(values[kind]), folder), values) for kind in ("optimizer", "schedule")
    )
    return Descent(
        optimizer, schedule, warming=bool(values["warmup_steps"]),
        clipping=values["gradient_clip"] is not None, layers=_layers(values, trained),
        staged=ramp_of(values) is not None,
    )  # fmt: skip


def _layers(values: Mapping[str, Value], trained: Sequence[str]) -> list[list[str]]:
    """The names of what is trained, layer by layer: of one module each; none where they share a rate."""
    rates = values["layer_rates"]
    if not isinstance(rates, tuple):
        return []
    layers: dict[str, list[str]] = {}
    for name in trained:
        layers.setdefault(name.rpartition("/")[2].rpartition(".")[0], []).append(name)
    if len(layers) != len(rates):
        paths = "; ".join(path or "the network itself" for path in layers)
        raise PhasediagError(
            f"layer_rates has {len(rates)} rates, and model '{values['model']}' has {len(layers)} layers "
            f"here; give one for each, in this order: {paths}"
        )
    return list(layers.values())


def _constructing(part: Chosen) -> AbstractContextManager[None]:
    """Tell whoever looks that an object of this class is made."""
    return at_work(part.component.cls, part.component.name, "its constructor")


def _example(part: Chosen) -> Any:
    """The object of some trial, with numbers of 1/2 where each has its own."""
    named = part.component
    try:
        return part.made({part.constant(name): torch.tensor(0.5) for name in part.batched})
    except Exception as error:
        given = ", ".join([*(f"{n}={v!r}" for n, v in part.shared.items()), *part.batched])
        raise PhasediagError(
            f"{explained(error, named.cls)}; {named.kind} '{named.name}' cannot be made with {given}: "
            "instead of floats it is given tensors of shape (), one a trial; check values by Annotated "
            "types, or name an argument in `structural = (...)` to be given the number itself"
        ) from error


def _moments(optimizer: Any, part: Component) -> tuple[str, ...]:
    """The names of what an optimizer keeps."""
    if not callable(getattr(optimizer, "update", None)):
        raise PhasediagError(
            f"{place_of(part.cls)}: {part.name} has no method 'update'; write "
            "def update(self, weights, gradient, moments, rates, step), which gives new weights and moments"
        )
    names = getattr(optimizer, "moments", ())
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) and name for name in names):
        raise PhasediagError(
            f"{place_of(part.cls)}: {part.name}.moments is {names!r:.60}; write a tuple of names, such as "
            "moments = ('velocity',)"
        )
    return tuple(names)


def _check_schedule(schedule: Any, part: Component) -> None:
    if not callable(getattr(schedule, "factor", None)):
        raise PhasediagError(
            f"{place_of(part.cls)}: {part.name} has no method 'factor'; write def factor(self, step, steps), "
            "which gives what multiplies learning_rate at a step"
        )
