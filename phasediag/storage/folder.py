"""A folder on any filesystem that pyarrow knows, where a file appears whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from uuid import uuid4

from pyarrow import fs

from phasediag.errors import StoreError, in_words

TEMPORARY: Final = ".tmp"
"""Ending of a file that is being written; its name starts with a dot, so that readers pass it over."""
REACHING: Final = (
    "; where it lies is said by ?endpoint_override=HOST:PORT&scheme=http&region=REGION behind the URI, or by "
    "AWS_ENDPOINT_URL and AWS_REGION, who you are by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or "
    "AWS_PROFILE (docs/storage.md)"
)
"""What is said where a bucket cannot be reached."""
SCHEMES: Final = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "hf")
"""With which the URI of a storage begins."""
_PATH_TOKENS: Final = {"/": "__root__", "..": "__up__"}
_HIDDEN: Final = "__dot__"
"""Stands for the dot with which the name of a hidden file begins: readers pass such names over."""

BytesLike = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of a folder, as listed."""

    name: str
    size: int
    """Bytes."""
    mtime_ns: int
    """Nanoseconds since 1970 by the clock of the filesystem; 0 where it keeps none."""

    @property
    def stamp(self) -> tuple[int, int]:
        """What changes when the file is written again."""
        return self.size, self.mtime_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the files of a folder take."""

    files: int
    bytes: int
    newest_ns: int
    """When one was written last, nanoseconds since 1970; 0 where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A place for files: a local folder, or a prefix of a bucket."""

    filesystem: fs.FileSystem
    path: str
    """The path of the folder inside the filesystem."""
    uri: str
    """As a user would write it."""

    @classmethod
    def at(cls, place: str | os.PathLike[str]) -> Folder:
        """The folder at a local path (`~` and relative paths too) or at a URI; it need not exist.

        Raises
        ------
        StoreError
            Where the URI names no filesystem, or one that cannot be reached; where a local path leads into
            nowhere or through what is no folder.
        """
        text = os.fspath(place)
        if "://" not in text:
            _refuse_half_a_uri(text)
            path = os.path.abspath(os.path.expanduser(text))
            for part in (*reversed(PurePosixPath(path).parents), path):
                _refuse(str(part), path)
            return cls(filesystem=fs.LocalFileSystem(), path=path, uri=path)
        base, _, query = text.partition("?")
        if text.startswith("s3://") and "allow_delayed_open" not in query:
            query = "&".join(part for part in (query, "allow_delayed_open=true") if part)
        address = f"{base}?{query}" if query else base
        try:
            filesystem, path = fs.FileSystem.from_uri(address)
        except (ValueError, OSError, ImportError) as error:
            raise StoreError(
                f"the storage '{text}' cannot be opened: {_line(error)}; give a local path, "
                f"s3://bucket/prefix, gs://bucket/prefix or another URI of pyarrow.fs{REACHING}"
            ) from error
        folder = cls(filesystem=filesystem, path=path.rstrip("/") or "/", uri=text)
        if not folder.local and not path.strip("/"):
            raise StoreError(
                f"the storage '{text}' names no bucket: give {base.partition('://')[0]}://bucket/prefix"
            )
        if text.startswith("s3://") and "allow_bucket_creation" not in query:
            folder._require_bucket()
        return folder

    @property
    def local(self) -> bool:
        """Whether files are moved and linked by the operating system."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def __truediv__(self, name: str) -> Folder:
        """The folder `name` inside this one."""
        if self.local:
            _refuse(self._inside(name), self.path)
        return Folder(filesystem=self.filesystem, path=self._inside(name), uri=self.address(name))

    def address(self, name: str) -> str:
        """The path or URI of a file in it, as a user would write it."""
        base, query = self._address()
        return f"{base.rstrip('/')}/{name}{query}"

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def parent(self) -> Folder:
        """The folder that contains this one."""
        base, query = self._address()
        path = self.path.rpartition("/")[0] or "/"
        return Folder(
            filesystem=self.filesystem, path=path, uri=f"{base.rstrip('/').rpartition('/')[0] or '/'}{query}"
        )

    def entries(self, hidden: bool = False) -> list[Entry]:
        """The files directly inside, by name; those being written only where `hidden`."""
        return [
            Entry(name=info.base_name, size=info.size or 0, mtime_ns=info.mtime_ns or 0)
            for info in self._listed()
            if info.type == fs.FileType.File and (hidden or not info.base_name.startswith("."))
        ]

    def folders(self) -> list[str]:
        """The names of the folders directly inside."""
        return [info.base_name for info in self._listed() if info.type == fs.FileType.Directory]

    def files(self, hidden: bool = False) -> list[str]:
        """The paths of all files inside, at any depth, relative to this folder; as `entries` has them."""
        start = len(self.path.strip("/")) + 1
        return [
            info.path.strip("/")[start:]
            for info in self._listed(recursive=True)
            if info.type == fs.FileType.File and (hidden or not info.base_name.startswith("."))
        ]

    def usage(self) -> Usage:
        """What all files inside take, at any depth, hidden ones too."""
        files = [info for info in self._listed(recursive=True) if info.type == fs.FileType.File]
        return Usage(
            files=len(files), bytes=sum(info.size or 0 for info in files),
            newest_ns=max((info.mtime_ns or 0 for info in files), default=0),
        )  # fmt: skip

    def entry(self, name: str) -> Entry | None:
        """One file, or None where there is none."""
        with _explaining("read", self.address(name)):
            info = self.filesystem.get_file_info(self._inside(name))
        if info.type != fs.FileType.File:
            return None
        return Entry(name=name, size=info.size or 0, mtime_ns=info.mtime_ns or 0)

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises
        ------
        FileNotFoundError
            Where there is no such file.
        StoreError
            Where it cannot be read.
        """
        with (
            _explaining("read", self.address(name)),
            self.filesystem.open_input_stream(self._inside(name), compression=None) as stream,
        ):
            return bytes(stream.read())

    def write(self, name: str, *parts: BytesLike) -> None:
        """Write a file whole or not at all, replacing one of the same name.

        Locally: under another name in the same folder, synced, then moved. On an object store: one
        upload of the joined parts.

        Raises
        ------
        StoreError
            Where it cannot be written.
        """
        try:
            if self.local:
                _replace(self._inside(name), parts)
                return
            with self.filesystem.open_output_stream(self._inside(name), compression=None) as stream:
                stream.write(b"".join(parts))
        except OSError as error:
            raise _unwritable(self.address(name), error) from error

    def delete(self, name: str) -> None:
        """Delete a file; one that is gone already is no error."""
        with suppress(FileNotFoundError), _explaining("delete", self.address(name)):
            self.filesystem.delete_file(self._inside(name))

    def move(self, name: str, to: Folder, new_name: str) -> None:
        """Move a file to another folder of the same filesystem; one that is gone already is no error.

        Raises
        ------
        StoreError
            Where it cannot be moved.
        """
        with suppress(FileNotFoundError), _explaining("move", self.address(name)):
            if self.local:
                Path(to.path).mkdir(parents=True, exist_ok=True)
                os.replace(self._inside(name), to._inside(new_name))
                return
            self.filesystem.copy_file(self._inside(name), to._inside(new_name))
            self.filesystem.delete_file(self._inside(name))

    def clear(self) -> None:
        """Delete this folder and all that is in it; one that is gone already is no error."""
        with suppress(FileNotFoundError), _explaining("delete", self.uri):
            self.filesystem.delete_dir(self.path)

    def now_ns(self) -> int | None:
        """The clock of the filesystem, nanoseconds since 1970; None where it keeps none.

        Ages of files must be taken against this clock: that of another host may be minutes off.
        """
        probe = f".clock-{uuid4().hex}{TEMPORARY}"
        self.write(probe, b"?")
        written = self.entry(probe)
        self.delete(probe)
        return (written.mtime_ns or None) if written is not None else None

    def _require_bucket(self) -> None:
        bucket = self.path.strip("/").partition("/")[0]
        try:
            there = self.filesystem.get_file_info(bucket).type
        except OSError as error:  # it may be that it is not ours to list: what is read or written will tell
            if "ACCESS_DENIED" in str(error):
                return
            raise StoreError(
                f"the storage '{self.uri}' cannot be reached: {_line(error)}{REACHING}"
            ) from error
        if there == fs.FileType.NotFound:
            raise StoreError(
                f"the storage '{self.uri}': there is no bucket '{bucket}'; create it, or check its name"
                f"{REACHING}"
            )

    def _address(self) -> tuple[str, str]:
        """The URI without its query, and the query with its question mark."""
        base, mark, query = self.uri.partition("?") if "://" in self.uri else (self.uri, "", "")
        return base, f"{mark}{query}"

    def _inside(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    def _listed(self, recursive: bool = False) -> list[fs.FileInfo]:
        selector = fs.FileSelector(self.path, allow_not_found=True, recursive=recursive)
        with _explaining("list", self.uri):
            return sorted(self.filesystem.get_file_info(selector), key=lambda info: str(info.path))


def _refuse_half_a_uri(text: str) -> None:
    """Refuse `s3:/bucket`, by which nobody means a folder.

    Raises
    ------
    StoreError
        With the URI that was meant.
    """
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in SCHEMES:
        path = rest.lstrip("/")
        raise StoreError(
            f"the storage '{text}' is no URI: did you mean {scheme.lower()}://{path or 'bucket/prefix'}? "
            f"(a folder of that name is ./{text})"
        )


def _line(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _refuse(path: str, storage: str) -> None:
    """Refuse what stands where a folder should, on the way to a storage or in it; nothing may stand there.

    Raises
    ------
    StoreError
        In one sentence: a link into nowhere, a file, or what may not be looked at.
    """
    inside = path.startswith(f"{storage}/")
    what = f"'{path}'" if inside else f"'{path}', on the way to the storage '{storage}',"
    what = f"the storage '{path}'" if path == storage else what
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError:
        if os.path.islink(path):
            raise StoreError(
                f"{what} is a link to '{os.readlink(path)}', which does not exist: make that folder, "
                "or choose another place"
            ) from None
    except OSError as error:
        raise StoreError(f"{what} cannot be used as a folder: {in_words(error)}") from error
    else:
        if not stat.S_ISDIR(kind):
            raise StoreError(f"{what} is no folder: give the folder of a sweep, or of sweeps")


def _replace(path: str, parts: tuple[BytesLike, ...]) -> None:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{uuid4().hex}{TEMPORARY}"
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """Make a move durable, where the filesystem can sync folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def gone(error: OSError) -> bool:
    """Whether a bucket has no such file: of one deleted while it is opened or read pyarrow says it so."""
    return any(code in str(error) for code in ("NO_SUCH_KEY", "RESOURCE_NOT_FOUND"))


@contextmanager
def _explaining(action: str, where: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if gone(error):
            raise FileNotFoundError(where) from error
        advice = f"your permissions and credentials{REACHING}" if "://" in where else "your permissions"
        raise StoreError(f"cannot {action} {where}: {_line(error)}; check the path, {advice}") from error


def _unwritable(where: str, error: OSError) -> StoreError:
    advice = f"finished work is kept{REACHING if '://' in where else ''}"
    return StoreError(
        f"cannot write {where}: {_line(error)}; check that the storage exists, that you may write there "
        f"and that it is not full, then launch again: {advice}"
    )


def stored_path(file: str) -> str:
    """Where a user's file lies inside a folder of the sweep: never outside of that folder."""
    return "/".join(_PATH_TOKENS.get(part, _shown(part)) for part in PurePosixPath(file).parts)


def _shown(part: str) -> str:
    return f"{_HIDDEN}{part[1:]}" if part.startswith(".") else part


def named_path(stored: str) -> str:
    """The path that `stored_path` was given."""
    names = {token: part for part, token in _PATH_TOKENS.items()}
    parts = (names.get(part, part) for part in PurePosixPath(stored).parts)
    return str(PurePosixPath(*(f".{p[len(_HIDDEN) :]}" if p.startswith(_HIDDEN) else p for p in parts)))
