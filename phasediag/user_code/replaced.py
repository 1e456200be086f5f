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
from types import FunctionType, ModuleType, TracebackType
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
    "warnings.formatwarning", "ssl._create_default_https_context", "tempfile.tempdir", "tempfile.template",
})  # fmt: skip
"""What is put back without a word: `process.py` does, or it is there for downloads of public code."""
_OTHERWISE: Final = (float, int, str, tuple, frozenset, property, staticmethod, classmethod)
"""What decides on results and is no function; a truth value is a setting."""
_SETTERS: Final = frozenset({"setattr", "delattr", "patch", "object", "multiple"})
"""Functions that set an attribute whose name they are given: Python's, and those of `unittest.mock.patch`."""
_INSIDES: Final = ("__code__", "__defaults__", "__kwdefaults__")
"""What a function is made of, and may be given another of."""
_OVERRIDES: Final = frozenset({"Library", "impl", "register_kernel"})
"""Functions of `torch.library` that give torch's own operators, whose names begin thus, another meaning."""
_OPERATORS: Final = ("aten", "prims", "prim")
_OWN: Final = frozenset({"self", "cls", "ctx"})
_INHERITED: Final = object()
"""Stands for what a class has from another one."""
_DTYPE: Final = ("torch", "dtype")
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

    insides: tuple[Any, ...] = ()
    """What the function is made of."""

    def put_back(self) -> bool:
        """Put back what it was, and say whether it had been changed; calls no function of Python's."""
        now = _insides_of(self.value) if self.insides else ()
        if any(inside is not other for inside, other in zip(self.insides, now, strict=True)):
            for name, inside in zip(_INSIDES, self.insides, strict=True):
                _put_back(self.value, name, inside)
            return True
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
        function = callable(self.value) or _decides(self.value) or self.value is _INHERITED
        return function and not _of_the_user(self.value) and str(self) not in NOT_ASKED_FOR

    def __str__(self) -> str:
        if isinstance(self.owner, ModuleType):
            return f"{self.owner.__name__}.{self.name}"
        return f"{self.owner.__module__}.{self.owner.__qualname__}.{self.name}"


def _decides(value: Any) -> bool:
    """Whether results follow from a value that is no function."""
    kind = type(value)
    return kind is not bool and (isinstance(value, _OTHERWISE) or (kind.__module__, kind.__name__) == _DTYPE)


def _insides_of(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, name) for name in _INSIDES) if type(value) is FunctionType else ()


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
        self._operators = [each for path, text in code.items() for each in _operators_in(text, path)]
        self._before: list[_Attribute] = []

    def __enter__(self) -> None:
        if self._operators:
            line, name = self._operators[0]
            raise ReplacedError(
                f"{line}: it gives operators of torch's own ({name}) another meaning for all of the process, "
                "other networks included",
                "register one under a name of yours",
            )
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
        yield from (_attribute(module, n, names) for n in wanted & names.keys())
    for cls in classes.values():
        names = vars(cls)
        yield from (_attribute(cls, n, names) for n in wanted & names.keys())
        for base in cls.__mro__[1:]:
            yield from (
                _Attribute(cls, n, _INHERITED, names) for n in (wanted & vars(base).keys()) - names.keys()
            )


def _attribute(owner: Any, name: str, names: Mapping[str, Any]) -> _Attribute:
    return _Attribute(owner, name, names[name], names, _insides_of(names[name]))


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
    nodes = tuple(ast.walk(ast.parse(content, file)))
    stated = [(name, line) for node in nodes for name, line in _set_by(node)]
    unnamed = [node.lineno for node in nodes if isinstance(node, ast.Call) and _sets_unsaid(node)]
    texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    said = [text for text in texts if text.isidentifier()] if unnamed else []
    return (*((name, unnamed[0]) for name in said), *stated)


def _called_by(node: ast.Call) -> str:
    """The last part of the name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _texts_of(node: ast.Call, count: int) -> list[str]:
    """The texts among its first arguments."""
    given = node.args[:count]
    return [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def _set_by(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        if node.attr in _INSIDES:  # layer_norm.__defaults__
            yield getattr(node.value, "attr", getattr(node.value, "id", "")), node.lineno
        elif getattr(node.value, "id", "") not in _OWN:
            yield node.attr, node.lineno
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):  # vars(json)["dumps"]
            yield node.slice.value, node.lineno
    elif isinstance(node, ast.Call):
        if _called_by(node) in _SETTERS and (texts := _texts_of(node, 2)):
            yield texts[0].rpartition(".")[2], node.lineno
        elif _called_by(node) == "update":  # vars(json).update(dumps=...)
            yield from ((keyword.arg, node.lineno) for keyword in node.keywords if keyword.arg)


def _sets_unsaid(node: ast.Call) -> bool:
    """Whether a call sets attributes, but of `self`, whose names stand elsewhere in the text."""
    if not node.args or getattr(node.args[0], "id", "") in _OWN:
        return False
    if _called_by(node) in ("setattr", "delattr"):
        return not _texts_of(node, 2)
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    if _called_by(node) != "update" or owner is None:
        return False
    of_names = isinstance(owner, ast.Call) and _called_by(owner) == "vars"
    return of_names or getattr(owner, "attr", "") == "__dict__"


@lru_cache(maxsize=256)
def _operators_in(content: bytes, path: Path) -> tuple[tuple[str, str], ...]:
    """Where a text gives operators of torch's own another meaning, and which."""
    if path.suffix != ".py":
        return ()
    calls = (node for node in ast.walk(ast.parse(content, str(path))) if isinstance(node, ast.Call))
    return tuple(
        (f"{path}:{node.lineno}", text)
        for node in calls
        if _called_by(node) in _OVERRIDES
        for text in _texts_of(node, 1)
        if text.partition("::")[0] in _OPERATORS and (_called_by(node) == "Library" or "::" in text)
    )
