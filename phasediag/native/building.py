"""Programs of this machine: compiled once, kept in a folder, loaded from there."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from getpass import getuser
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeVar

import torch

from phasediag.native.compiler import (
    HangingError,
    ToolchainError,
    build,
    compiler,
    fault_of,
    lacking,
    loaded,
    options,
)
from phasediag.native.lowering import UnsupportedError

PROCESSORS: Final = ("AVX2", "AVX512")
"""As torch names what a processor can do."""
CACHE: Final = "TORCHINDUCTOR_CACHE_DIR"
"""Where torch.compile keeps its programs; ours lie beside them."""
SHARED: Final = Path("/dev/shm")
"""A place in memory that every Linux has."""
OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
OURS: Final = "phasediag"
"""The folder of our programs, inside of that of torch.compile."""
INTEGER: Final = ctypes.c_longlong
"""The type of whole numbers that loops are given."""
ADDRESS: Final = ctypes.c_void_p
"""The type of addresses that they are given."""

_Made = TypeVar("_Made")


@dataclass(slots=True, kw_only=True)
class Toolchain:
    """What this process knows of its machine."""

    folder: Path | None = None
    """Where a program was last built and loaded; None before."""
    fault: str = ""
    """Why no program can be made here; empty where that was not seen."""
    lost: list[str] = field(default_factory=list)
    """Why folders before this one do not serve."""


def toolchain() -> Toolchain:
    """The tools of this process, with the compiler and the folder that its environment names."""
    return _toolchain_of(os.environ.get("CXX"), os.environ.get(CACHE))


@cache
def _toolchain_of(compiler: str | None, folder: str | None) -> Toolchain:
    return Toolchain()


def suits() -> bool:
    """Whether native programs can be made for this machine, as far as is known."""
    able = torch.backends.cpu.get_cpu_capability() in PROCESSORS
    return able and bool(compiler()) and not toolchain().fault


def given_up() -> str:
    """What was given up because of this machine: all programs, or a folder; empty where nothing was."""
    known = toolchain()
    if fault := lacking() or known.fault:
        return f"no programs can be made on this machine ({fault})"
    if known.lost and known.folder is not None:
        return f"programs are kept in {known.folder} ({known.lost[0]})"
    return ""


def settle_cache() -> None:
    """Let torch keep its programs where that can be and nobody else can put any, for the rest of the process.

    torch makes the folder when it loads its compiler, which its first derivative does, and fails if it
    cannot: nothing could be trained, compiled or not. Where the environment names none it takes one in the
    shared temporary folder, whoever has made it.
    """
    given = os.environ.get(CACHE)
    if given:
        try:
            os.makedirs(given, exist_ok=True)
            return
        except OSError as error:
            del os.environ[CACHE]
            toolchain().lost.append(f"{CACHE}={given} cannot be made: {error.strerror}")
    faults = []
    for folder in _folders():
        try:
            _secure(folder)
        except ToolchainError as error:
            faults.append(str(error))
            continue
        if faults:
            os.environ[CACHE] = str(folder.parent)
            toolchain().lost.append(faults[0])
        return


def cache_folder() -> Path:
    """Where programs are kept if that can be: beside those of torch.compile."""
    return next(_folders())


def kept_folders() -> list[Path]:
    """The folders of this user with programs, wherever they may be kept."""
    return [folder for folder in _folders() if folder.is_dir() and _is_ours(folder)]


def working_folder() -> Path | None:
    """A folder in which programs can be made and from which they load; None where there is none."""
    try:
        return toolchain().folder or _search(_checked)
    except UnsupportedError:
        return None


def library(text: str) -> ctypes.CDLL:
    """The loaded program of a text, which is compiled where this machine has not yet done so.

    A folder that does not serve is left for another one, once for the process.

    Raises
    ------
    UnsupportedError
        Where the compiler refuses it, or no folder serves.
    """
    key = f"{(*compiler(), *options())}\n{text}".encode()
    name = f"{blake2b(key, digest_size=16).hexdigest()}.so"
    kept = (loaded(folder / name) for folder in _folders() if _is_ours(folder))
    return next((program for program in kept if program is not None), None) or _search(
        lambda folder: _built(text, folder / name)
    )


def _search(make: Callable[[Path], _Made]) -> _Made:
    """What is made in the first folder that serves, which is remembered, as is that there is none."""
    known = toolchain()
    if fault := lacking() or known.fault:
        raise ToolchainError(fault)
    faults = []
    for folder in dict.fromkeys((*filter(None, [known.folder]), *_folders())):
        try:
            made = make(folder)
        except HangingError as error:
            faults = [str(error)]
            break
        except ToolchainError as error:
            faults.append(str(error))
        else:
            known.folder, known.lost = folder, [*known.lost, *faults]
            return made
    known.fault = "; ".join(dict.fromkeys(faults))
    raise ToolchainError(known.fault)


def _built(text: str, path: Path) -> ctypes.CDLL:
    _secure(path.parent)
    build(text, path)
    program = loaded(path)
    if program is None:
        path.unlink(missing_ok=True)
        raise ToolchainError(fault_of(path.parent) or f"{path} does not load")
    return program


def _checked(folder: Path) -> Path:
    _secure(folder)
    if fault := fault_of(folder):
        raise ToolchainError(fault)
    return folder


def _secure(folder: Path) -> None:
    """Make a folder for programs which nobody else can write to, where there is none.

    Raises
    ------
    ToolchainError
        Where somebody else could have put a program there, or it cannot be made.
    """
    try:
        _own(folder)[0].parent.mkdir(parents=True, exist_ok=True)
        for each in _own(folder):
            each.mkdir(mode=0o700, exist_ok=True)
            if fault := _open_to_others(each, folder):
                raise ToolchainError(fault)
            each.chmod(0o700)
    except OSError as error:
        reason = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror
        raise ToolchainError(f"in {folder} no program can be written or loaded: {reason}") from error


def _is_ours(folder: Path) -> bool:
    """Whether what lies in a folder may be run; also where it is not there."""
    try:
        return not any(_open_to_others(each, folder) for each in _own(folder))
    except OSError:
        return not folder.exists()


def _own(folder: Path) -> tuple[Path, ...]:
    """The folder of programs, and the one in which it lies where the user has not named that."""
    given = os.environ.get(CACHE)
    if given and folder.parent == Path(given):
        return (folder,)
    return folder.parent, folder


def _open_to_others(place: Path, folder: Path) -> str:
    """How somebody else could have put something into a place; empty where nobody could.

    Parameters
    ----------
    place
        A folder of programs, or the one in which it lies.
    folder
        That folder of programs. Its own files are looked at one by one, before they are loaded.
    """
    seen = os.lstat(place)
    if not stat.S_ISDIR(seen.st_mode):
        return f"{place} is no folder"
    if seen.st_uid != os.getuid():
        return f"{place} belongs to another user"
    if place == folder:
        return ""
    if seen.st_mode & OTHERS_WRITE:
        return f"others may write to {place}"
    for above in place.parents:
        over = os.stat(above)
        if over.st_uid not in (0, os.getuid()):
            return f"{above} belongs to another user"
        if over.st_mode & OTHERS_WRITE and not over.st_mode & stat.S_ISVTX:
            return f"others may write to {above}"
    return ""


def _folders() -> Iterator[Path]:
    """Where programs may be kept: as the user has said, or in the first of some places for such things."""
    given = os.environ.get(CACHE)
    places = [Path(given)] if given else []
    temporary = f"torchinductor_{_user()}"
    with suppress(FileNotFoundError):  # there is none
        places.append(Path(tempfile.gettempdir(), temporary))
    own = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    places += [SHARED / temporary, Path(own, "torchinductor")]
    return iter([place / OURS for place in dict.fromkeys(places) if place.is_absolute() or given])


def _user() -> str:
    """The user's name as it stands in the name of a folder, as torch.compile has it."""
    try:
        return re.sub(r'[\\/:*?"<>|]', "_", getuser())
    except (KeyError, OSError, ImportError):  # a number without a name, as containers have it
        return f"uid_{os.getuid()}"
