"""The C++ compiler of a machine, and whether it makes programs that can be loaded from a folder."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final
from uuid import uuid4

import torch

from phasediag.native.lowering import UnsupportedError

OPTIONS: Final = (
    "-std=c++17", "-O3", "-mavx2", "-mfma", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-fno-strict-aliasing", "-w", "-shared", "-fPIC",
)  # fmt: skip
WIDE: Final = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512")
"""Further options where the processor has AVX-512. No number depends on how many lie in a vector: products
sum each in the same order (`products.h`), loops compute each by itself, and sums run from the first to the
last. So both programs give the same bits, and a training may go from one processor to the other
(`tests/native/test_processors.py`)."""
PATIENCE_S: Final = 60.0
"""After which a compiler that is not done has to make the smallest program in the same time, or it hangs."""
SMALLEST: Final = 'extern "C" int answer() { return 42; }\n'
SEAL_BYTES: Final = 16
"""Behind a program: the hash of it. One that was cut off would kill the process that loads it."""
SAID: Final = 400
"""Letters of a compiler's message that are shown."""


class ToolchainError(UnsupportedError):
    """No program can be made or loaded here: the fault of a folder or of the compiler, not of the program."""


class HangingError(ToolchainError):
    """The compiler does not come to an end, in whatever folder."""


@cache
def compiler() -> tuple[str, ...]:
    """The command of the C++ compiler, `$CXX` or `c++`; empty where there is none."""
    try:
        command = shlex.split(os.environ.get("CXX") or "c++")
    except ValueError:
        return ()
    return tuple(command) if command and shutil.which(command[0]) else ()


def options() -> tuple[str, ...]:
    """What the compiler is told for this machine's processor, as torch sees it (`ATEN_CPU_CAPABILITY`)."""
    return (*OPTIONS, *WIDE) if torch.backends.cpu.get_cpu_capability() == "AVX512" else OPTIONS


def lacking() -> str:
    """Why there is no compiler; empty where there is one."""
    if compiler():
        return ""
    given = os.environ.get("CXX")
    return f"$CXX names '{given}', which is no command here" if given else "there is no C++ compiler (c++)"


def build(text: str, built: Path) -> None:
    """Compile a text to a program, which appears whole or not at all.

    Raises
    ------
    UnsupportedError
        Where the compiler refuses it.
    ToolchainError
        Where the fault is that of the folder or of the compiler, which cannot even make `SMALLEST`.
    """
    try:
        _build(text, built)
    except HangingError:
        raise
    except (UnsupportedError, OSError) as error:
        fault = fault_of(built.parent)
        if fault:
            raise ToolchainError(fault) from error
        if isinstance(error, OSError):
            raise ToolchainError(f"{built} cannot be written: {error.strerror or error}") from error
        raise


def loaded(built: Path) -> ctypes.CDLL | None:
    """A program that was built before; None where there is none of this user's that is complete and loads."""
    try:
        seen = os.lstat(built)
        if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o022:
            return None
        content = built.read_bytes()
        intact = content[-SEAL_BYTES:] == _seal(content[:-SEAL_BYTES])
        return ctypes.CDLL(str(built)) if intact else None
    except OSError:
        return None


def _seal(content: bytes) -> bytes:
    return blake2b(content, digest_size=SEAL_BYTES).digest()


def fault_of(folder: Path) -> str:
    """Why no program can be made in a folder and loaded from there; empty where one can."""
    built = folder / f"{uuid4().hex}.so"
    try:
        _build(SMALLEST, built, patient=False)
        answer = getattr(ctypes.CDLL(str(built)), "answer", None)
        return "" if answer is not None and answer() == 42 else f"{compiler()[0]} makes wrong programs"
    except OSError as error:
        reason = error.strerror or str(error).removeprefix(f"{built}: ")
        return f"in {folder} no program can be written or loaded: {reason}"
    except UnsupportedError as error:
        return str(error)
    finally:
        with suppress(OSError):
            built.unlink()


def _build(text: str, built: Path, patient: bool = True) -> None:
    built.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = built.with_suffix(f".{uuid4().hex}.cpp")
    partial, said = source.with_suffix(".so"), source.with_suffix(".txt")
    command = [*compiler(), *options(), "-o", str(partial), str(source)]
    try:
        source.write_text(text, encoding="utf-8")
        code = _run(command, said, (lambda: fault_of(built.parent)) if patient else None)
        if code:
            message = said.read_text(encoding="utf-8", errors="replace").strip()[-SAID:] or _ended(code)
            raise UnsupportedError(f"{' '.join(compiler())} refuses {source.name}: {message}")
        content = partial.read_bytes()
        with partial.open("wb") as file:
            file.write(content + _seal(content))
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o700)
        partial.replace(built)
    finally:
        for each in (source, partial, said):
            with suppress(OSError):
                each.unlink()


def _run(command: Sequence[str], said: Path, fault: Callable[[], str] | None) -> int:
    """The exit code of a compiler, which keeps its own files where the program goes.

    Parameters
    ----------
    said
        Where its messages go.
    fault
        Asked when it takes long; a compiler with a fault is ended. None: one that takes long is ended.

    Raises
    ------
    HangingError
        Where it is ended.
    """
    environment = {**os.environ, "TMPDIR": str(said.parent)}
    with said.open("wb") as messages:
        try:
            running = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages, env=environment,
                process_group=0,
            )  # fmt: skip
        except OSError as error:
            raise UnsupportedError(f"{command[0]} cannot be run: {error.strerror or error}") from error
        try:
            return running.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            if fault is not None and not fault():
                return running.wait()
            raise HangingError(f"{command[0]} does not come to an end") from None
        finally:
            if running.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
                running.wait()


def _ended(code: int) -> str:
    if code > 0:
        return f"it ended with code {code}"
    return f"it was ended by {signal.Signals(-code).name}"
