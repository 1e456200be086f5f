"""Which environment variables a user's code reads: they decide what is trained, and stand in no file."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import CodeType
from typing import Any, Final

from phasediag.locks import momentary_lock
from phasediag.source_lines import of_the_user

_Environment: Any = type(os.environ)
_lookup: Final = _Environment.__getitem__
_changing: Final = momentary_lock()
_watching: list[dict[str, str]] = []
"""What is filled at present; several threads may import at once."""


@contextmanager
def variables_read() -> Iterator[dict[str, str]]:
    """Watch which variables code of the user's asks for, by `os.environ` and `os.getenv`.

    Nothing public tells of it: the lookup of `os.environ` is another one within the block, as far as its
    class lets itself be changed; where it does not, nothing is seen and nothing fails. What libraries ask
    for on their own is theirs.

    Yields
    ------
    By the name of the variable where it was read first, `file:line`; filled within the block.
    """
    places = dict[str, str]()
    with _changing:
        if not _watching:
            _exchange(_noted)
        _watching.append(places)
    try:
        yield places
    finally:
        with _changing:
            _watching[:] = [each for each in _watching if each is not places]
            if not _watching:
                _exchange(_lookup)


def _exchange(lookup: Any) -> None:
    """Look variables up in this way from now on, where the class lets itself be changed."""
    with suppress(AttributeError, TypeError):
        _Environment.__getitem__ = lookup


def _noted(environment: Any, name: Any) -> Any:
    if isinstance(name, str | bytes) and (place := _asked_by()):
        for places in tuple(_watching):
            places.setdefault(os.fsdecode(name), place)
    return _lookup(environment, name)


def _asked_by() -> str:
    """Which line of the user's code asks for a variable; empty where it is somebody else's."""
    frame = inspect.currentframe()
    while frame is not None and _passes_on(frame.f_code):
        frame = frame.f_back
    if frame is None or not of_the_user(frame.f_code.co_filename):
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _passes_on(code: CodeType) -> bool:
    """Whether code is this module's, or of what stands between `os.environ` and who asks it."""
    filename = code.co_filename
    if code.co_name == "expandvars":  # of os.path
        return not of_the_user(filename)
    return filename == __file__ or filename in (os.__file__, "<frozen os>", "<frozen _collections_abc>")
