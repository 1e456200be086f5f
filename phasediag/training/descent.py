"""How a network goes from a gradient to its next weights: the classes that a grid names for that, as used."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.registry import Component, component
from phasediag.source_lines import place_of, told
from phasediag.training.optimizers import GradientOf, Moments, Optimizer, Rates, Weights
from phasediag.trial import Role, Value


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

    def constants(
        self, records: Sequence[Mapping[str, Value]], dtype: torch.dtype, device: torch.device
    ) -> dict[str, Tensor]:
        """The arguments of which each trial has its own: floats of this type, whole numbers int64."""
        return {
            self.constant(name): _numbers([record[name] for record in records], dtype).to(device)
            for name in self.batched
        }

    def constant(self, name: str) -> str:
        """Under which name an argument stands among the constants of a trial."""
        return f"{self.component.kind}/{name}"


def _numbers(values: Sequence[Value], dtype: torch.dtype) -> Tensor:
    whole = all(isinstance(value, int) for value in values)
    return torch.tensor(values, dtype=torch.int64 if whole else dtype)


def chosen(part: Component, values: Mapping[str, Value]) -> Chosen:
    """A component with the values of a trial's record."""
    batched = tuple(name for name, each in part.parameters.items() if each.role is Role.BATCHED)
    shared = {n: p.argument(values[n]) for n, p in part.parameters.items() if n not in batched}
    return Chosen(component=part, shared=shared, batched=batched)


class Descent:
    """What makes the next weights of one network out of the gradient of its loss.

    Parameters
    ----------
    optimizer
        Of a structure.

    Attributes
    ----------
    moments
        What is kept from step to step, by name.

    Raises
    ------
    PhasediagError
        Where a class of the user's cannot be used.
    """

    def __init__(self, optimizer: Chosen) -> None:
        self.optimizer = optimizer
        first = _example(optimizer)
        self.moments = _moments(first, optimizer.component)
        self._settled: Optimizer | None = None if optimizer.batched else first
        self._looks = "gradient_of" in inspect.signature(first.update).parameters

    @property
    def decoupled(self) -> bool | None:
        """See `Optimizer.decoupled`."""
        return getattr(self.optimizer.component.cls, "decoupled", None)

    @property
    def users(self) -> bool:
        """Whether code of the user's takes part."""
        return bool(self.optimizer.component.source)

    def constants(
        self, records: Sequence[Mapping[str, Value]], dtype: torch.dtype, device: torch.device
    ) -> dict[str, Tensor]:
        """What each trial has of its own and stays as it is, with a leading axis of trials."""
        return self.optimizer.constants(records, dtype, device)

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
        given = {name: rates[name] for name in ("learning_rate", "weight_decay")}
        more = {"gradient_of": gradient_of} if self._looks else {}
        return optimizer.update(weights, gradient, moments, given, step, **more)


def descent_of(values: Mapping[str, Value], folder: Path) -> Descent:
    """By what a trial's record is trained; user files are looked up in `folder`."""
    return Descent(chosen(component("optimizer", str(values["optimizer"]), folder), values))


def _example(part: Chosen) -> Any:
    """The object of some trial, with numbers of 1/2 where each has its own."""
    named = part.component
    try:
        return part.made({part.constant(name): torch.tensor(0.5) for name in part.batched})
    except Exception as error:
        given = ", ".join([*(f"{n}={v!r}" for n, v in part.shared.items()), *part.batched])
        raise PhasediagError(
            f"{told(error, named.cls)}; {named.kind} '{named.name}' cannot be made with {given}: instead of "
            "floats it is given tensors of shape (), one a trial; check values by Annotated types, or name "
            "an argument in `structural = (...)` to be given the number itself"
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
