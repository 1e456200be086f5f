"""Which files a user's code opens for reading: seen by Python's own audit events."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from phasediag.source_lines import of_the_user

_PASSED_OVER: Final = frozenset({"__pycache__", ".git", ".ipynb_checkpoints"})
_ELSEWHERE: Final = tuple({Path(p).resolve() for p in (sys.prefix, sys.base_prefix, sys.exec_prefix)})
"""Where Python and its packages are; a folder of the user's may contain them."""
_PACKAGE: Final = Path(__file__).resolve().parents[1]
_OWN: Final = os.path.join(Path(__file__).parents[1], "")
_SYSTEM: Final = tuple(Path(p) for p in ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/run", "/var/lib"))
_CODE: Final = frozenset({".py", ".pyc", ".so", ".pyd"})
_watching: list[OpenedFiles] = []
_hooked: list[bool] = []


class OpenedFiles:
    """The files below some folders that were opened for reading while somebody watched.

    Parameters
    ----------
    folders
        Of the user's.
    by_user
        Whether to note only what her own code opens, by itself or through a library that it calls.
    """

    def __init__(self, folders: Sequence[Path], by_user: bool = False) -> None:
        self._folders = tuple(dict.fromkeys(folders))
        self._by_user = by_user
        self._seen: dict[Path, None] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """Every one that there is, once, in the order of the first opening."""
        return tuple(path for path in self._seen if path.is_file() and self._of_user(path))

    @property
    def outside(self) -> tuple[Path, ...]:
        """The files elsewhere that were opened, but for code and what belongs to the system or Python."""
        return tuple(path for path in self._seen if path.is_file() and self._is_outside(path))

    def _is_outside(self, path: Path) -> bool:
        foreign = (*self._folders, *_ELSEWHERE, _PACKAGE, *_SYSTEM)
        return path.suffix not in _CODE and not any(path.is_relative_to(place) for place in foreign)

    def note(self, path: str) -> None:
        """Take down a path that is being opened."""
        if self._by_user and not _called_by_user():
            return
        self._seen.setdefault(Path(os.path.normpath(os.path.join(os.getcwd(), path))))

    def _of_user(self, path: Path) -> bool:
        below = next((folder for folder in self._folders if path.is_relative_to(folder)), None)
        if below is None or not _PASSED_OVER.isdisjoint(path.relative_to(below).parts):
            return False
        foreign = [place for place in (*_ELSEWHERE, _PACKAGE) if not below.is_relative_to(place)]
        return not any(path.is_relative_to(place) for place in foreign)


@contextmanager
def opened_files(*folders: Path, by_user: bool = False) -> Iterator[OpenedFiles]:
    """Watch which files below some folders are opened for reading, by Python's own functions.

    `open`, `np.load`, `torch.load`, `pandas.read_csv` and all that rest on `open` are seen; libraries that
    open files in C or Rust (Parquet, HDF5, safetensors) are not. `by_user` as in `OpenedFiles`.
    """
    if not _hooked:
        sys.addaudithook(_noted)
        _hooked.append(True)
    watch = OpenedFiles(folders, by_user)
    _watching.append(watch)
    try:
        yield watch
    finally:
        _watching.remove(watch)


def _noted(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _watching:
        return
    path, mode, flags = arguments
    writes = isinstance(mode, str) and not set(mode).isdisjoint("wax")
    if writes or (isinstance(flags, int) and flags & os.O_ACCMODE == os.O_WRONLY):
        return
    if isinstance(path, str | bytes):
        for watch in tuple(_watching):
            watch.note(os.fsdecode(path))


def _called_by_user() -> bool:
    """Whether the user's code is at work: her function is called later than any of phasediag's."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    while frame is not None:
        filename = frame.f_code.co_filename
        if of_the_user(filename):
            return True
        if filename.startswith(_OWN):
            return False
        frame = frame.f_back
    return False
