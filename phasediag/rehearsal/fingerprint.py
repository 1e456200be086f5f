"""What a module holds besides its parameters, to be compared before and after a pass.

A step is taken of many networks by one module, in an order and a number of calls that nobody promises: a
module that remembers something from pass to pass would train otherwise than alone, without a word.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import blake2b
from types import CellType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from phasediag.source_lines import of_the_user

_SKIPPED: Final = frozenset({"_parameters", "_modules", "__dict__", "__weakref__", "__annotations__"})
_ATOMS: Final = (
    bool, int, float, complex, str, bytes, type, ModuleType, torch.dtype, torch.device, itertools.count,
)  # fmt: skip
"""What its text tells all about."""
_HOLDERS: Final = (nn.Module, SimpleNamespace, argparse.Namespace, threading.local)
"""Objects of libraries that hold what a user gives them."""
_LARGEST: Final = 100_000
"""Values that are looked at; what lies beyond is not compared."""

Fingerprint = dict[str, object]
"""A digest or the value itself of everything that can be reached, by the path to it."""


def fingerprint(module: nn.Module) -> Fingerprint:
    """Buffers and attributes of a module and its parts; what its code keeps in functions, classes, globals.

    Parameters are left out: a pass is given others. So are modules that are registered, where attributes hold
    them once more: they are looked at as parts.
    """
    noted: Fingerprint = {}
    look = _ValueWalk(noted)
    look.at_environment()
    look.passed_over = {id(each) for each in (*module.modules(), *module.parameters())}
    for path, part in module.named_modules():
        prefix = f"{path}." if path else ""
        for name, value in vars(part).items():
            if name == "_buffers":
                for buffer, tensor in value.items():
                    look.at(prefix + buffer, tensor)
            elif name.endswith("_hooks") and isinstance(value, Mapping):  # torch counts its keys on for ever
                for number, hook in enumerate(value.values()):
                    look.at(f"{prefix}{name}[{number}]", hook)
            elif name not in _SKIPPED:
                look.at(prefix + name, value)
        for cls in type(part).__mro__:
            look.at_class(cls)
    return noted


def fingerprint_of(thing: object) -> Fingerprint:
    """Tell an object of a user's class that is no module: by its attributes, its class, its file."""
    noted: Fingerprint = {}
    look = _ValueWalk(noted)
    look.at_environment()
    for name, value in getattr(thing, "__dict__", {}).items():
        look.at(name, value)
    for cls in type(thing).__mro__:
        look.at_class(cls)
    return noted


def changes(before: Fingerprint, after: Fingerprint) -> list[str]:
    """Where two fingerprints differ, in the order of the later one."""
    names = dict.fromkeys([*after, *before])
    return [name for name in names if before.get(name, _SKIPPED) != after.get(name, _SKIPPED)]


def generators() -> str:
    """A digest of the global random generators of torch, numpy and Python."""
    digest = blake2b(torch.get_rng_state().numpy().tobytes(), digest_size=16)
    _, numbers, *rest = np.random.get_state()  # whether a module used it
    digest.update(np.asarray(numbers).tobytes() + repr(rest).encode())
    digest.update(repr(random.getstate()).encode())
    return digest.hexdigest()


class _ValueWalk:
    """Walks through values, each once."""

    def __init__(self, noted: Fingerprint) -> None:
        self.noted = noted
        self.passed_over: set[int] = set()
        """Identities of what is not noted."""
        self._seen: set[int] = set()

    def at(self, path: str, value: Any) -> None:
        """Note a value, or what it consists of."""
        if len(self.noted) >= _LARGEST or id(value) in self.passed_over:
            return
        plain = _plain(value)
        if plain is not None:
            self.noted[path] = plain
        elif id(value) not in self._seen:
            self._seen.add(id(value))
            self.noted[path] = type(value).__qualname__
            for part, held in _parts(value):
                self.at(path + part, held)
            if isinstance(value, FunctionType):
                self.at_file(value.__module__)

    def at_environment(self) -> None:
        """Note the environment variables, in which code can keep something from pass to pass, too."""
        self.noted |= {f"os.environ[{name!r}]": value for name, value in os.environ.items()}

    def at_class(self, cls: type[Any]) -> None:
        """Note what a user's class holds, and the file that it stands in."""
        if id(cls) in self._seen or not _users(cls.__module__):
            return
        self._seen.add(id(cls))
        for name, value in vars(cls).items():
            if name not in _SKIPPED and not name.startswith("__"):
                self.at(f"{cls.__name__}.{name}", value)
        self.at_file(cls.__module__)

    def at_file(self, name: str) -> None:
        """Note the global variables of a user's file."""
        held = vars(sys.modules[name]) if _users(name) else {}
        if id(held) in self._seen or not held:
            return
        self._seen.add(id(held))
        for variable, value in list(held.items()):
            if not variable.startswith("__"):
                self.at(f"global {variable}", value)


def _users(module: str) -> bool:
    """Whether a module of this name is a file of the user's."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and of_the_user(file)


def _plain(value: Any) -> object:
    """A value that can be compared as it is, or a digest of it; None: it consists of others."""
    if isinstance(value, Tensor):
        return _of_tensor(value)
    if isinstance(value, np.ndarray):
        content = np.ascontiguousarray(value).tobytes() if value.dtype != object else repr(value).encode()
        return str(value.dtype), value.shape, blake2b(content, digest_size=16).hexdigest()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state())
    if isinstance(value, random.Random):
        return repr(value.getstate())
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    return repr(value) if value is None or isinstance(value, _ATOMS) else None


def _of_tensor(tensor: Tensor) -> object:
    try:
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    except (RuntimeError, TypeError, NotImplementedError):  # left over from a pass of many networks
        return f"a tensor of a pass, {id(tensor)}"
    return str(tensor.dtype), tuple(tensor.shape), blake2b(content, digest_size=16).hexdigest()


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value consists of, and how it is reached."""
    if isinstance(value, Mapping):
        yield from ((f".{key}" if isinstance(key, str) else f"[{key!r}]", v) for key, v in value.items())
    elif isinstance(value, list | tuple | deque):
        yield from ((f"[{index}]", held) for index, held in enumerate(value))
    elif isinstance(value, FunctionType):
        yield from _of_function(value)
    elif isinstance(value, MethodType | staticmethod | classmethod):
        yield "", value.__func__
    elif isinstance(value, property):
        yield "", value.fget
    elif isinstance(value, partial):
        yield from (("", value.func), (".args", value.args), (".keywords", value.keywords))
    elif isinstance(value, _HOLDERS) or _users(type(value).__module__):
        yield from _of_object(value)


def _of_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    if _users(function.__module__):  # torch marks its own functions as it calls them
        yield from ((f".{name}", held) for name, held in vars(function).items())
    yield from ((f", default {n}", held) for n, held in enumerate(function.__defaults__ or ()))
    yield from ((f", default {name}", held) for name, held in (function.__kwdefaults__ or {}).items())
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    yield from ((f", variable {name}", _content(cell)) for name, cell in cells)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


def _of_object(value: Any) -> Iterator[tuple[str, Any]]:
    """Attributes of an object, in its `__dict__` and in its slots."""
    yield from ((f".{name}", held) for name, held in getattr(value, "__dict__", {}).items())
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield f".{name}", getattr(value, name)
