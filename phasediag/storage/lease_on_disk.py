"""A lease in a local folder, or one that machines share: a file that only one process can create."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from phasediag.errors import StoreError
from phasediag.storage.folder import TEMPORARY, Folder
from phasediag.storage.holder import Holder
from phasediag.storage.lease_file import LeaseState, is_folder, is_free

UNLINKABLE: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What filesystems say that cannot give a file a second name."""


@dataclass(slots=True, kw_only=True)
class LeaseOnDisk:
    """Created exclusively; a stale one is replaced under a marker that only one taker can create."""

    folder: Folder
    name: str
    silence_s: float
    token: str = ""

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

    def release(self) -> None:
        """Delete the file, unless somebody else holds the lease."""
        if self._is_mine():
            self.folder.delete(self.name)

    @property
    def _path(self) -> Path:
        return Path(self.folder.path) / self.name

    def _is_free(self) -> bool:
        return is_free(self.folder, self.name, self.silence_s)

    def _is_mine(self) -> bool:
        return LeaseState.of(self.folder, self.name).of_token(self.token)

    def _marked(self, marker: Path, text: bytes) -> bool:
        """Create the marker, over one that a taker left when it was killed."""
        if _created(marker, text):
            return True
        if not is_free(self.folder, marker.name, self.silence_s):
            return False
        marker.unlink(missing_ok=True)
        return _created(marker, text)


def _created(path: Path, text: bytes) -> bool:
    """Create a file that does not exist yet, with all that it holds; False where it does."""
    if os.path.lexists(path):
        return False
    try:
        _made(path.parent)
        written = path.with_name(f".{path.name}.{uuid4().hex}{TEMPORARY}")
        try:
            _write(written, text)
            return _linked(written, path)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}; see to it that you may write there and that there is "
            "room, or keep the sweep elsewhere"
        ) from error


def _write(path: Path, text: bytes) -> None:
    """Write a file that does not exist yet."""
    with path.open("xb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _linked(written: Path, path: Path) -> bool:
    """Give a file that was written its name, if no other one has it; whether it has it now.

    Whoever is killed meanwhile leaves no empty lease, of which nobody knows whose it is.
    """
    try:
        os.link(written, path)
    except FileExistsError:  # over NFS also where the answer to the first request was lost
        return written.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in UNLINKABLE:
            raise
        try:
            _write(path, written.read_bytes())
        except FileExistsError:
            return False
        except OSError:
            path.unlink(missing_ok=True)
            raise
    return True


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error
