"""Tasks, models, optimizers, schedules by name: those of phasediag, and the user's (`my_net.py:Net`)."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, TypeVar

from phasediag.constructor import parameters_of
from phasediag.errors import INTERRUPTED, BrokenFileError, RefusedError, nearest
from phasediag.source_lines import line_of, place_of
from phasediag.trial import ComponentKind, Constraint, Parameter
from phasediag.user_code.imports import relative_name
from phasediag.user_code.loading import Loaded, load, stamp_of
from phasediag.user_code.replaced import ReplacedError
from phasediag.user_code.work import EndedError

_Plain = TypeVar("_Plain", bool, int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A task or a model: what it adds to a trial's record, and its class."""

    kind: ComponentKind
    name: str
    cls: type[Any]
    """A `phasediag.training.task.Task`; a `phasediag.training.model.Model`, or a module of the user's."""
    parameters: Mapping[str, Parameter]
    constraints: tuple[Constraint, ...]
    always_fresh: bool
    """Whether, of a task, every step draws new samples."""
    population: bool
    """Whether, of a task, `batch_size: 0` is the exact population loss."""
    classes: int
    """The number of classes of a task; 0 where the targets are no classes."""
    source: str = ""
    """Hash of the files of the user's that it rests on, part of the identity; empty for phasediag's own."""
    code: Mapping[str, bytes] = field(default_factory=dict)
    """Content of the user's file, and of the modules that it imports beside itself, by name from the grid."""
    loaded: Loaded | None = None
    """The import of the user's file; None for phasediag's own, and for a data file."""


@cache
def built_in(kind: ComponentKind) -> tuple[str, ...]:
    """The names of phasediag's own classes of a kind: of the files of the folder, one for each."""
    folder = import_module(f"phasediag.{kind}s").__path__
    return tuple(sorted(m.name for m in iter_modules(folder) if not m.name.startswith("_")))


def component(kind: ComponentKind, name: str, folder: Path) -> Component:
    """Find a task or a model.

    Parameters
    ----------
    name
        A built-in name, or `file.py:Class` with the file relative to `folder`; a task may be `file.npz`.
    folder
        The folder of the grid.

    Raises
    ------
    ValueError
        Where there is no such thing; says what there is.
    """
    if kind == "task" and name.endswith(".npz"):
        path = _path_of(kind, name, folder)
        return _data_component(name, path, relative_name(path, folder.resolve()), stamp_of(path))
    if ":" in name:
        return _user_component(kind, name, folder)
    return _built_in_component(kind, name)


@cache
def _built_in_component(kind: ComponentKind, name: str) -> Component:
    if name not in built_in(kind):
        known = ", ".join(built_in(kind))
        hint = nearest(name, built_in(kind))
        raise RefusedError(
            f"there is no {kind} '{name}'", f"{hint or 'have'} one of {known}, or my_file.py:Class"
        )
    module = import_module(f"phasediag.{kind}s.{name}")
    own = (c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__)
    (cls,) = (c for c in own if "declares" in vars(c))
    return _component(kind, name, cls)


def _component(kind: ComponentKind, name: str, cls: type[Any], **of_user: Any) -> Component:
    task = kind == "task"
    return Component(
        kind=kind, name=name, cls=cls, parameters=parameters_of(cls, kind),
        constraints=getattr(cls, "constraints", ()),
        always_fresh=task and _stated(cls, "always_fresh", False),
        population=task and _stated(cls, "population", False),
        classes=_stated(cls, "classes", 0) if task else 0, **of_user,
    )  # fmt: skip


def _stated(cls: type[Any], name: str, default: _Plain) -> _Plain:
    """What a task states of itself; its class is asked before there is an object of it, so no property."""
    value = getattr(cls, name, default)
    if type(value) is type(default):
        return value
    kind = "True or False" if isinstance(default, bool) else "a whole number"
    raise RefusedError(f"{place_of(cls)}: {cls.__name__}.{name} is {value!r:.60}", f"write {name} = {kind}")


@lru_cache(maxsize=8)
def _data_component(name: str, path: Path, relative: str, stamp: tuple[int, ...]) -> Component:
    """The task of a data file, which is read once for each time that it was written."""
    cls = import_module("phasediag.tasks._arrays").task_of(path)
    code = {relative: path.read_bytes()}
    return _component("task", name, cls, source=source_hash(code), code=code)


def _path_of(kind: str, name: str, folder: Path) -> Path:
    path = Path(os.path.normpath(folder.resolve() / name.partition(":")[0]))
    if not os.path.isfile(path):  # that of Path raises where a name is too long
        problem = f"the file {path} of {kind} '{name}' does not exist"
        raise RefusedError(problem, "paths are relative to the grid")
    return path


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UserClass:
    """A class in a file of the user's, and all that the file rests on."""

    cls: type[Any]
    source: str
    """Hash of the files."""
    code: Mapping[str, bytes] = field(repr=False)
    """Content of the file and of the modules that it imports beside itself, by name from the grid."""
    loaded: Loaded


def user_class(kind: str, name: str, folder: Path) -> UserClass:
    """The class that `file.py:Class` names.

    Parameters
    ----------
    kind
        What it is to be, for messages: task, model, observable.
    name
        The file relative to `folder`, and the class.

    Raises
    ------
    ValueError
        Where there is no such file or class, or the file cannot be imported; says what there is.
    """
    attribute = name.partition(":")[2]
    path, folder = _path_of(kind, name, folder), folder.resolve()
    loaded = _loaded(path, folder)
    module = loaded.module
    cls = getattr(module, attribute, None)
    if not inspect.isclass(cls):
        classes = ", ".join(n for n, c in vars(module).items() if inspect.isclass(c))
        raise RefusedError(f"{path} has no class '{attribute}'", f"it has {classes or 'none'}")
    code = {relative_name(each, folder): content for each, content in loaded.code.items()}
    return UserClass(cls=cls, source=source_hash(code), code=code, loaded=loaded)


def _user_component(kind: ComponentKind, name: str, folder: Path) -> Component:
    user = user_class(kind, name, folder)
    return _component(kind, name, user.cls, source=user.source, code=user.code, loaded=user.loaded)


def _loaded(path: Path, folder: Path) -> Loaded:
    try:
        return load(path, folder)
    except (EndedError, ReplacedError) as error:
        raise BrokenFileError(error.problem, error.remedy) from error
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code == INTERRUPTED:
            raise
        at = f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else line_of(error)
        why = f"{type(error).__name__}: {error}"
        raise BrokenFileError(f"{path} cannot be imported: {why}{at and f' ({at})'}") from error


def source_hash(files: Mapping[str, bytes]) -> str:
    """The hash that stands for files of the user's, by their names as the grid's folder sees them.

    A single file is hashed by its content alone: the grid names it.
    """
    if len(files) == 1:
        (content,) = files.values()
        return blake2b(content, digest_size=16).hexdigest()
    parts = [(name, blake2b(content, digest_size=16).hexdigest()) for name, content in sorted(files.items())]
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()
