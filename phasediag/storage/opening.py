"""A Parquet file of a sweep, opened so that nothing is read from it that was not written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from phasediag.errors import StoreError
from phasediag.storage.damage import DamagedError, damage_of
from phasediag.storage.folder import Folder, gone
from phasediag.storage.footer import constants
from phasediag.storage.manifest import KINDS, Kind
from phasediag.storage.schema_arrow import SCHEMA_VERSION
from phasediag.storage.seal import TAIL, CheckedFile, Seal, UnsoundError, seal_of

MERGED: Final = "merged-"
"""How the name of a merged file begins; a pack_id is hexadecimal, so it never does."""
SUFFIX: Final = ".parquet"
AT_ONCE: Final = 4 * 2**20
"""Bytes up to which a file is read and checked at once; of a larger one, what is asked for."""
KEYS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "trials": ("trial_id", "pack_id", "status"),
    "measurements": ("trial_id", "pack_id", "layer", "observable"),
}
"""Columns of text without which a file holds nothing that could be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A Parquet file of the store to read, and which of its rows are not read.

    Not those of packs that a newer fragment replaces, nor of packs of which a part is missing.
    """

    path: str
    """Relative to the sweep."""
    sweep_id: str = ""
    """The sweep that it must be of; empty where the sweep has no id."""
    must_be_sealed: bool = False
    without: frozenset[str] = frozenset()


@contextmanager
def opened(sweep: Folder, source: Source) -> Iterator[pq.ParquetFile]:
    """A file of the sweep, open for the time of the block; what is read of it is checked.

    Raises
    ------
    FileNotFoundError
        Where it is gone, since a compaction has replaced it.
    DamagedError
        Where it is not as it was written, or of another sweep; in the block, too.
    StoreError
        Where the storage does not give it; in the block, too.
    """
    with _opened(sweep, source, complete=False) as (parquet, _, _):
        yield parquet


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A file all of which was checked."""

    schema: pa.Schema
    sealed: bool
    """Whether checksums say so; what has none was unpacked instead."""
    content: bytes | None
    """All of it, where it was read at once; else None."""


def examined(sweep: Folder, source: Source) -> Examined:
    """Check all of a file of the sweep.

    Raises
    ------
    FileNotFoundError, DamagedError, StoreError
        As `opened`.
    """
    with _opened(sweep, source, complete=True) as (parquet, seal, content):
        for _ in parquet.iter_batches() if seal is None else ():
            pass
        return Examined(schema=parquet.schema_arrow, sealed=seal is not None, content=content)


@contextmanager
def _opened(
    sweep: Folder, source: Source, *, complete: bool
) -> Iterator[tuple[pq.ParquetFile, Seal | None, bytes | None]]:
    """A file of the sweep for the time of the block, its seal, and its content where it was read at once.

    Parameters
    ----------
    complete
        Check all of it at once, not only what is read.
    """
    where = sweep.address(source.path)
    with _storage_file(sweep, source.path) as raw:
        reader = raw
        try:
            reader, seal, content = _checked(raw, source, complete, where)
            with pq.ParquetFile(reader) as parquet:
                if seal is None:
                    _check_form(parquet, source)
                yield parquet, seal, content
        except UnsoundError as error:
            raise DamagedError(sweep.uri, damage_of(source.path, error)) from error
        except FileNotFoundError:  # deleted since it was opened, in a bucket
            raise
        except (OSError, pa.ArrowException) as error:  # what was checked is no Parquet file
            said = " ".join(str(error).split())
            if reader is raw and (not sweep.local or getattr(error, "errno", None) is not None):
                raise StoreError(f"{where} cannot be read: {said}") from error
            unsound = UnsoundError("damaged", said[:200])
            raise DamagedError(sweep.uri, damage_of(source.path, unsound)) from error


@contextmanager
def _storage_file(sweep: Folder, path: str) -> Iterator[pa.NativeFile]:
    try:
        raw = sweep.filesystem.open_input_file(f"{sweep.path.rstrip('/')}/{path}")
    except FileNotFoundError:
        raise
    except OSError as error:
        if gone(error):
            raise FileNotFoundError(sweep.address(path)) from error
        raise StoreError(f"{sweep.address(path)} cannot be read: {error}; check your permissions") from error
    with raw:
        yield raw


def _checked(
    raw: pa.NativeFile, source: Source, complete: bool, where: str
) -> tuple[pa.NativeFile, Seal | None, bytes | None]:
    """What Parquet's reader may see of a file, its seal, and its content where it was read at once."""
    size = raw.size()
    if size <= AT_ONCE:
        content = bytes_of(raw, 0, size, where)
        view = memoryview(content)
        seal, _ = seal_of(view, len(view))
        if seal is not None:
            seal.check(view[: seal.end])
        _check_place(seal, source)
        return pa.BufferReader(content), seal, content
    seal, tail = _sealed_tail(raw, where)
    _check_place(seal, source)
    if seal is None:
        return raw, None, None
    checked = CheckedFile(lambda start, end: bytes_of(raw, start, end, where), size, seal, tail)
    if complete:
        checked.check_all()
    return pa.PythonFile(checked, mode="r"), seal, None


def bytes_of(raw: pa.NativeFile, start: int, end: int, where: str) -> bytes:
    """Some bytes of a file, or as many as there are.

    Raises
    ------
    StoreError
        Where the storage does not give them, which says nothing of what they are.
    """
    try:
        content: bytes = raw.read_at(end - start, start)
    except OSError as error:
        if gone(error):
            raise FileNotFoundError(where) from error
        raise StoreError(f"{where} cannot be read: {error}; check the disk or the connection") from error
    return content


def _sealed_tail(raw: pa.NativeFile, where: str) -> tuple[Seal | None, memoryview]:
    """The seal of a file, and its last bytes, from the end of the seal's pages on."""
    size = raw.size()
    needed = min(size, TAIL)
    while True:
        tail = memoryview(bytes_of(raw, size - needed, size, where))
        seal, needed = seal_of(tail, size)
        if not needed:
            return seal, tail if seal is None else tail[seal.end - size :]


def stated_seal(sweep: Folder, path: str) -> Seal | None:
    """The seal of a file; None where it has none, or none that can be believed."""
    try:
        with _storage_file(sweep, path) as raw:
            return _sealed_tail(raw, sweep.address(path))[0]
    except (FileNotFoundError, UnsoundError):
        return None


def table_of(place: Folder, file: str) -> pa.Table:
    """The rows of a file that was set aside, all of which is checked.

    Raises
    ------
    FileNotFoundError
        Where it is not there.
    DamagedError
        Where it is not as it was written.
    """
    content = memoryview(place.read(file))
    try:
        seal, _ = seal_of(content, len(content))
        if seal is not None:
            seal.check(content[: seal.end])
        return pq.read_table(pa.BufferReader(content))
    except UnsoundError as error:
        raise DamagedError(place.uri, damage_of(file, error)) from error


def _check_place(seal: Seal | None, source: Source) -> None:
    """See to it that a file is where it belongs.

    Raises
    ------
    UnsoundError
        Where it is not.
    """
    if seal is None:
        if source.must_be_sealed:
            raise UnsoundError("foreign", "it has no seal, and every file of this sweep has")
        return
    if seal.schema > SCHEMA_VERSION:
        raise UnsoundError("newer", f"its schema is {seal.schema}, not {SCHEMA_VERSION}")
    if seal.file != source.path:
        raise UnsoundError("foreign", f"it was written as {seal.file}")
    if source.sweep_id not in ("", seal.sweep):
        raise UnsoundError("foreign", "it is of another sweep")


def _check_form(parquet: pq.ParquetFile, source: Source) -> None:
    """See to it that a file without a seal has what its rows are known by, and is of the pack that it names.

    Raises
    ------
    UnsoundError
        Where it has not.
    """
    schema = parquet.schema_arrow
    kind, _, name = source.path.partition("/")
    of = next(each for each in KINDS if each == kind)
    texts = {field.name for field in schema if pa.types.is_string(field.type)}
    lacking = [key for key in KEYS[of] if key not in texts]
    if lacking:
        raise UnsoundError("foreign", f"it has no {lacking[0]}")
    pack = constants(schema, parquet.metadata, ["pack_id"]).get("pack_id")
    if not name.startswith(MERGED) and pack not in (None, name.removesuffix(SUFFIX)):
        raise UnsoundError("foreign", f"it holds the pack {pack}")
