"""Which environment variables a user's code reads: they decide what is trained, and stand in no file."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from phasediag.source_lines import of_the_user


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
    cls: Any = type(os.environ)
    lookup, places = cls.__getitem__, dict[str, str]()

    def noted(environment: Any, name: Any) -> Any:
        if place := _asked_by():
            places.setdefault(str(name), place)
        return lookup(environment, name)

    try:
        cls.__getitem__ = noted
    except (AttributeError, TypeError):
        yield places
        return
    try:
        yield places
    finally:
        cls.__getitem__ = lookup


def _asked_by() -> str:
    """Which line of the user's code asks for a variable; empty where it is somebody else's."""
    frame = inspect.currentframe()
    while frame is not None and _passes_on(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None or not of_the_user(frame.f_code.co_filename):
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _passes_on(filename: str) -> bool:
    """Whether code is this module's, or of what stands between `os.environ` and who asks it."""
    return filename == __file__ or filename in (os.__file__, "<frozen os>", "<frozen _collections_abc>")
