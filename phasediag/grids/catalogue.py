"""The parameters that apply to a grid: those of training, and of every class that it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from pathlib import Path
from typing import Final

from phasediag.parameters import TRAINING
from phasediag.registry import Component, built_in, component
from phasediag.trial import KINDS, ComponentKind, Parameter, Value

LARGEST_INT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The components that a grid names, each by the value that names it."""

    named: Mapping[ComponentKind, Mapping[str, Component]]
    extra: Mapping[str, tuple[Parameter, ...]]
    """Declarations of all built-in components, where a component of the grid is unknown."""
    training: tuple[Parameter, ...] = TRAINING
    """The parameters that every trial of the grid has."""

    @property
    def components(self) -> tuple[Component, ...]:
        """All of them."""
        return tuple(part for parts in self.named.values() for part in parts.values())

    def of(self, names: Mapping[ComponentKind, str]) -> dict[ComponentKind, Component]:
        """The components that a trial names."""
        return {kind: self.named[kind][name] for kind, name in names.items()}

    def declarations(self, name: str) -> tuple[Parameter, ...]:
        """Every declaration of a parameter that the grid may mean; empty where there is none."""
        return self.declared(name) or self.extra.get(name, ())

    def declared(self, name: str) -> tuple[Parameter, ...]:
        """The declarations of a parameter by training and by the components that are known."""
        training = [p for p in TRAINING if p.name == name]
        parts = [part.parameters[name] for part in self.components if name in part.parameters]
        return tuple({id(parameter): parameter for parameter in [*training, *parts]}.values())

    def clashes(self) -> Iterator[tuple[ComponentKind, str, str, str]]:
        """Names that a user's class shares with another kind of class of the grid, by another parameter.

        Yields
        ------
        The kind and the name of the user's component, the parameter, and the component that has it too.
        """
        for one, other in combinations(self.components, 2):
            for name in one.parameters.keys() & other.parameters.keys():
                if one.kind == other.kind or one.parameters[name] is other.parameters[name]:
                    continue
                if other.source:
                    yield other.kind, other.name, name, f"{one.kind} '{one.name}'"
                elif one.source:
                    yield one.kind, one.name, name, f"{other.kind} '{other.name}'"

    @property
    def parameters(self) -> dict[str, Parameter]:
        """One declaration of each parameter, in the order of the columns."""
        training = {p.name: p for p in self.training}
        names = [*training, *(name for part in self.components for name in part.parameters), *self.extra]
        return {n: training[n] if n in training else self.declarations(n)[0] for n in dict.fromkeys(names)}


def applicable(
    components: Iterable[Component], training: Iterable[Parameter] = TRAINING
) -> dict[str, Parameter]:
    """The parameters of a trial of these, in the order of its columns.

    A name that training has too is declared anew by an optimizer of the user's, with a default of its own.

    Parameters
    ----------
    training
        Those of every trial of the grid.
    """
    parameters = {parameter.name: parameter for parameter in training}
    for part in components:
        for name, parameter in part.parameters.items():
            if name not in parameters or part.kind == "optimizer":
                parameters[name] = parameter
    return parameters


def owners(name: str, folder: Path) -> tuple[str, ...]:
    """The built-in classes that have a parameter, in words."""
    return tuple(
        f"{kind} '{part}'"
        for kind in KINDS
        for part in built_in(kind)
        if name in component(kind, part, folder).parameters
    )


def all_declarations(folder: Path) -> dict[str, tuple[Parameter, ...]]:
    """The declarations of every built-in class, by name."""
    declarations: dict[str, tuple[Parameter, ...]] = {}
    for kind in KINDS:
        for part in built_in(kind):
            for name, parameter in component(kind, part, folder).parameters.items():
                declarations[name] = (*declarations.get(name, ()), parameter)
    return declarations


def validated(value: object, declarations: Iterable[Parameter]) -> Value:
    """The value in the parameter's type, where every declaration of it admits the value.

    Raises
    ------
    ValueError
        Where one does not, or the value is not finite or too large for 64 bits.
    """
    _require_finite(value if isinstance(value, list | tuple) else [value])
    admitted = [declaration.validate(value) for declaration in declarations]
    return admitted[0]


def all_validated(values: Sequence[object], declarations: Iterable[Parameter]) -> list[Value]:
    """What `validated` makes of each of many values that are no lists, in a fraction of its time.

    Raises
    ------
    ValueError
        Where any of them is refused.
    """
    _require_finite(values)
    admitted = [declaration.validate_all(values) for declaration in declarations]
    return admitted[0]


def _require_finite(numbers: Iterable[object]) -> None:
    for number in numbers:
        if isinstance(number, float) and not isfinite(number):
            raise ValueError("must be finite")
        if isinstance(number, int) and abs(number) > LARGEST_INT:
            raise ValueError("must fit into 64 bits")
