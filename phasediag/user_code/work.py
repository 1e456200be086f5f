"""Which code of the user's is at work: told to whoever looks, so that an end of the process has a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from phasediag.errors import INTERRUPTED, AdvisedError, PhasediagError
from phasediag.source_lines import CodeOrigin, explained, place_of

RAISE_INSTEAD: Final = "let it raise an error instead of ending the process"


class EndedError(AdvisedError, PhasediagError):
    """Code of the user's that ended the process that looked at it, or asked for its end, and how it did."""


@dataclass(frozen=True, slots=True)
class Work:
    """Code of the user's that runs now."""

    origin: CodeOrigin
    name: str
    """What the grid calls the class; of a file, its name."""
    doing: str
    """What it is asked for, such as `its data`."""

    @property
    def place(self) -> str:
        """File and line of the class; of a file, its path."""
        return place_of(self.origin)

    def __str__(self) -> str:
        return f"[{self.name}: {self.doing}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Onlooker:
    """Somebody who wants to know what code of the user's is at work."""

    tell: Callable[[Work | None], None] = lambda work: None
    """Called whenever other code begins to run; with None where none does any more."""
    apart: bool = False
    """Whether the process is there for this look alone: nobody but the user's code interrupts it."""
    works: list[Work] = field(default_factory=list)
    """What is at work, the innermost last."""

    def refused(self, ended: BaseException) -> EndedError | None:
        """The error that an end of the process is, where the user's code asked for it."""
        by_signal = isinstance(ended, KeyboardInterrupt) or getattr(ended, "code", None) == INTERRUPTED
        if by_signal and not self.apart:
            return None
        work = self.works[-1]
        return EndedError(f"{explained(ended, work.origin)} {work}", RAISE_INSTEAD)


_looks: list[Onlooker] = []


def looked_at() -> bool:
    """Whether somebody looks at what code of the user's does in this process."""
    return bool(_looks)


@contextmanager
def looking(look: Onlooker) -> Iterator[None]:
    """Tell `look` of all that runs within the block."""
    _looks.append(look)
    try:
        yield
    finally:
        _looks.remove(look)


@contextmanager
def at_work(origin: CodeOrigin, name: str, doing: str) -> Iterator[None]:
    """Tell whoever looks that a class of the user's runs within the block, or that her file is imported.

    Parameters
    ----------
    name
        What the grid calls it.
    doing
        What it is asked for.

    Raises
    ------
    EndedError
        Within a look, where the code asks for the end of the process (`sys.exit`); says at which line.
    """
    if not _looks:
        yield
        return
    look = _looks[-1]
    look.works.append(Work(origin, name, doing))
    look.tell(look.works[-1])
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as ended:
        error = look.refused(ended)
        if error is None:
            raise
        raise error from ended
    finally:
        look.works.pop()
        look.tell(look.works[-1] if look.works else None)
