"""Arguments of a user's constructor in which trials of one program differ, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor, nn

from phasediag.errors import PhasediagError
from phasediag.training.construction import (
    CANONICAL_SEED,
    Construction,
    plain_attributes,
    values_of,
    varying_buffers,
)
from phasediag.trial import Parameter, Value, number

_CHANGES: Final = ((1.5, 0.25), (0.5, 0.0), (0.9, 0.0), (1.1, 0.0), (1.0, 0.125), (1.0, -0.125))
"""Factors and shifts that make another value of an argument, to be tried in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batched:
    """Arguments of a module's constructor that are numbers per trial in one program, and what they set."""

    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    """Floats that the module and its parts hold; each trial has its own, as a tensor."""
    buffers: tuple[str, ...] = ()

    def of(self, record: Mapping[str, Value]) -> dict[str, Value]:
        """The arguments of a trial."""
        return {name: record[name] for name in self.names}


def batched_of(construction: Construction, parameters: Sequence[Parameter], place: str) -> Batched:
    """What follows from each of some arguments: the module is made with another value of it.

    Parameters
    ----------
    parameters
        The arguments, floats.
    place
        Of the class, for messages.

    Raises
    ------
    PhasediagError
        Where something else changes than floats among attributes, buffers, and the values that parameters
        start from.
    """
    if not parameters:
        return Batched()
    for parameter in parameters:
        if parameter.kind is not float:
            raise PhasediagError(
                f"{place}: the parameter '{parameter.name}' is declared as batched and is no float; declare "
                "it with role=Role.STRUCTURAL"
            )
    first = construction.module(CANONICAL_SEED)
    attributes: dict[str, None] = {}
    buffers: dict[str, None] = {}
    for parameter in parameters:
        other = _made_otherwise(construction, parameter, place)
        buffers |= dict.fromkeys(varying_buffers(first, [other]))
        attributes |= dict.fromkeys(_moved(first, other, parameter.name, place))
    return Batched(
        names=tuple(p.name for p in parameters), attributes=tuple(attributes), buffers=tuple(buffers)
    )


def _made_otherwise(construction: Construction, parameter: Parameter, place: str) -> nn.Module:
    value = number(construction.arguments[parameter.name])
    for factor, shift in _CHANGES:
        try:
            other = parameter.validate(factor * value + shift)
            return construction.given({parameter.name: other}).module(CANONICAL_SEED)
        except Exception:
            continue
    raise PhasediagError(
        f"{place}: no other value of the batched argument '{parameter.name}' than {value:g} was found that "
        "its constructor takes; leave it out of `batched`"
    )


def _moved(first: nn.Module, other: nn.Module, argument: str, place: str) -> list[str]:
    """The floats in which two modules differ."""
    one, two = plain_attributes(first), plain_attributes(other)
    changed = [name for name in {**one, **two} if one.get(name) != two.get(name)]
    for name in changed:
        if not (isinstance(one.get(name), float) and isinstance(two.get(name), float)):
            _refuse(name, argument, place)
    held, others = values_of(first), values_of(other)
    for name in {**held, **others}:
        if name not in held or name not in others or held[name].shape != others[name].shape:
            _refuse(name, argument, place)
    return changed


def _refuse(name: str, argument: str, place: str) -> None:
    raise PhasediagError(
        f"{place}: '{name}' changes with the argument '{argument}', which the class states as batched, and "
        "is neither a float nor a tensor of one shape; leave it out of `batched`"
    )


def check_alike(module: nn.Module, other: nn.Module, batched: Batched) -> None:
    """Refuse the module of a trial that differs from the one that all share by more than was found before."""
    one, two = plain_attributes(module), plain_attributes(other)
    for name in {**one, **two}:
        if name not in batched.attributes and one.get(name) != two.get(name):
            raise PhasediagError(
                f"the attribute '{name}' is {two.get(name)!r} for a trial and {one.get(name)!r} for another "
                f"that differs from it in {', '.join(batched.names)} alone; leave that out of `batched`"
            )


def attributes_in(module: nn.Module, names: Sequence[str]) -> dict[str, float]:
    """The floats of a module, by name."""
    held = plain_attributes(module)
    return {name: float(held[name]) for name in names}  # type: ignore[arg-type]


@contextmanager
def holding(module: nn.Module, attributes: Mapping[str, Tensor]) -> Iterator[None]:
    """The module with tensors in place of some of its floats, for a while."""
    parts = {name: module.get_submodule(name.rpartition(".")[0]) for name in attributes}
    before: dict[str, Any] = {name: getattr(part, _leaf(name)) for name, part in parts.items()}
    try:
        for name, part in parts.items():
            setattr(part, _leaf(name), attributes[name])
        yield
    finally:
        for name, part in parts.items():
            setattr(part, _leaf(name), before[name])


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
