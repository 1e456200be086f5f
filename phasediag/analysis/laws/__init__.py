"""The laws that are compared: every module of this folder states one, as `LAW`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from phasediag.analysis.law import Law


def _declared() -> tuple[Law, ...]:
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return tuple(sorted((module.LAW for module in modules), key=lambda one: (one.price, one.name)))


LAWS: Final[tuple[Law, ...]] = _declared()
"""Simple ones first; of laws with a direction, only those in that of the counts are compared."""
REFERENCE: Final[Law] = next(one for one in LAWS if one.reference)
"""The law whose exponent is stated: the power law."""


def law(name: str) -> Law:
    """One of the compared laws."""
    return next(one for one in LAWS if one.name == name)
