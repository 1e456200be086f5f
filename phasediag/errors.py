"""What can go wrong, told so that the reader knows what to do next."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

BAD_INPUT: Final = 2
"""Exit code of everything that is refused before it runs."""
MACHINE_FAILED: Final = 3
"""Exit code where the machine or the cluster failed under a launch; all that was recorded is kept."""
INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, SIGTERM or a time limit; all finished work is kept."""


class PhasediagError(Exception):
    """A mistake or a limit that the user can act on; printed without a traceback."""

    exit_code: int = BAD_INPUT


class RefusedError(ValueError):
    """A value that cannot be, and what can be done about it, from where nobody knows where it stands.

    Parameters
    ----------
    problem
        What is wrong with which value.
    remedy
        What is allowed; empty where the problem says it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.problem, self.remedy)))

    @classmethod
    def of(cls, error: ValueError) -> RefusedError:
        """The refusal that an error is, or whose problem it tells."""
        return error if isinstance(error, RefusedError) else cls(str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong in a grid."""

    where: str
    """`file:line` of the fault."""
    key: str
    """The key at fault, dotted from the top level (`axes.width`)."""
    problem: str
    """What is wrong with which value."""
    remedy: str
    """What is allowed, and the nearest valid name where there is one."""

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.problem}; {self.remedy}"


class GridError(PhasediagError):
    """A grid that is refused, with all its faults at once."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class StoreError(PhasediagError):
    """A sweep that cannot be read or written."""


class LeaseHeldError(PhasediagError):
    """Another launch of the same sweep is running."""


class AnalysisError(PhasediagError):
    """A diagram or a fit that cannot be made from these rows."""


class ClusterError(PhasediagError):
    """A cluster or a storage that cannot run this sweep."""


class MachineError(PhasediagError):
    """The machine failed while it trained: no trial is to blame."""

    exit_code = MACHINE_FAILED


class TileRaisedError(MachineError):
    """Every trial of a tile raised: the machine may be at fault, and another one is to try."""


WAYS_OUT: Final = {
    (errno.ENOSPC, errno.EDQUOT): "free some space there, or choose another place",
    (errno.EROFS, errno.EACCES, errno.EPERM): "choose a place that you may read and write",
    (errno.ENOENT, errno.ENOTDIR): "check the path; a folder must be there first",
    (errno.EMFILE, errno.ENFILE): "let more files be open: `ulimit -n`",
    (errno.EAGAIN, errno.ENOMEM): "give the process more memory or more processes: `ulimit -u`, `ulimit -v`",
}
"""What to do about errors of the operating system."""


def in_words(error: OSError) -> str:
    """An error of the operating system in one line: what, where, and what to do."""
    where = "".join(f" '{name}'" for name in (error.filename, error.filename2) if name)
    advice = next((advice for numbers, advice in WAYS_OUT.items() if error.errno in numbers), "")
    what = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return "; ".join(filter(None, [f"{what}:{where}" if where else what, advice]))


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint naming the valid name that is closest, or an empty text."""
    match = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"did you mean '{match[0]}'?" if match else ""
