"""What libraries say of themselves goes to a file; what a user's code warns of and prints she sees once."""

from __future__ import annotations

import io
import logging
import site
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Final, TextIO

LIBRARIES: Final = ("torch", "ray")
"""Whose loggers have handlers of their own."""
INNER: Final = "Triggered internally at"
"""In what torch's C++ warns of, wherever it was called."""


class _Printed(io.TextIOBase):
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
        """Show the line that has begun."""
        if self.begun:
            self.write("\n")
        super().close()


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


@contextmanager
def quiet(log: Path | None) -> Iterator[None]:
    """Send what libraries log and warn of within a block to a file, and what is printed to standard error.

    Parameters
    ----------
    log
        The file; its folder need not be there yet. None: that of the block around this one, or nowhere.

    Notes
    -----
    A library that is loaded within the block may still speak for itself: load torch before.
    """
    handler: logging.Handler = logging.NullHandler() if log is None else _LogFile(log, delay=True)
    if log is None and _open():
        handler = _open()[-1]
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        text = f"{category.__name__}: {' '.join(str(message).split())}"
        if INNER in text or _installed(filename):
            handler.handle(logging.LogRecord("warnings", logging.WARNING, filename, lineno, text, None, None))
        elif (Path(filename).name, lineno) not in _shown():
            _shown().add((Path(filename).name, lineno))
            print(f"warning: {Path(filename).name}:{lineno}: {text}", file=sys.stderr)

    silent = not root.handlers
    if silent:
        root.addHandler(handler)
    _open().append(handler)
    try:
        with warnings.catch_warnings(), closing(_Printed()) as printed, redirect_stdout(printed):
            warnings.showwarning = show
            with _diverted(handler):
                yield
    finally:
        _open().pop()
        if silent:
            root.removeHandler(handler)
        if handler not in _open():
            handler.close()


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


@contextmanager
def _diverted(handler: logging.Handler) -> Iterator[None]:
    """Let the loggers of `LIBRARIES` write there: those that are known now, and later ones below them."""
    names = [*LIBRARIES, *logging.root.manager.loggerDict]
    loggers = [logging.getLogger(name) for name in names if name.split(".")[0] in LIBRARIES]
    before = [(logger, list(logger.handlers), logger.propagate) for logger in loggers]
    for logger, handlers, _ in before:
        if handlers or logger.name in LIBRARIES:
            logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate


def _installed(filename: str) -> bool:
    """Whether a file belongs to Python, to a library, or to phasediag."""
    paths = sysconfig.get_paths()
    libraries = {paths["stdlib"], paths["purelib"], paths["platlib"], *site.getsitepackages()}
    roots = [Path(folder) for folder in (*libraries, site.getusersitepackages())]
    path = Path(filename)
    return filename.startswith("<") or any(path.is_relative_to(r) for r in (*roots, Path(__file__).parent))
