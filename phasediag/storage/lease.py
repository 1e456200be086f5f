"""One launch at a time: a file that says who is at work on a sweep, with a heartbeat.

The heartbeat is the modification time of the file, by the clock of its filesystem: hosts whose
clocks differ agree on it.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from phasediag.errors import LeaseHeldError, StoreError
from phasediag.storage.folder import Folder
from phasediag.storage.holder import Holder

HEARTBEAT_S: Final = 10.0
NEWS_S: Final = 1.0
"""Between two heartbeats at least, however much news there is."""
SILENCE_S: Final = 120.0
"""A lease is free again after this long without a heartbeat."""
SETTLE_S: Final = 2.0
"""On an object store: how long to wait for another taker before reading back who won."""


class HasFolder(Protocol):
    """A store, or whatever else lives in one folder."""

    @property
    def folder(self) -> Folder:
        """Where the lease lies."""


class Lease:
    """A lease that this process holds; its heartbeat runs in a thread until it is released."""

    def __init__(
        self, folder: Folder, name: str, holder: Holder, heartbeat_s: float, silence_s: float,
        on_lost: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.holder = holder
        self._folder = folder
        self._name = name
        self._heartbeat_s = heartbeat_s
        self._silence_s = silence_s
        self._news: Callable[[], Mapping[str, float | None]] = dict
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

    def tell(self, news: Callable[[], Mapping[str, float | None]]) -> None:
        """Ask for numbers at every heartbeat, and tell them with it."""
        self._news = news

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
            if self._is_mine():
                self._folder.delete(self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _is_mine(self) -> bool:
        held, _ = _read(self._folder, self._name)
        return held is not None and held.token == self.holder.token

    def _with_news(self) -> Holder:
        try:
            return replace(self.holder, news=dict(self._news()))
        except RuntimeError:  # what it is made of changed meanwhile: the next heartbeat will tell
            return self.holder

    def _beat_until_stopped(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(min(NEWS_S, self._heartbeat_s)):
            self._early.wait(max(0.0, self._heartbeat_s - NEWS_S))
            self._early.clear()
            if self._stop.is_set():
                return
            try:
                cause = self._beat()
                last = time.monotonic()
            except (StoreError, FileNotFoundError) as error:
                silent = time.monotonic() - last
                cause = f"{error} (for {silent:.0f} s now)" if silent > self._silence_s else ""
            if cause:
                self._lost.set()
                self._on_lost(cause)
                return

    def _beat(self) -> str:
        """Renew the lease, and take it again where it was deleted; why it is lost, empty where it is not."""
        where = self._folder.uri
        if self._folder.local and not os.path.isdir(self._folder.path):
            return f"the folder of the sweep {where} is gone: it was moved or removed while the launch ran"
        if self._folder.entry(self._name) is None:
            if self._folder.local:
                _created(Path(self._folder.path) / self._name, _text(self._with_news()))
            else:
                self._folder.write(self._name, _text(self._with_news()))
        elif self._is_mine():
            self._folder.write(self._name, _text(self._with_news()))
        if self._is_mine():
            return ""
        other, fault = _read(self._folder, self._name)
        who = f"{other.user} on host {other.host}, process {other.pid}" if other else f"its lease: {fault}"
        return f"another launch has taken over the sweep {where} ({who})"


def take(
    sweep: HasFolder,
    *,
    name: str = "lease",
    purpose: str = "launch",
    heartbeat_s: float = HEARTBEAT_S,
    silence_s: float = SILENCE_S,
    settle_s: float = SETTLE_S,
    on_lost: Callable[[str], None] = lambda cause: None,
) -> Lease:
    """Take the lease of a sweep.

    It is free where nobody holds it, where the holder was a process of this machine that no longer
    runs, and where it has been silent for `silence_s`.

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
        Where the sweep cannot be written.
    """
    folder = sweep.folder
    holder = Holder.this_process(purpose, folder.uri)
    taken = _take_local if folder.local else _take_remote
    if not taken(folder, name, holder, silence_s, settle_s):
        raise LeaseHeldError(_held_by(folder, name, silence_s))
    return Lease(folder, name, holder, heartbeat_s, silence_s, on_lost)


def held_by(sweep: HasFolder, name: str = "lease", silence_s: float = SILENCE_S) -> Holder | None:
    """Who holds the lease of a sweep; None where it is free, or its file is none.

    Nothing is written: its silence is taken by the clock of this host.
    """
    folder = sweep.folder
    entry, holder = folder.entry(name), _read(folder, name)[0]
    if entry is None or holder is None or holder.dead:
        return None
    return None if time.time_ns() - entry.mtime_ns > silence_s * 1e9 else holder


def fault_of_lease(folder: Folder, name: str) -> str:
    """Why the file of a lease is none; empty where it is one, or not there."""
    holder, fault = _read(folder, name)
    return fault if holder is None and folder.entry(name) is not None else ""


def _take_local(folder: Folder, name: str, holder: Holder, silence_s: float, settle_s: float) -> bool:
    """Create the file exclusively, or replace a stale one under a marker that only one taker can create."""
    path = Path(folder.path) / name
    if _is_folder(folder, name):
        return False
    if _created(path, _text(holder)):
        return True
    entry = folder.entry(name)
    if entry is not None and not _is_free(folder, name, silence_s):
        return False
    marker = path.with_name(f"{name}.takeover")
    if not _marked(folder, marker, _text(holder), silence_s):
        return False
    try:
        if _created(path, _text(holder)):
            return True
        if not _is_free(folder, name, silence_s):
            return False
        folder.write(name, _text(holder))
        return True
    finally:
        marker.unlink(missing_ok=True)


def _marked(folder: Folder, marker: Path, text: bytes, silence_s: float) -> bool:
    """Create the marker, over one that a taker left when it was killed."""
    if _created(marker, text):
        return True
    if not _is_free(folder, marker.name, silence_s):
        return False
    marker.unlink(missing_ok=True)
    return _created(marker, text)


def _take_remote(folder: Folder, name: str, holder: Holder, silence_s: float, settle_s: float) -> bool:
    """Write a token, wait for other takers, and read back whose stayed."""
    if folder.entry(name) is not None and not _is_free(folder, name, silence_s):
        return False
    folder.write(name, _text(holder))
    time.sleep(settle_s)
    held, _ = _read(folder, name)
    return held is not None and held.token == holder.token


def _created(path: Path, text: bytes) -> bool:
    """Create a file that does not exist yet; False where it does."""
    try:
        _made(path.parent)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(handle)
        except OSError:
            path.unlink()
            raise
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}; choose a --storage in which you may write and which is "
            "not full"
        ) from error
    return True


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error


def _is_free(folder: Folder, name: str, silence_s: float) -> bool:
    holder, _ = _read(folder, name)
    if holder is not None and holder.dead:
        return True
    silent = _silent_s(folder, name)
    return silent is None or silent > silence_s


def _silent_s(folder: Folder, name: str) -> float | None:
    """Seconds since the last heartbeat, less than 0 where it lies in the future; None without a file."""
    entry = folder.entry(name)
    if entry is None:
        return None
    now = folder.now_ns()
    if now is None:
        return 0.0
    return (now - entry.mtime_ns) / 1e9


def _read(folder: Folder, name: str) -> tuple[Holder | None, str]:
    """Who holds the lease, or why nobody is known to."""
    if _is_folder(folder, name):
        return None, "it is a folder"
    try:
        return Holder.parse(folder.read(name)), ""
    except FileNotFoundError:
        return None, "there is none"
    except ValueError as error:
        return None, str(error)


def _is_folder(folder: Folder, name: str) -> bool:
    return folder.local and os.path.isdir(os.path.join(folder.path, name))


def _text(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


def _held_by(folder: Folder, name: str, silence_s: float) -> str:
    """Why a lease could not be taken, and what to do."""
    holder, fault = _read(folder, name)
    silent, file = _silent_s(folder, name) or 0.0, f"{folder.uri}/{name}"
    if _is_folder(folder, name):
        return f"{file} is a folder, where the lease of the sweep should lie: remove it, and launch again"
    remedy = "wait until it ends, stop it there, or choose another name"
    free = f"the lease is free again after {silence_s:.0f} s of silence"
    if silent < -1.0:
        free = (
            f"its heartbeat lies {-silent:.0f} s in the future, as the clock of the storage was set back, or "
            f"the file is a copy: if nobody trains there, delete {file}"
        )
    if holder is None:
        who = "another process, which is just taking it"
        if fault != "there is none":
            who += f", or by nobody: {file} is no lease ({fault})"
        return f"the sweep {folder.uri} is held by {who}; {remedy}: {free}"
    who = (
        f"{holder.user} on host {holder.host} (process {holder.pid}), a {holder.purpose} "
        f"running since {holder.since}, last heartbeat {max(0.0, silent):.0f} s ago"
    )
    if holder.sweep not in ("", folder.uri):
        who += f" (the lease was taken of the sweep {holder.sweep}: if this one is a copy, delete {file})"
    return f"the sweep {folder.uri} is held by {who}; {remedy}: {free}"
