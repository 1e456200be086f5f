"""Where in a user's own code something is, or went wrong."""

from __future__ import annotations

import inspect
import os
import sysconfig
import traceback
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

_PACKAGE: Final = Path(__file__).parent
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
"""Folders of packages, be they those of this Python, of the user's home or of a cluster."""
_places: WeakKeyDictionary[type[Any], str] = WeakKeyDictionary()

CodeOrigin = type[Any] | Path
"""Where code of the user's stands: a class, or a file that is imported."""


def place_of(origin: CodeOrigin) -> str:
    """File and line of a class's constructor, or of the class, as far as they are known; a file's path.

    Looked up once: Python reads and parses the whole file for it.
    """
    if isinstance(origin, Path):
        return str(origin)
    if origin not in _places:
        _places[origin] = _looked_up(origin)
    return _places[origin]


def _looked_up(cls: type[Any]) -> str:
    known: tuple[Any, ...] = (vars(cls).get("__init__"), cls)
    for thing in known:
        try:
            return f"{inspect.getsourcefile(thing)}:{inspect.getsourcelines(thing)[1]}"
        except (TypeError, OSError):
            continue
    return cls.__module__


def line_of(error: BaseException) -> str:
    """`file:line` of the last line of the user's own code that an error passed; '' where it passed none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if of_the_user(frame.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def explained(error: BaseException, origin: CodeOrigin) -> str:
    """An error of the user's code in one line: where, what."""
    text = " ".join(str(error).split())
    return f"{line_of(error) or place_of(origin)}: {type(error).__name__}: {text[:400]}"


def of_the_user(filename: str) -> bool:
    """Whether a file is the user's own: not of phasediag, of Python, or of an installed library.

    Of compiled libraries errors name files of the machine that built them: `numpy/random/_generator.pyx`.
    """
    here = os.path.isabs(filename) or os.path.exists(filename)
    return here and not filename.startswith("<") and _of_the_user(os.path.abspath(filename))


@lru_cache(maxsize=4096)
def _of_the_user(filename: str) -> bool:
    path = Path(filename).resolve()
    return _INSTALLED.isdisjoint(path.parts) and not any(path.is_relative_to(folder) for folder in _foreign())


@cache
def _foreign() -> frozenset[Path]:
    """The folders of phasediag, of Python and of what is installed."""
    folders = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return frozenset({_PACKAGE, *(Path(folder).resolve() for folder in folders)})
