"""Who of a machine's workers gets ready while one of its cores compiles."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psutil

POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Lets as many workers go on as there are cores beside a compiler; the others wait until it has ended.

    All of them need the program that it compiles. More processes than cores would only make it late.
    """

    compiler: int
    """Its process id."""
    seats: tuple[Path, ...]
    """A file for each worker that may go on, taken by whoever makes it."""

    @classmethod
    def beside(cls, compiler: int, folder: Path) -> Self:
        """Turns on this machine, with its seats in an empty folder."""
        cores = psutil.cpu_count() or 1
        return cls(compiler=compiler, seats=tuple(folder / f"seat-{i}" for i in range(max(1, cores - 1))))

    def wait(self) -> None:
        """Return at once for those who get a seat, for the others when the compiler has ended."""
        if any(_taken(seat) for seat in self.seats):
            return
        while _runs(self.compiler):
            time.sleep(POLL_SECONDS)


def _taken(seat: Path) -> bool:
    """Whether this call takes it."""
    try:
        os.close(os.open(seat, os.O_CREAT | os.O_EXCL))
    except OSError:
        return False
    return True


def _runs(process: int) -> bool:
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
