"""The file of a lease: who holds it, for how long it has been silent, and what taking one must do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Protocol

from phasediag.storage.folder import Folder
from phasediag.storage.holder import Holder

LEASE: Final = "lease"
"""The name of the file, in the folder of the sweep."""


class LeaseFile(Protocol):
    """The ways of taking a lease; each is for one process, which holds it or not."""

    def take(self, holder: Holder) -> bool:
        """Take the lease where it is free; whether it was."""

    def renew(self, holder: Holder) -> bool:
        """Write the heartbeat, also where the file was deleted; False where somebody else holds the lease."""

    def release(self) -> None:
        """Give the lease back, unless somebody else holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseState:
    """What the file of a lease says."""

    holder: Holder | None
    fault: str
    """Why nobody is known to hold it; empty where somebody is."""

    @classmethod
    def parse(cls, content: bytes) -> LeaseState:
        """What a content says."""
        try:
            return cls(holder=Holder.parse(content), fault="")
        except ValueError as error:
            return cls(holder=None, fault=str(error))

    @classmethod
    def of(cls, folder: Folder, name: str) -> LeaseState:
        """What lies in a folder under the name of a lease."""
        if is_folder(folder, name):
            return cls(holder=None, fault="it is a folder")
        try:
            return cls.parse(folder.read(name))
        except FileNotFoundError:
            return cls(holder=None, fault="there is none")

    def free(self, silent_s: float | None, limit_s: float) -> bool:
        """Whether anybody may take it after so many seconds of silence, None where there is no file.

        Silence is told by clocks, which may be set: a process that is seen to run holds it all the same.
        """
        if self.holder is not None:
            if self.holder.released:
                return True
            running = self.holder.running
            if running is not None:
                return not running
        return silent_s is None or silent_s > limit_s

    def of_token(self, token: str) -> bool:
        """Whether it is held by the taker of that token."""
        return self.holder is not None and self.holder.token == token


@dataclass(slots=True, kw_only=True)
class NamedLease:
    """A lease whose file names its holder's token, and is deleted when the lease is given back."""

    folder: Folder
    name: str
    silence_s: float
    token: str = ""
    """What the holder is known by that this process was, or tried to be; empty before."""

    def release(self) -> None:
        """Delete the file, unless somebody else holds the lease."""
        if self._is_mine():
            self.folder.delete(self.name)

    def _is_mine(self) -> bool:
        return LeaseState.of(self.folder, self.name).of_token(self.token)


def silent_seconds(folder: Folder, name: str) -> float | None:
    """Seconds since the last heartbeat, less than 0 where it lies in the future; None without a file."""
    entry = folder.entry(name)
    if entry is None:
        return None
    now = folder.now_ns()
    return 0.0 if now is None else (now - entry.mtime_ns) / 1e9


def is_free(folder: Folder, name: str, limit_s: float) -> bool:
    """Whether anybody may take a lease."""
    state = LeaseState.of(folder, name)
    return state.free(0.0, limit_s) or state.free(silent_seconds(folder, name), limit_s)


def is_folder(folder: Folder, name: str) -> bool:
    """Whether a folder lies where the lease should."""
    return folder.local and os.path.isdir(os.path.join(folder.path, name))
