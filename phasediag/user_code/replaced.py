"""Functions and classes of Python and of libraries that a user's code replaces: put back, and refused.

`json.dumps = mine`, `nn.Linear.forward = mine` or `torch.manual_seed = mine` hold for the whole process: for
phasediag itself, and for every other network of a sweep, as soon as the file is imported. What is looked at
are the names that the text of the user's files sets on something else than `self`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final

from phasediag.errors import AdvisedError, PhasediagError
from phasediag.source_lines import of_the_user

USED: Final = frozenset({
    *sys.stdlib_module_names, *sys.builtin_module_names, "phasediag", "torch", "numpy", "scipy", "sklearn",
    "pandas", "pyarrow", "pydantic", "ruamel", "safetensors", "click", "rich", "filelock", "psutil", "ray",
})  # fmt: skip
"""What phasediag is made of."""
NOT_ASKED_FOR: Final = frozenset({
    "sys.excepthook", "sys.displayhook", "sys.unraisablehook", "threading.excepthook", "warnings.showwarning",
    "warnings.formatwarning", "ssl._create_default_https_context",
})  # fmt: skip
"""What is put back without a word: `process.py` does, or it is there for downloads of public code."""
_OTHERWISE: Final = (float, property, staticmethod, classmethod)
"""What decides on results and is no function."""
_SETTERS: Final = frozenset({"setattr", "delattr", "patch", "object", "multiple"})
"""Functions that set an attribute whose name they are given: Python's, and those of `unittest.mock.patch`."""
_OWN: Final = frozenset({"self", "cls", "ctx"})
_INHERITED: Final = object()
"""Stands for what a class has from another one."""
_put_back, _take_away = setattr, delattr
"""Held here: a user may have replaced Python's own."""


class ReplacedError(AdvisedError, PhasediagError):
    """A function or a class of a library that a user's code replaces; says at which line."""


@dataclass(frozen=True, slots=True, eq=False)
class _Attribute:
    """What a module or a class has by a name."""

    owner: Any
    name: str
    value: Any
    names: Mapping[str, Any]
    """All that the owner has itself."""

    def put_back(self) -> bool:
        """Put back what it was, and say whether it had been changed; calls no function of Python's."""
        if self.value is _INHERITED:
            if self.name not in self.names:
                return False
            _take_away(self.owner, self.name)
            return True
        if self.name in self.names and self.names[self.name] is self.value:
            return False
        _put_back(self.owner, self.name, self.value)
        return True

    def matters(self) -> bool:
        """Whether anybody asks for it: no setting, and nothing that the user had put there before."""
        function = callable(self.value) or isinstance(self.value, _OTHERWISE) or self.value is _INHERITED
        return function and not _of_the_user(self.value) and str(self) not in NOT_ASKED_FOR

    def __str__(self) -> str:
        if isinstance(self.owner, ModuleType):
            return f"{self.owner.__name__}.{self.name}"
        return f"{self.owner.__module__}.{self.owner.__qualname__}.{self.name}"


class KeptLibraries:
    """A block after which functions and classes of libraries are as before, and refused where they were not.

    Parameters
    ----------
    code
        Content of the user's files that are at work within.

    Raises
    ------
    ReplacedError
        Where one was replaced; whatever error came of it is its cause.
    """

    def __init__(self, code: Mapping[Path, bytes]) -> None:
        self._lines = _set_in(code)
        self._before: list[_Attribute] = []

    def __enter__(self) -> None:
        if self._lines:
            self._before = [each for each in _held(frozenset(self._lines)) if each.matters()]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        changed = [each for each in self._before if each.put_back()]
        if changed and (error is None or isinstance(error, Exception)):
            line = self._lines[changed[0].name]
            raise ReplacedError(
                f"{line}: it replaces {changed[0]} for all of the process, other networks included",
                "give yours another name, and call it where you need it",
            ) from error


def _held(wanted: frozenset[str]) -> Iterator[_Attribute]:
    """What libraries have by one of the names: modules, and classes, which may have it from others."""
    classes: dict[int, type[Any]] = {}
    for module_name, module in tuple(sys.modules.items()):
        if module_name.partition(".")[0] not in USED or type(module) is not ModuleType:
            continue
        names = vars(module)
        for value in tuple(names.values()):
            if issubclass(type(value), type) and str(value.__module__).partition(".")[0] in USED:
                classes[id(value)] = value
        yield from (_Attribute(module, n, names[n], names) for n in wanted & names.keys())
    for cls in classes.values():
        names = vars(cls)
        yield from (_Attribute(cls, n, names[n], names) for n in wanted & names.keys())
        for base in cls.__mro__[1:]:
            yield from (
                _Attribute(cls, n, _INHERITED, names) for n in (wanted & vars(base).keys()) - names.keys()
            )


def _of_the_user(value: Any) -> bool:
    """Whether what was replaced had been put there by her before."""
    code = getattr(value, "__code__", None)
    module = sys.modules.get(str(getattr(value, "__module__", "")))
    file = code.co_filename if code else getattr(module, "__file__", None)
    return isinstance(file, str) and of_the_user(file)


def _set_in(code: Mapping[Path, bytes]) -> dict[str, str]:
    """The names that files set on something else than `self`, each with `file:line`."""
    return {
        name: f"{path}:{line}"
        for path, content in code.items()
        if path.suffix == ".py"
        for name, line in _set_in_text(content, str(path))
    }


@lru_cache(maxsize=256)
def _set_in_text(content: bytes, file: str) -> tuple[tuple[str, int], ...]:
    return tuple((name, line) for node in ast.walk(ast.parse(content, file)) for name, line in _set_by(node))


def _set_by(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        if getattr(node.value, "id", "") not in _OWN:
            yield node.attr, node.lineno
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):  # vars(json)["dumps"]
            yield node.slice.value, node.lineno
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        texts = [a.value for a in node.args[:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if called in _SETTERS and texts:
            yield texts[0].rpartition(".")[2], node.lineno
