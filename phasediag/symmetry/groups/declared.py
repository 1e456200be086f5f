"""The symmetries that follow from what a network tells of its layers and heads (Table 1)."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from phasediag.symmetry.groups.neuron_symmetry import NeuronSymmetry
from phasediag.symmetry.neurons import NeuronGroup


def declared(groups: Iterable[NeuronGroup]) -> list[NeuronSymmetry]:
    """The symmetries that follow from what the layers state (`NeuronSymmetry.follows_from`)."""
    return [cls(group) for group in groups for cls in neuron_symmetries() if cls.follows_from(group)]


@cache
def neuron_symmetries() -> tuple[type[NeuronSymmetry], ...]:
    """The symmetries of neurons that the modules of this folder define, by the names of the modules."""
    package = "phasediag.symmetry.groups"
    names = [f"{package}.{module.name}" for module in iter_modules(import_module(package).__path__)]
    classes = [(name, each) for name in names for each in vars(import_module(name)).values()]
    own = [each for name, each in classes if inspect.isclass(each) and each.__module__ == name]
    return tuple(each for each in own if issubclass(each, NeuronSymmetry) and not inspect.isabstract(each))
