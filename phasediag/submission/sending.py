"""A launch on a cluster from afar: sent, followed, stopped. It goes on whatever becomes of this process."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

from phasediag.errors import INTERRUPTED, ClusterError, MachineError
from phasediag.submission.jobs import LAUNCH_MARK, SWEEP_MARK, JobServerAwayError, SentLaunch
from phasediag.submission.parcel import Parcel

LOOK_SECONDS: Final = 1.0
"""Between two looks at the log of a job."""
AWAY_SECONDS: Final = 600.0
"""A job server that does not answer for so long is given up; its job may go on."""
LEASE_WAIT: Final = "3m"
"""Given to the lease of a head that is gone: a launch on a new one waits until it is free."""
ENDINGS: Final = (0, 1, 2, 3, INTERRUPTED)
"""Exit codes of a launch."""
NO_COMMAND: Final = 127
"""Exit code of a shell that finds no such command."""
GO_ON: Final = "submit the same grid again to go on"
KEPT: Final = "all that was recorded is kept"


class Server(Protocol):
    """What is used of a `JobServer`."""

    address: str

    def running(self, sweep: str) -> SentLaunch | None:
        """The launch of a sweep that has not ended."""

    def look(self, job: str) -> SentLaunch:
        """A launch as it is now."""

    def log(self, job: str) -> str:
        """All that it has written."""

    def send(self, job: str, command: str, folder: Path, marks: dict[str, str]) -> None:
        """Let the cluster run a command in a folder."""

    def stop(self, job: str) -> None:
        """Ask a launch to drain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A launch to be sent to a cluster."""

    parcel: Parcel
    storage: str
    options: tuple[str, ...] = ()
    """Options of `phasediag launch`, besides the grid and the storage."""

    @property
    def sweep(self) -> str:
        """The URI of the sweep that the job trains."""
        return sweep_in(self.storage, self.parcel.name)

    @property
    def digest(self) -> str:
        """What stands for it."""
        return self.parcel.digest(self.storage, *self.options)

    def command(self, grid: str) -> str:
        """What the cluster's head runs, where the grid lies at this path."""
        words = ("phasediag", "launch", grid, "--storage", self.storage, "--address", "auto")
        return f"exec {shlex.join((*words, '--wait', LEASE_WAIT, *self.options))}"


def sweep_in(storage: str, name: str) -> str:
    """A sweep by its name in a storage, as the job server is told it."""
    base, mark, query = storage.partition("?")
    return f"{base.rstrip('/')}/{name}{mark}{query}"


def send(sending: Sending, server: Server, say: Callable[[str], None]) -> str:
    """Send a launch, unless it is running there already; gives back the id of its job.

    Raises
    ------
    ClusterError
        Where another launch of the same sweep runs there, or the cluster does not take it.
    """
    there = server.running(sending.sweep)
    if there is not None:
        if there.launch != sending.digest:
            raise ClusterError(
                f"another launch of {sending.sweep} runs at {server.address} as job {there.job}, with "
                "another grid or other options; wait until it ends, or stop it: phasediag submit GRID --stop"
            )
        say(f"{sending.sweep} is in training already, as job {there.job} at {server.address}")
        return there.job
    job = f"{sending.parcel.name}-{uuid4().hex[:8]}"
    marks = {SWEEP_MARK: sending.sweep, LAUNCH_MARK: sending.digest}
    with tempfile.TemporaryDirectory(prefix="phasediag-submit-") as folder:
        root = Path(folder).resolve()
        grid = sending.parcel.placed(root)
        server.send(job, sending.command(grid), root, marks)
    say(f"job {job} at {server.address}: it goes on whatever becomes of this command")
    return job


def follow(job: str, server: Server, say: Callable[[str], None], *, written: int = 0) -> SentLaunch:
    """Say what a job writes, line by line, until it is over.

    Parameters
    ----------
    written
        Characters of its log that are known already.

    Raises
    ------
    MachineError
        Where the job server has not answered for `AWAY_SECONDS`.
    """
    away: float | None = None
    while True:
        started = time.monotonic()
        try:
            sent = server.look(job)
            log = server.log(job)
        except JobServerAwayError as error:
            if away is None:
                away = started
                say(f"note: {error}; trying again for {AWAY_SECONDS:.0f} s, and the job may go on")
            if started - away > AWAY_SECONDS:
                raise MachineError(f"{error}; {KEPT}: {GO_ON} when it does") from error
        else:
            away = None
            written += _say_lines(log[written:], say, rest=sent.over)
            if sent.over:
                return sent
        time.sleep(max(LOOK_SECONDS, 2 * (time.monotonic() - started)))


def _say_lines(text: str, say: Callable[[str], None], *, rest: bool) -> int:
    """Say complete lines, and with `rest` also one that is not; gives how many characters that took."""
    end = len(text) if rest else text.rfind("\n") + 1
    for line in text[:end].splitlines():
        say(line)
    return end


def ending(sent: SentLaunch, server: Server) -> int:
    """The exit code of a launch whose job is over.

    Raises
    ------
    ClusterError
        Where the cluster has no phasediag.
    MachineError
        Where the job ended otherwise than by itself.
    """
    if sent.state == "STOPPED":
        return INTERRUPTED
    if sent.state == "SUCCEEDED":
        return 0
    if sent.exit_code in ENDINGS:
        return int(sent.exit_code)
    if sent.exit_code == NO_COMMAND:
        raise ClusterError(
            f"the head of the cluster at {server.address} has no command `phasediag` on the PATH with which "
            "its Ray was started; install phasediag there, in the environment of that Ray, on every node"
        )
    how = "was ended" if sent.exit_code is None else f"ended with code {sent.exit_code}"
    lines: Sequence[str] = [line for line in sent.message.splitlines() if line.strip()]
    why = f" ({lines[-1].strip()})" if lines and sent.exit_code is None else ""
    raise MachineError(f"job {sent.job} {how} from outside{why}; {KEPT}: {GO_ON} when the cluster is well")


def stop(sweep: str, server: Server, say: Callable[[str], None]) -> None:
    """Let the launch of a sweep drain, and wait until it is over.

    Raises
    ------
    MachineError
        Where it ended otherwise than by itself.
    """
    there = server.running(sweep)
    if there is None:
        say(f"no launch of {sweep} runs at {server.address}")
        return
    written = len(server.log(there.job))
    server.stop(there.job)
    say(f"job {there.job} drains: what is finished is committed, and a checkpoint kept of what is not")
    code = ending(follow(there.job, server, say, written=written), server)
    say(f"stopped; {GO_ON}" if code == INTERRUPTED else f"it has ended by itself, with code {code}")
