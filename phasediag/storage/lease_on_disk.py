"""A lease in a local folder, or one that machines share: a file that only one process can create."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from phasediag.errors import StoreError
from phasediag.storage.folder import TEMPORARY
from phasediag.storage.holder import Holder
from phasediag.storage.lease_file import NamedLease, is_folder, is_free

WITHOUT_LINKS: Final = {
    errno.EPERM,
    errno.EACCES,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EMLINK,
}
"""What filesystems answer that have no links."""


@dataclass(slots=True, kw_only=True)
class LeaseOnDisk(NamedLease):
    """Created exclusively; a stale one is replaced under a marker that only one taker can create."""

    def take(self, holder: Holder) -> bool:
        """Take the lease where it is free; whether it was."""
        self.token = holder.token
        if is_folder(self.folder, self.name):
            return False
        if _created(self._path, holder.text):
            return True
        if self.folder.entry(self.name) is not None and not self._is_free():
            return False
        marker = self._path.with_name(f"{self.name}.takeover")
        if not self._marked(marker, holder.text):
            return False
        try:
            if _created(self._path, holder.text):
                return True
            if not self._is_free():
                return False
            self.folder.write(self.name, holder.text)
            return True
        finally:
            marker.unlink(missing_ok=True)

    def renew(self, holder: Holder) -> bool:
        """Write the heartbeat, also where the file was deleted; False where somebody else holds the lease."""
        if self.folder.entry(self.name) is None:
            _created(self._path, holder.text)
        elif self._is_mine():
            self.folder.write(self.name, holder.text)
        return self._is_mine()

    @property
    def _path(self) -> Path:
        return Path(self.folder.path) / self.name

    def _is_free(self) -> bool:
        return is_free(self.folder, self.name, self.silence_s)

    def _marked(self, marker: Path, text: bytes) -> bool:
        """Create the marker, over one that a taker left when it was killed."""
        if _created(marker, text):
            return True
        left = _content(marker)
        if not is_free(self.folder, marker.name, self.silence_s):
            return False
        return _removed(marker, left) and _created(marker, text)


def _content(path: Path) -> bytes | None:
    """What a file holds; None where it is gone."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _removed(marker: Path, left: bytes | None) -> bool:
    """Remove a marker that holds what a killed taker left; not one that another taker has made since."""
    aside = _beside(marker)
    try:
        marker.rename(aside)
    except FileNotFoundError:
        return True
    if aside.read_bytes() != left:
        _place(aside, marker)
        return False
    aside.unlink()
    return True


def _created(path: Path, text: bytes) -> bool:
    """Create a file that does not exist yet, with all that it holds; False where it does."""
    try:
        _made(path.parent)
        if path.exists():
            return False
        aside = _beside(path)
        try:
            _write_new(aside, text)
        except OSError:
            with suppress(OSError):
                aside.unlink()
            raise
        return _place(aside, path)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}; see to it that you may write there and that there is "
            "room, or keep the sweep elsewhere"
        ) from error


def _place(aside: Path, path: Path) -> bool:
    """Give a file another name, unless there is one of that name; False where there is, and it is gone then.

    By a link: so nobody sees it before it is written. A filesystem without links gets a copy, which a reader
    may see empty for an instant.
    """
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        return _copied(aside, path)
    finally:
        aside.unlink()
    return True


def _copied(aside: Path, path: Path) -> bool:
    try:
        _write_new(path, aside.read_bytes())
    except FileExistsError:
        return False
    except OSError:
        path.unlink()
        raise
    return True


def _write_new(path: Path, text: bytes) -> None:
    """Write a file that does not exist yet, down to the disk.

    Raises
    ------
    FileExistsError
        Where it does.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)


def _beside(path: Path) -> Path:
    """A name in the same folder that nothing else has; `compact` removes what is left under it."""
    return path.with_name(f".{path.name}.{uuid4().hex}{TEMPORARY}")


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error
