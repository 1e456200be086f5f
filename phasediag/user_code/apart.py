"""A look at the user's code by a process of its own: what ends that process ends no command.

A class may call `os._exit`, fail in C, or be killed for the memory that it takes. Where the system can fork,
a child of this process takes the look. It shares all that is loaded, so that it costs some milliseconds, and
gives its result, or its error, back by a pipe. Where it ends without, what it noted in shared memory says
which class was at work, and at which line.
"""

from __future__ import annotations

import mmap
import os
import pickle
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from phasediag.library_messages import remember_printed
from phasediag.locks import PROCESS
from phasediag.source_lines import of_the_user
from phasediag.user_code.looker import MADE, NOTED_BYTES, SAID, Looker, noted_in
from phasediag.user_code.work import RAISE_INSTEAD, EndedError, Onlooker, looked_at, looking

_Made = TypeVar("_Made")

TICK_S: Final = 0.1
"""Between two glances whether the child is there at all, while it says nothing."""
STUCK_S: Final = 20.0
"""Without any use of a processor, after which a child is taken to wait for ever: for a lock that another
thread held as it was forked, such as that of a module that is being imported. The look is taken here then."""
_OF_FORK: Final = ("fork-based multiprocessing", "forked subprocess", "CUDA error: initialization error")
"""In what torch says where a child asks for a GPU, or for threads, that its parent has begun to use."""
_FRAME: Final = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
"""In what `faulthandler` writes, the innermost first."""


class UnforkedError(Exception):
    """What a look needs and no child of this process can do.

    Such as to compute on a GPU that its parent has used, or to take a lock of another thread's.
    """


class TracebackError(Exception):
    """Stands for the traceback of an error in the process that looked, as its cause."""


def apart(look: Callable[[], _Made]) -> _Made:
    """What a look at the user's code gives, taken by another process where that can be.

    Parameters
    ----------
    look
        Leaves nothing behind in the process; what it gives can be pickled.

    Raises
    ------
    EndedError
        Where the code ended the process: names the class, and the line where it is known.
    Exception
        Whatever the look raises.
    """
    if not _forks():
        return _here(look)
    try:
        child = _Child(look)
    except OSError:  # the system has no more processes, memory or files
        return _here(look)
    try:
        made: _Made = child.answer()
    except UnforkedError:
        return _here(look)
    finally:
        child.end()
    return made


def withstood(look: Callable[[], object]) -> None:
    """See that a look at the user's code ends no process, before this process takes that look itself.

    For what a process has to have for itself, such as an imported module. Nothing is done within a look, nor
    where the system cannot fork.

    Parameters
    ----------
    look
        What it raises, but for an end of the process, is left to the look that this process takes.

    Raises
    ------
    EndedError
        Where the code ended the process, or asked for its end.
    """
    if looked_at() or not _forks():
        return

    def taken() -> None:
        try:
            look()
        except EndedError:
            raise
        except Exception:
            return

    apart(taken)


def _forks() -> bool:
    """Whether a child can use what is loaded: neither after CUDA has begun, nor beside the threads of Ray.

    On macOS the libraries of the system refuse to work in a child.
    """
    if not hasattr(os, "fork") or sys.platform == "darwin":
        return False
    torch, ray = sys.modules.get("torch"), sys.modules.get("ray")
    return not (torch and torch.cuda.is_initialized()) and not (ray and ray.is_initialized())


def _here(look: Callable[[], _Made]) -> _Made:
    with looking(Onlooker()):
        return look()


class _Child:
    """A process that looks, as its parent sees it."""

    def __init__(self, look: Callable[[], Any]) -> None:
        from multiprocessing.connection import Pipe  # who reads the record alone does without

        self.noted = mmap.mmap(-1, NOTED_BYTES)
        self.fatal, fatal = os.pipe()
        alive, self.alive = os.pipe()
        self.answers, answers = Pipe(duplex=False)
        self.code: int | None = None
        self.used, self.since = 0.0, time.monotonic()
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):
                stream.flush()
        with PROCESS, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: none holds what the look needs
            self.pid = os.fork()
        if not self.pid:
            os.close(self.alive)
            Looker(answers, self.noted, fatal, alive).take(look)
        os.close(alive)
        os.close(fatal)
        answers.close()

    def answer(self) -> Any:
        """What the look gives; shows meanwhile what the child prints."""
        while not self._silent():
            try:
                kind, content = pickle.loads(self.answers.recv_bytes())
            except EOFError:
                break
            if kind == SAID:
                sys.stderr.write(content)
                continue
            made, printed = content
            remember_printed(printed)
            if kind == MADE:
                return made
            error, trace = made
            if any(words in trace for words in _OF_FORK):
                raise UnforkedError(str(error))
            raise error from TracebackError(trace)
        raise self._death()

    def end(self) -> None:
        """Let nothing be left of it."""
        with suppress(ProcessLookupError):
            if not self._ended():
                os.kill(self.pid, signal.SIGKILL)
        self._ended(wait=True)
        self.answers.close()
        os.close(self.fatal)
        os.close(self.alive)
        self.noted.close()

    def _silent(self) -> bool:
        """Wait for a message; whether the child has ended without another one.

        A process that the user's code has begun may hold the pipe open.
        """
        while not self.answers.poll(TICK_S):
            if self._ended() and not self.answers.poll(0):
                return True
            if self._stuck():
                raise UnforkedError("it waits, perhaps for what a thread of its parent held")
        return False

    def _stuck(self) -> bool:
        """Whether for `STUCK_S` it has used no processor, and no process that it began is there."""
        import psutil

        now = time.monotonic()
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            used = sum(process.cpu_times()[:2])
            if used != self.used or (now - self.since > STUCK_S and process.children()):
                self.used, self.since = used, now
        return now - self.since > STUCK_S

    def _ended(self, *, wait: bool = False) -> bool:
        if self.code is None:
            try:
                pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            except ChildProcessError:  # whoever ignores SIGCHLD is not told how children end
                pid, status = self.pid, 0
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def _death(self) -> EndedError:
        """Who was at work when it ended, and how it ended."""
        self._ended(wait=True)
        place, words, line = noted_in(self.noted)
        os.set_blocking(self.fatal, False)
        with suppress(BlockingIOError):
            line = _line_in(os.read(self.fatal, 2**16).decode(errors="replace")) or line
        ended, remedy = _in_words(self.code or 0)
        return EndedError(f"{line or place}: {ended} {words}", remedy)


def _in_words(code: int) -> tuple[str, str]:
    """How a process ended, and what to do about it."""
    if code >= 0:
        return f"the process ended with exit code {code}", RAISE_INSTEAD
    names = [each.name for each in signal.Signals if each == -code]
    ended = f"the process was ended by signal {-code}{f' ({names[0]})' if names else ''}"
    if -code == signal.SIGKILL:
        return ended, "it sent that itself, or took more memory than there is"
    return ended, "something outside Python failed in it: try that line by itself, by python -X faulthandler"


def _line_in(dump: str) -> str:
    """The innermost line of the user's own in what `faulthandler` wrote; '' where there is none."""
    frames = (frame for frame in _FRAME.finditer(dump) if of_the_user(frame["file"]))
    return next((f"{frame['file']}:{frame['line']}" for frame in frames), "")
