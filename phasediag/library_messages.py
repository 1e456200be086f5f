"""What libraries say of themselves goes to a file; what a user's code warns of and prints she sees once."""

from __future__ import annotations

import io
import logging
import site
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, TextIO

from phasediag.locks import momentary_lock

LIBRARIES: Final = ("torch", "ray")
"""Whose loggers have handlers of their own."""
INNER: Final = "Triggered internally at"
"""In what torch's C++ warns of, wherever it was called."""


class ShownStream(io.TextIOBase):
    """A stream in the place of standard output or standard error, which has what code asks of these."""

    encoding = "utf-8"

    @property
    def buffer(self) -> io.RawIOBase:
        """What is written into by code that gives the stream an encoding of its own."""
        return _BytesOfStream(self)

    def reconfigure(self, **options: object) -> None:
        """Nothing: encoding, errors and buffers are those of standard error."""

    def fileno(self) -> int:
        """The descriptor of standard error, for processes that the user's code begins."""
        return 2


class _BytesOfStream(io.RawIOBase):
    """Bytes that are shown as text."""

    def __init__(self, shown: ShownStream) -> None:
        self._shown = shown

    def writable(self) -> bool:
        """It is there to be written."""
        return True

    def write(self, content: Any) -> int:
        """Show bytes as text."""
        held = bytes(content)
        self._shown.write(held.decode("utf-8", "replace"))
        return len(held)


class _PrintedLines(ShownStream):
    """Where a user's code prints: to standard error, each line once, for standard output holds results."""

    def __init__(self) -> None:
        self.begun = ""

    def write(self, text: str) -> int:
        """Show the lines that are complete, those that were not shown before."""
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            if line not in _lines():
                _lines().add(line)
                print(line, file=sys.stderr)
        return len(text)

    def close(self) -> None:
        """Show the line that has begun; another thread may go on to print here."""
        if self.begun:
            self.write("\n")


class _LogFile(logging.FileHandler):
    """A file that is made with the first message; one that cannot be written is no fault of a launch."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message if that can be done."""
        with suppress(OSError):
            super().emit(record)

    def close(self) -> None:
        """Close the file, whether or not all of it was written."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Nothing: what cannot be logged is lost."""


class _Latest(logging.Handler):
    """Hands messages on to the latest of the blocks that are open."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message where that block writes."""
        for handler in _open()[-1:]:
            handler.handle(record)


@contextmanager
def quiet(log: Path | None) -> Iterator[None]:
    """Send what libraries log and warn of within a block to a file, and what is printed to standard error.

    Blocks may be in one another, and in several threads at once, which end in any order: what libraries log
    goes to the file of the latest, and once the last has ended all is as it was before the first.

    Parameters
    ----------
    log
        The file; its folder need not be there yet. None: that of the block around this one, or nowhere.

    Notes
    -----
    A library that is loaded within the block may still speak for itself: load torch before.
    """
    with _changing:
        handler = _handler(log)
        if not _open():
            _outermost.enter_context(_as_before())
        _divert()
        _open().append(handler)
    try:
        with warnings.catch_warnings(), closing(_PrintedLines()) as printed, redirect_stdout(printed):
            warnings.showwarning = _show
            yield
    finally:
        with _changing:
            _open().remove(handler)
            if handler not in _open():
                handler.close()
            if not _open():
                _outermost.close()


def _handler(log: Path | None) -> logging.Handler:
    if log is None and _open():
        return _open()[-1]
    handler: logging.Handler = logging.NullHandler() if log is None else _LogFile(log, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    return handler


@contextmanager
def _as_before() -> Iterator[None]:
    """Let loggers, warnings and standard output be after a block as they were before."""
    root, diverted = logging.getLogger(), _diverted()
    silent = not root.handlers
    if silent:
        root.addHandler(_LATEST)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stdout):
            yield
    finally:
        while diverted:
            logger, handlers, propagate = diverted.pop()
            logger.handlers, logger.propagate = handlers, propagate
        if silent:
            root.removeHandler(_LATEST)


def _show(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    """Log a warning of a library's; show one of the user's own code once."""
    text = f"{category.__name__}: {' '.join(str(message).split())}"
    if INNER in text or _installed(filename):
        _LATEST.handle(logging.LogRecord("warnings", logging.WARNING, filename, lineno, text, None, None))
    elif (Path(filename).name, lineno) not in _shown():
        _shown().add((Path(filename).name, lineno))
        print(f"warning: {Path(filename).name}:{lineno}: {text}", file=sys.stderr)


_LATEST: Final = _Latest()
_changing: Final = momentary_lock()
_outermost: Final = ExitStack()
"""What the last block to end gives back."""

Printed = tuple[frozenset[str], frozenset[tuple[str, int]]]
"""Lines and warnings that were shown."""


def printed_before() -> Printed:
    """What this process has shown by now."""
    return frozenset(_lines()), frozenset(_shown())


def remember_printed(printed: Printed) -> None:
    """Leave out what another process has shown for this one."""
    _lines().update(printed[0])
    _shown().update(printed[1])


@cache
def _open() -> list[logging.Handler]:
    """Where the blocks that this process is in write, the outermost first."""
    return []


@cache
def _lines() -> set[str]:
    """The lines that were printed."""
    return set()


@cache
def _shown() -> set[tuple[str, int]]:
    """Name of the file, of which there may be copies, and line of each warning that was shown."""
    return set()


@cache
def _diverted() -> list[tuple[logging.Logger, list[logging.Handler], bool]]:
    """Loggers that do not speak for themselves now, with their handlers and whether they handed on before."""
    return []


def _divert() -> None:
    """Let the loggers of `LIBRARIES` that are known now, and later ones below them, speak to `_LATEST`."""
    names = [*LIBRARIES, *logging.root.manager.loggerDict]
    for logger in [logging.getLogger(name) for name in names if name.split(".")[0] in LIBRARIES]:
        if logger.handlers != [_LATEST] and (logger.handlers or logger.name in LIBRARIES):
            _diverted().append((logger, list(logger.handlers), logger.propagate))
            logger.handlers, logger.propagate = [_LATEST], False


def _installed(filename: str) -> bool:
    """Whether a file belongs to Python, to a library, or to phasediag."""
    paths = sysconfig.get_paths()
    libraries = {paths["stdlib"], paths["purelib"], paths["platlib"], *site.getsitepackages()}
    roots = [Path(folder) for folder in (*libraries, site.getusersitepackages())]
    path = Path(filename)
    return filename.startswith("<") or any(path.is_relative_to(r) for r in (*roots, Path(__file__).parent))
