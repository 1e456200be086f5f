"""The observables by name: one file each, and the user's own (`my_obs.py:Curvature`).

Phasediag's own are the files of this folder, and the symmetries that say how they are recorded.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Final

from phasediag.columns import DERIVED_COLUMNS, RESULT_COLUMNS, Column
from phasediag.errors import INTERRUPTED, RefusedError, nearest
from phasediag.observables.observable import DistanceObservable, Observable
from phasediag.observables.symmetries import symmetry_observables
from phasediag.registry import UserClass, source_hash, user_class
from phasediag.source_lines import explained, place_of
from phasediag.user_code.apart import withstood
from phasediag.user_code.imports import relative_name
from phasediag.user_code.work import EndedError, at_work

ALWAYS: Final = ("permutation", "sign_flip", "classes")
"""Measured on `measure.layer` of every trial; `directions` besides where it is of homogeneity 1."""
DEFINITIONS: Final = 2
"""Version of what the counts mean, recorded with each trial: statistics do not mix two of them.

1 (null in the record): `permutation` by the order of norm, s over all neurons, dead ones too.
2: `permutation` by the minimum spanning tree, s of living neurons, `neuron_count` of layers of homogeneity 1
   by `directions`.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UserObservable:
    """An observable of the user's, with all that it rests on."""

    name: str
    observable: Observable
    source: str
    """Hash of its files, part of the identity of what it measured."""
    code: Mapping[str, bytes] = field(repr=False)
    """Content of its files by name from the grid."""


@cache
def built_in() -> Mapping[str, Observable]:
    """Phasediag's own observables by name: the classes of this folder that state one, and the symmetries."""
    folder = import_module("phasediag.observables").__path__
    modules = [
        import_module(f"phasediag.observables.{module.name}")
        for module in iter_modules(folder)
        if not module.name.startswith("_")
    ]
    classes = [c for module in modules for c in vars(module).values() if inspect.isclass(c)]
    made = [c() for c in classes if issubclass(c, Observable) and c.name and not inspect.isabstract(c)]
    made += symmetry_observables()
    return {each.name: each for each in sorted(made, key=lambda each: each.name)}


@cache
def distance_observables() -> Mapping[str, DistanceObservable]:
    """Phasediag's own observables that are counted, by name."""
    return {name: each for name, each in built_in().items() if isinstance(each, DistanceObservable)}


def check_name(name: str) -> str:
    """The name of an observable, as a grid may give it.

    Raises
    ------
    ValueError
        Where it is neither a built-in one nor of the form `file.py:Class`.
    """
    if name in built_in() or ":" in name:
        return name
    known = ", ".join(built_in())
    raise ValueError(f"{nearest(name, built_in()) or 'have'} one of {known}, or my_obs.py:Class")


def observable_of(name: str, folder: Path) -> Observable:
    """An observable by its name; a user's file is looked up in `folder`.

    Raises
    ------
    ValueError
        Where there is no such observable; says what there is.
    """
    return user_observable(name, folder).observable if ":" in name else built_in()[check_name(name)]


def user_observable(name: str, folder: Path) -> UserObservable:
    """An observable of the user's.

    Raises
    ------
    ValueError
        Where the file or the class is missing or is no observable; says where and what to do.
    """
    own = user_class("observable", name, folder)
    opened = {relative_name(path, folder.resolve()): path.read_bytes() for path in own.loaded.opened}
    code = {**opened, **own.code}
    return UserObservable(name=name, observable=_made(own, name), source=source_hash(code), code=code)


def _made(own: UserClass, name: str) -> Observable:
    cls, place = own.cls, place_of(own.cls)
    kinds = "NumberObservable, SpectrumObservable or DistanceObservable of phasediag.observables.observable"
    if not issubclass(cls, Observable):
        raise RefusedError(f"{place}: {cls.__name__} is no observable", f"derive it from {kinds}")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise RefusedError(f"{place}: {cls.__name__} lacks {missing}", "write that method")
    try:
        _check_constructor(cls, name)
        made = _constructed(cls, name)
    except EndedError as error:
        raise RefusedError(error.problem, error.remedy) from error
    except (Exception, SystemExit) as error:
        if getattr(error, "code", None) == INTERRUPTED:
            raise
        raise ValueError(f"{explained(error, cls)} [{name}: its constructor]") from error
    _check_columns(made, place)
    return made


@cache
def _check_constructor(cls: type[Observable], name: str) -> None:
    """See once that making an observable ends no process."""
    withstood(partial(_constructed, cls, name))


def _constructed(cls: type[Observable], name: str) -> Observable:
    with at_work(cls, name, "its constructor"):
        return cls()


def _check_columns(made: Observable, place: str) -> None:
    """Refuse columns that are none, or whose names are taken."""
    taken = {*RESULT_COLUMNS, *DERIVED_COLUMNS, *(c.name for c in declared_columns(built_in().values()))}
    for column in made.filled:
        if not isinstance(column, Column):
            raise RefusedError(
                f"{place}: columns holds {column!r:.60}", "write phasediag.columns.Column(...)"
            )
        if not column.name.isidentifier():
            raise RefusedError(
                f"{place}: the column '{column.name}' is no name", "write letters, digits and _"
            )
        if column.type not in ("float64", "int64", "bool"):
            raise RefusedError(f"{place}: the column '{column.name}' is {column.type}", "numbers are float64")
        if column.name in taken:
            raise RefusedError(
                f"{place}: the column '{column.name}' is one of phasediag's", "call it otherwise"
            )
    if not made.columns and not isinstance(made, DistanceObservable):
        raise RefusedError(f"{place}: it declares no columns", "write columns = (Column(name=...),)")
    for name, columns in (("starting", made.starting), ("highest", made.highest)):
        if columns and len(columns) != len(made.columns):
            raise ValueError(f"{place}: {name} has {len(columns)} columns, columns {len(made.columns)}")


def declared_columns(observables: Iterable[Observable]) -> tuple[Column, ...]:
    """The columns of `trials` that observables fill, besides those that every sweep has."""
    columns = (c for each in observables for c in each.filled)
    return tuple({c.name: c for c in columns if c.name not in RESULT_COLUMNS}.values())
