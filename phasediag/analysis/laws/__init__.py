"""The laws that are compared: every module of this folder states one, as `LAW`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Final

import numpy as np

from phasediag.analysis.law import Law
from phasediag.errors import AnalysisError

_PROBE: Final = np.geomspace(0.01, 1, 12)
"""Values of x at which every law is tried before it is compared."""


def checked_law(module: ModuleType) -> Law:
    """The law that a module states, tried on two sets of counts.

    Raises
    ------
    AnalysisError
        Where the module has no `LAW`, or one whose fit or mean gives no numbers of the right shape.
    """
    file = getattr(module, "__file__", None) or module.__name__
    one = getattr(module, "LAW", None)
    if not isinstance(one, Law):
        kind = "no LAW" if one is None else f"LAW = {one!r}, which is no Law"
        raise AnalysisError(
            f"{file}: the module has {kind}; a module of this folder states one law as LAW = Law(name=..., "
            "...) of phasediag.analysis.law"
        )
    means = np.stack([3 * _PROBE**-0.5, 20 / (1 + 5 * _PROBE)])
    if one.direction == "growing":
        means = means[:, ::-1]
    try:
        parameters = np.asarray(one.fit(_PROBE, means, np.full_like(means, 5.0)), dtype=np.float64)
    except Exception as error:
        raise AnalysisError(
            f"{file}: the fit of the law '{one.name}' ends in {type(error).__name__}: {error}; it is called "
            f"as fit(x, means, weights) with shapes ({len(_PROBE)},), (2, {len(_PROBE)}) and "
            f"(2, {len(_PROBE)})"
        ) from error
    wanted = (2, len(one.parameters))
    if parameters.shape != wanted:
        raise AnalysisError(
            f"{file}: the fit of the law '{one.name}' gives parameters of shape {parameters.shape} for 2 "
            f"problems, and the law names {len(one.parameters)} ({', '.join(one.parameters)}); it must give "
            f"{wanted}"
        )
    try:
        curve = one.curve(_PROBE, parameters[0])
    except Exception as error:
        raise AnalysisError(
            f"{file}: the mean of the law '{one.name}' ends in {type(error).__name__}: {error}; it is called "
            f"as mean(x, parameters) with shapes ({len(_PROBE)},) and ({wanted[1]},)"
        ) from error
    if curve.shape != _PROBE.shape or not np.isfinite(curve).all():
        raise AnalysisError(
            f"{file}: the mean of the law '{one.name}' gives "
            f"{f'shape {curve.shape}' if curve.shape != _PROBE.shape else 'what is no number'} at its own "
            f"fitted parameters; it must give {len(_PROBE)} finite numbers for {len(_PROBE)} values of x"
        )
    return one


def _declared() -> tuple[Law, ...]:
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    laws = [checked_law(module) for module in modules]
    return tuple(sorted(laws, key=lambda one: (len(one.parameters), one.name)))


LAWS: Final[tuple[Law, ...]] = _declared()
"""Simple ones first; of laws with a direction, only those in that of the counts are compared."""
REFERENCE: Final[Law] = next(one for one in LAWS if one.reference)
"""The law whose exponent is stated: the power law."""


def law(name: str) -> Law:
    """One of the compared laws."""
    return next(one for one in LAWS if one.name == name)
