"""A process that looks at the user's code for its parent, as it sees itself (`apart.py`)."""

from __future__ import annotations

import faulthandler
import mmap
import os
import pickle
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, Final, NoReturn

from phasediag.errors import PhasediagError
from phasediag.library_messages import ShownStream, printed_before
from phasediag.source_lines import CodeOrigin, line_of, of_the_user
from phasediag.user_code.work import Onlooker, Work, looking

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

NOTED_BYTES: Final = 8192
"""Bytes for what is noted: in the first half the class at work, in the second the line that ends it all."""
SAID, MADE, RAISED = "said", "made", "raised"
"""What a message is: a text for standard error, the result of the look, its error."""
_ENDING: Final = frozenset({"os.kill", "signal.pthread_kill"})
"""Events of Python's by which a process may end itself."""


class Looker:
    """What a child of this process does.

    Parameters
    ----------
    answers
        Where messages go: pickled pairs of a kind and its content.
    noted
        Memory that the parent shares.
    fatal
        A pipe for what `faulthandler` writes.
    alive
        A pipe that ends when the parent does.
    """

    def __init__(self, answers: Connection, noted: mmap.mmap, fatal: int, alive: int) -> None:
        self.answers, self.noted, self.fatal, self.alive = answers, noted, fatal, alive
        self.leave = os._exit
        self.pid = os.getpid()
        self._places: dict[CodeOrigin, str] = {}

    def take(self, look: Callable[[], Any]) -> NoReturn:
        """Look, answer, and end without anything that a process does at its end."""
        try:
            self._prepare()
            relay = _Relay(self)
            with (
                redirect_stderr(relay),
                redirect_stdout(relay),
                looking(Onlooker(tell=self._note, apart=True)),
            ):
                made = look()
            self.send(MADE, (made, printed_before()))
        except BaseException as error:  # whatever it is, the parent has to hear of it
            trace = "".join(traceback.format_exception(error))
            self.send(RAISED, ((portable(error), trace), printed_before()))
        finally:
            self.leave(0)

    def send(self, kind: str, content: Any) -> None:
        """Give the parent a message."""
        self.answers.send_bytes(pickle.dumps((kind, content)))

    def _prepare(self) -> None:
        """Leave signals to the parent, one thread to torch, no core behind; note what ends the process.

        The threads by which torch has computed are the parent's: a child that asked for them would wait.
        """
        for number in signal.valid_signals() - {signal.SIGCHLD}:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)
        faulthandler.enable(file=self.fatal, all_threads=False)
        for name in ("dump_traceback_later", "cancel_dump_traceback_later"):  # wait for the parent's thread
            setattr(faulthandler, name, lambda *given, **named: None)
        sys.addaudithook(self._audit)
        os._exit = self._exit
        threading.Thread(target=self._end_with_parent, daemon=True).start()

    def _end_with_parent(self) -> None:
        os.read(self.alive, 1)
        self.leave(0)

    def _exit(self, status: int) -> NoReturn:
        self._note_line()
        self.leave(status)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _ENDING:
            self._note_line()

    def _note(self, work: Work | None) -> None:
        if work is None:
            return
        if work.origin not in self._places:
            self._places[work.origin] = work.place
        self._write(0, f"{self._places[work.origin]}\n{work}")

    def _note_line(self) -> None:
        """Note the line of the user's that runs; not where a process of hers ends, which she forked."""
        frames = [f for f in traceback.extract_stack() if of_the_user(f.filename)]
        if frames and os.getpid() == self.pid:
            self._write(1, f"{frames[-1].filename}:{frames[-1].lineno}")

    def _write(self, half: int, text: str) -> None:
        size = NOTED_BYTES // 2
        self.noted[half * size : (half + 1) * size] = text.encode()[:size].ljust(size, b"\0")


def noted_in(noted: mmap.mmap) -> tuple[str, str, str]:
    """File and line of the class at work, the class in words, and the line that ended the process."""
    size = NOTED_BYTES // 2
    at_work, line = (
        noted[start : start + size].rstrip(b"\0").decode(errors="replace") for start in (0, size)
    )
    place, _, words = at_work.partition("\n")
    return place, words, line


def portable(error: BaseException) -> Exception:
    """An error that can be pickled: the same, or one with its text."""
    if not isinstance(error, Exception):
        return PhasediagError(f"{line_of(error)}: {type(error).__name__}: {error}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # of a class of the user's, or one that keeps what cannot be pickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class _Relay(ShownStream):
    """What is printed: the parent writes it, for a thread of the parent's may hold the stream."""

    def __init__(self, looker: Looker) -> None:
        self._looker = looker

    def write(self, text: str) -> int:
        """Hand a text over."""
        self._looker.send(SAID, text)
        return len(text)
