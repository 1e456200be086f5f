"""One launch at a time: a file that says who is at work on a sweep, with a heartbeat.

The heartbeat is the modification time of the file, by the clock of its filesystem: hosts whose
clocks differ agree on it. How the file is taken, so that there are never two holders, depends on what its
filesystem can do: `lease_on_disk`, `lease_on_condition`, `lease_by_claims`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Final, Protocol, Self

from phasediag.errors import LeaseHeldError, StoreError
from phasediag.storage.conditional import conditional_folder
from phasediag.storage.folder import Folder
from phasediag.storage.holder import Holder
from phasediag.storage.lease_by_claims import LeaseByClaims
from phasediag.storage.lease_file import LEASE, LeaseFile, LeaseState, is_folder, silent_seconds
from phasediag.storage.lease_on_condition import LeaseOnCondition
from phasediag.storage.lease_on_disk import LeaseOnDisk

HEARTBEAT_S: Final = 10.0
NEWS_S: Final = 1.0
"""Between two heartbeats at least, however much news there is."""
SILENCE_S: Final = 120.0
"""A lease is free again after this long without a heartbeat."""


class HasFolder(Protocol):
    """A store, or whatever else lives in one folder."""

    @property
    def folder(self) -> Folder:
        """Where the lease lies."""


class Lease:
    """A lease that this process holds; its heartbeat runs in a thread until it is released."""

    def __init__(
        self, folder: Folder, name: str, file: LeaseFile, holder: Holder, heartbeat_s: float,
        silence_s: float, on_lost: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.holder = holder
        self._folder = folder
        self._name = name
        self._file = file
        self._heartbeat_s = heartbeat_s
        self._silence_s = silence_s
        self._news: Callable[[], Mapping[str, float | None]] = dict
        self._on_fault: Callable[[str], None] = lambda fault: None
        self._faults: set[str] = set()
        self._beats = 0
        self._on_lost = on_lost
        self._lost = threading.Event()
        self._stop = threading.Event()
        self._early = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name=f"lease {name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether someone else holds it now, or may: this launch must drain."""
        return self._lost.is_set()

    def tell(
        self,
        news: Callable[[], Mapping[str, float | None]],
        on_fault: Callable[[str], None] = lambda fault: None,
    ) -> None:
        """Ask for numbers at every heartbeat, and tell them with it.

        Parameters
        ----------
        on_fault
            Is told of an error in asking, in the thread of the heartbeat, once for all that say the same.
        """
        self._news, self._on_fault = news, on_fault

    def refresh(self) -> None:
        """Let the next heartbeat come at once: there is news."""
        self._early.set()

    def release(self) -> None:
        """Stop the heartbeat and free the lease, if it is still this process's."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._early.set()
        self._thread.join()
        with suppress(StoreError, FileNotFoundError):
            self._file.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _with_news(self) -> Holder:
        self._beats += 1
        try:
            return replace(self.holder, beats=self._beats, news=dict(self._news()))
        except RuntimeError:  # what it is made of was changed by another thread: the next heartbeat tells it
            pass
        except Exception as error:  # no launch may lose its lease for its news
            fault = f"{type(error).__name__}: {error}"
            if fault not in self._faults:
                self._faults.add(fault)
                self._on_fault(f"`status` cannot be told how far this launch is ({fault})")
        return replace(self.holder, beats=self._beats)

    def _beat_until_stopped(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(min(NEWS_S, self._heartbeat_s)):
            self._early.wait(max(0.0, self._heartbeat_s - NEWS_S))
            self._early.clear()
            if self._stop.is_set():
                return
            begun = time.monotonic()
            try:
                cause = self._beat()
                last = begun
            except Exception as error:  # a heart that stops without a word lets another launch in
                silent = time.monotonic() - last
                foreseen = isinstance(error, StoreError | FileNotFoundError)
                said = str(error) if foreseen else f"{type(error).__name__}: {error}"
                cause = f"{said} (for {silent:.0f} s now)" if silent > self._silence_s else ""
            if cause:
                self._lost.set()
                self._on_lost(cause)
                return

    def _beat(self) -> str:
        """Renew the lease, and take it again where it was deleted; why it is lost, empty where it is not."""
        where = self._folder.uri
        if self._folder.local and not os.path.isdir(self._folder.path):
            return f"the folder of the sweep {where} is gone: it was moved or removed while the launch ran"
        if self._file.renew(self._with_news()):
            return ""
        state = LeaseState.of(self._folder, self._name)
        other = state.holder
        who = (
            f"{other.user} on host {other.host}, process {other.pid}"
            if other
            else f"its lease: {state.fault}"
        )
        return f"another launch has taken over the sweep {where} ({who})"


def take(
    sweep: HasFolder,
    *,
    name: str = LEASE,
    purpose: str = "launch",
    heartbeat_s: float = HEARTBEAT_S,
    silence_s: float = SILENCE_S,
    on_lost: Callable[[str], None] = lambda cause: None,
) -> Lease:
    """Take the lease of a sweep.

    It is free where nobody holds it, where the holder was a process of this machine that no longer
    runs, and where one of another machine has been silent for `silence_s`. Of several that take it at
    once, one does.

    Parameters
    ----------
    on_lost
        Called once with the cause, in the thread of the heartbeat, where someone else holds the lease or may:
        within `heartbeat_s` of its being taken over, or after `silence_s` in which it could not be renewed;
        and where the folder of the sweep is gone.

    Raises
    ------
    LeaseHeldError
        Where another process holds it; says who, since when, and when it is free again.
    StoreError
        Where the sweep cannot be written, or what its bucket takes is not installed.
    """
    folder = sweep.folder
    holder = Holder.this_process(purpose, folder.uri)
    file = _lease_file(folder, name, silence_s)
    if not file.take(holder):
        raise LeaseHeldError(_held_by(folder, name, silence_s))
    return Lease(folder, name, file, holder, heartbeat_s, silence_s, on_lost)


def held_by(sweep: HasFolder, name: str = LEASE, silence_s: float = SILENCE_S) -> Holder | None:
    """Who holds the lease of a sweep; None where it is free, or its file is none.

    Nothing is written: its silence is taken by the clock of this host.
    """
    folder = sweep.folder
    entry, state = folder.entry(name), LeaseState.of(folder, name)
    silent_s = 0.0 if entry is None else (time.time_ns() - entry.mtime_ns) / 1e9
    return None if state.free(silent_s, silence_s) else state.holder


def fault_of_lease(folder: Folder, name: str) -> str:
    """Why the file of a lease is none; empty where it is one, or not there."""
    state = LeaseState.of(folder, name)
    return state.fault if state.holder is None and folder.entry(name) is not None else ""


def _lease_file(folder: Folder, name: str, silence_s: float) -> LeaseFile:
    """The way of taking a lease that its filesystem has."""
    if folder.local:
        return LeaseOnDisk(folder=folder, name=name, silence_s=silence_s)
    conditional = conditional_folder(folder)
    if conditional is None:
        return LeaseByClaims(folder=folder, name=name, silence_s=silence_s)
    return LeaseOnCondition(folder=folder, conditional=conditional, name=name, silence_s=silence_s)


def _held_by(folder: Folder, name: str, silence_s: float) -> str:
    """Why a lease could not be taken, and what to do."""
    state = LeaseState.of(folder, name)
    holder, fault = state.holder, state.fault
    silent, file = silent_seconds(folder, name) or 0.0, folder.address(name)
    if is_folder(folder, name):
        return f"{file} is a folder, where the lease of the sweep should lie: remove it, and launch again"
    remedy = "wait until it ends, stop it there, or choose another name"
    free = f"the lease is free again after {silence_s:.0f} s of silence"
    if holder is not None and holder.running:
        free = "the lease is free as soon as that process has ended"
    elif silent < -1.0:
        free = (
            f"its heartbeat lies {-silent:.0f} s in the future, as the clock of the storage was set back, or "
            f"the file is a copy: if nobody trains there, delete {file}"
        )
    if holder is None or holder.released:
        who = "another process, which is just taking it"
        if fault not in ("", "there is none"):
            who += f", or by nobody: {file} is no lease ({fault})"
        return f"the sweep {folder.uri} is held by {who}; {remedy}: {free}"
    who = (
        f"{holder.user} on host {holder.host} (process {holder.pid}), a {holder.purpose} "
        f"running since {holder.since}, last heartbeat {max(0.0, silent):.0f} s ago"
    )
    if holder.sweep not in ("", folder.uri):
        who += f" (the lease was taken of the sweep {holder.sweep}: if this one is a copy, delete {file})"
    return f"the sweep {folder.uri} is held by {who}; {remedy}: {free}"
