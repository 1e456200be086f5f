"""Compiling the text of a program, once a machine."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from getpass import getuser
from hashlib import blake2b
from pathlib import Path
from typing import Final
from uuid import uuid4

import torch

from phasediag.native.lowering import UnsupportedError

PROCESSORS: Final = ("AVX2", "AVX512")
"""As torch names what a processor can do."""
OPTIONS: Final = (
    "-std=c++17", "-O3", "-mavx2", "-mfma", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-fno-strict-aliasing", "-w", "-shared", "-fPIC",
)  # fmt: skip


@cache
def compiler() -> tuple[str, ...]:
    """The command of the C++ compiler, `$CXX` or `c++`; empty where there is none."""
    command = shlex.split(os.environ.get("CXX") or "c++")
    return tuple(command) if shutil.which(command[0]) else ()


def suits() -> bool:
    """Whether native programs can be made for this machine."""
    return torch.backends.cpu.get_cpu_capability() in PROCESSORS and bool(compiler())


def cache_folder() -> Path:
    """Where programs are kept: beside those of torch.compile."""
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    return Path(given or Path(tempfile.gettempdir(), f"torchinductor_{getuser()}"), "phasediag")


def library(text: str) -> ctypes.CDLL:
    """The loaded program of a text, which is compiled where this machine has not yet done so.

    Raises
    ------
    UnsupportedError
        Where the compiler refuses it, or there is no place for it.
    """
    command = (*compiler(), *OPTIONS)
    digest = blake2b(f"{command}\n{text}".encode(), digest_size=16).hexdigest()
    built = cache_folder() / f"{digest}.so"
    try:
        if not built.exists():
            _build(command, text, built)
        return ctypes.CDLL(str(built))
    except OSError as error:
        raise UnsupportedError(f"{built} cannot be written or loaded: {error}") from error


def _build(command: Sequence[str], text: str, built: Path) -> None:
    built.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = built.with_suffix(f".{uuid4().hex}.cpp")
    partial = source.with_suffix(".so")
    source.write_text(text)
    done = subprocess.run([*command, "-o", str(partial), str(source)], capture_output=True, text=True)
    if done.returncode:
        raise UnsupportedError(f"{' '.join(command)} refuses {source}: {done.stderr[-2000:]}")
    partial.replace(built)
    source.unlink()
