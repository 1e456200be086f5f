"""Locks of this process, which are free in a child of it, whichever thread holds them when it is forked."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Final, ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Gives = TypeVar("_Gives")

PROCESS: Final = threading.RLock()
"""Held by the one thread that trains or runs the user's code, and while this process is forked for a look at
that. The modules that networks are computed by, the random generators of torch, numpy and Python, and the
settings that a user's code may change are there once for all threads."""


def alone(act: Callable[_Given, _Gives]) -> Callable[_Given, _Gives]:
    """Let one thread of this process at a time carry out something that trains, or runs a user's code."""

    @wraps(act)
    def acting(*given: _Given.args, **named: _Given.kwargs) -> _Gives:
        with PROCESS:
            return act(*given, **named)

    return acting


def momentary_lock() -> AbstractContextManager[bool]:
    """A lock for moments in which nothing waits for another one: a fork waits for all such locks."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
