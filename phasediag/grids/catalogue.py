"""The parameters that apply to a grid: those of training, and of every task and model it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final

from phasediag.parameters import TRAINING
from phasediag.registry import Component, Kind, built_in, component
from phasediag.trial import Parameter, Value

LARGEST_INT: Final = 2**63 - 1
KINDS: Final[tuple[Kind, ...]] = ("task", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The components that a grid names, each by the value that names it."""

    tasks: Mapping[str, Component]
    models: Mapping[str, Component]
    extra: Mapping[str, tuple[Parameter, ...]]
    """Declarations of all built-in components, where a component of the grid could not be found."""

    def applicable(self, task: str, model: str) -> dict[str, Parameter]:
        """The parameters of a trial, in the order of its columns."""
        found = {parameter.name: parameter for parameter in TRAINING}
        for part in (self.tasks[task], self.models[model]):
            for name, parameter in part.parameters.items():
                found.setdefault(name, parameter)
        return found

    def declarations(self, name: str) -> tuple[Parameter, ...]:
        """Every declaration of a parameter that the grid may mean; empty where there is none."""
        training = tuple(p for p in TRAINING if p.name == name)
        parts = [*self.tasks.values(), *self.models.values()]
        declared = tuple(part.parameters[name] for part in parts if name in part.parameters)
        return training + declared or self.extra.get(name, ())

    def clashes(self) -> Iterator[tuple[Kind, str, str, str]]:
        """Names that a user's task or model shares with a model or task of the grid, by another parameter.

        Yields
        ------
        The kind and the name of the user's component, the parameter, and the component that has it too.
        """
        for task in self.tasks.values():
            for model in self.models.values():
                for name in task.parameters.keys() & model.parameters.keys():
                    if task.parameters[name] is model.parameters[name]:
                        continue
                    if model.source:
                        yield "model", model.name, name, f"task '{task.name}'"
                    elif task.source:
                        yield "task", task.name, name, f"model '{model.name}'"

    @property
    def parameters(self) -> dict[str, Parameter]:
        """One declaration of each parameter, in the order of the columns."""
        parts = [*self.tasks.values(), *self.models.values()]
        names = [p.name for p in TRAINING] + [name for part in parts for name in part.parameters]
        return {name: self.declarations(name)[0] for name in dict.fromkeys([*names, *self.extra])}


def owners(name: str, folder: Path) -> tuple[str, ...]:
    """The built-in tasks and models that have a parameter, in words."""
    return tuple(
        f"{kind} '{part}'"
        for kind in KINDS
        for part in built_in(kind)
        if name in component(kind, part, folder).parameters
    )


def all_declarations(folder: Path) -> dict[str, tuple[Parameter, ...]]:
    """The declarations of every built-in task and model, by name."""
    found: dict[str, tuple[Parameter, ...]] = {}
    for kind in KINDS:
        for part in built_in(kind):
            for name, parameter in component(kind, part, folder).parameters.items():
                found[name] = (*found.get(name, ()), parameter)
    return found


def validated(value: object, declarations: Iterable[Parameter]) -> Value:
    """The value in the parameter's type, where every declaration of it admits the value.

    Raises
    ------
    ValueError
        Where one does not, or the value is not finite or too large for 64 bits.
    """
    numbers = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(number, float) and not isfinite(number) for number in numbers):
        raise ValueError("must be finite")
    if any(isinstance(number, int) and abs(number) > LARGEST_INT for number in numbers):
        raise ValueError("must fit into 64 bits")
    first, *others = [declaration.validate(value) for declaration in declarations]
    del others
    return first
