"""What shows that a file of a sweep is as it was written, and which one it is.

Every Parquet file carries a *seal* between its last page and its footer, where no other reader looks: which
file of which sweep it is, a checksum of every block of what stands before it, and one of itself and the
footer. Parquet's own checksums guard neither the footer nor the headers of pages, and where one of these is
damaged it gives wrong numbers, or ends the process that reads it. So the blocks that a read touches are
checked before Parquet's reader sees a byte of them. Small texts, such as the manifest, are JSON that begins
with the hash of the rest.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Literal

UnsoundState = Literal["damaged", "foreign", "missing", "newer"]
BLOCK: Final = 65_536
"""Bytes under one checksum."""
DIGEST_BYTES: Final = 16
"""The length of the hash of a text."""
TAIL: Final = 262_144
"""Bytes read at once from the end of a file; hardly any footer is longer."""
_MAGIC: Final = b"phseal01"
_END: Final = struct.Struct("<I8s")
"""The last bytes of a seal: its length before them, and what tells that there is one."""
_SUM: Final = struct.Struct("<I")
_PARQUET: Final = b"PAR1"
_FOOT: Final = 8
"""The last bytes of a Parquet file: the length of its footer, and its mark."""
_VERSION_STATED: Final = b"phasediag_schema\x18\x01"
"""How the version of the schema, of one digit, begins in a footer."""
_TEXT_BEGINS: Final = b'{"seal": "'


class UnsoundError(Exception):
    """A file that cannot be believed.

    Parameters
    ----------
    state
        In one word.
    why
        In a few words.
    """

    def __init__(self, state: UnsoundState, why: str) -> None:
        super().__init__(why)
        self.state, self.why = state, why


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seal:
    """The seal of a Parquet file."""

    sweep: str
    """The id of its sweep."""
    file: str
    """The path of the file in the sweep."""
    schema: int
    """The version of its schema."""
    checksums: tuple[int, ...]
    """The checksum of each block before the seal."""
    end: int
    """How many bytes stand before the seal."""

    def check(self, content: memoryview, first: int = 0) -> None:
        """Compare blocks with their checksums.

        Parameters
        ----------
        content
            Whole blocks; the last one may end at `end`.
        first
            The number of the first of them.

        Raises
        ------
        UnsoundError
            Where one differs.
        """
        for number, start in enumerate(range(0, len(content), BLOCK), first):
            if zlib.crc32(content[start : start + BLOCK]) != self.checksums[number]:
                raise UnsoundError("damaged", f"the checksum of its block {number} is wrong")


def sealed(
    content: memoryview, *, sweep: str, file: str, schema: int
) -> tuple[memoryview, bytes, memoryview]:
    """A Parquet file as the parts of a sealed one: pages, seal, footer."""
    end = len(content) - _FOOT - int.from_bytes(content[-_FOOT:-4], "little")
    stated = json.dumps({"sweep": sweep, "file": file, "schema": schema}).encode() + b"\n"
    checksums = [zlib.crc32(content[i : min(i + BLOCK, end)]) for i in range(0, end, BLOCK)]
    said = stated + struct.pack(f"<{len(checksums)}I", *checksums)
    close = _END.pack(len(said) + _SUM.size, _MAGIC)
    return content[:end], said + _checksum(said, close, content[end:]) + close, content[end:]


def seal_of(tail: memoryview, size: int) -> tuple[Seal | None, int]:
    """The seal in the last bytes of a Parquet file, once it is sure that seal and footer are whole.

    Parameters
    ----------
    tail
        The last bytes of the file.
    size
        Of the file.

    Returns
    -------
    The seal, and 0. None of a file that was written before there were seals. None and a number where the tail
    must be that long to tell.

    Raises
    ------
    UnsoundError
        Where something is wrong with either.
    """
    tail = tail.cast("B")
    if size < _FOOT + len(_PARQUET) or bytes(tail[-4:]) != _PARQUET:
        raise UnsoundError("damaged", "it is cut off, or no Parquet file")
    foot = _FOOT + int.from_bytes(tail[-_FOOT:-4], "little")
    if foot > size - len(_PARQUET):
        raise UnsoundError("damaged", "the length of its footer is wrong")
    if foot + _END.size > len(tail) and len(tail) < size:
        return None, min(size, 2 * foot + _END.size)
    footer, before = tail[len(tail) - foot :], tail[: len(tail) - foot]
    if len(before) < _END.size or bytes(before[-8:]) != _MAGIC:
        _check_unsealed(bytes(footer))
        return None, 0
    length, _ = _END.unpack(before[-_END.size :])
    if length + _END.size > len(before):
        if len(tail) < size and length + _END.size + foot <= size:
            return None, length + _END.size + foot
        raise UnsoundError("damaged", "the length of its seal is wrong")
    close, said = before[-_END.size :], before[len(before) - _END.size - length : -_END.size]
    said, checksum = said[: -_SUM.size], said[-_SUM.size :]
    if checksum != _checksum(said, close, footer):
        raise UnsoundError("damaged", "the checksum of its footer is wrong")
    stated, _, checksums = bytes(said).partition(b"\n")
    plain = json.loads(stated)
    end = size - foot - _END.size - length
    return Seal(**plain, checksums=struct.unpack(f"<{len(checksums) // _SUM.size}I", checksums), end=end), 0


def _check_unsealed(footer: bytes) -> None:
    """See to it that a footer without a seal states the schema of the time before seals.

    Raises
    ------
    UnsoundError
        Where it does not.
    """
    _, stated, version = footer.partition(_VERSION_STATED)
    if not stated:
        raise UnsoundError("foreign", "phasediag did not write it")
    if version[:1] != b"1":
        newer = version[:1].isdigit() and version[:1] > b"2"
        why = f"its schema is {version[:1].decode()}" if newer else "its seal is gone"
        raise UnsoundError("newer" if newer else "damaged", why)


def _checksum(*parts: bytes | memoryview) -> bytes:
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return _SUM.pack(value)


def _digest(*parts: bytes | memoryview) -> bytes:
    digest = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()


class CheckedFile(io.RawIOBase):
    """A sealed file that gives no byte of a block whose checksum is wrong; for `pyarrow.PythonFile`.

    Parameters
    ----------
    read_at
        The bytes of the file from one place to another.
    size
        Of the file.
    seal
        Of it.
    tail
        Its last bytes, from the seal on, which are checked.
    """

    def __init__(self, read_at: Callable[[int, int], bytes], size: int, seal: Seal, tail: memoryview) -> None:
        super().__init__()
        self._read_at, self._size, self._seal, self._tail = read_at, size, seal, tail
        self._at = 0
        self._last: tuple[int, memoryview] = (0, memoryview(b""))
        """Where the blocks begin that were read last, and these."""

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read from anywhere."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Read on from another place."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes, checked against the seal.

        Parameters
        ----------
        size
            At most so many; negative: up to the end of the file.

        Raises
        ------
        UnsoundError
            Where they are not those that were written.
        """
        start, end = self._at, self._size if size < 0 else min(self._at + size, self._size)
        self._at = max(start, end)
        last = self._seal.end
        pages = bytes(self._blocks(start, min(end, last)))
        return pages if end <= last else pages + bytes(self._tail[max(start, last) - last : end - last])

    def check_all(self) -> None:
        """Check every block.

        Raises
        ------
        UnsoundError
            Where a checksum is wrong.
        """
        for start in range(0, self._seal.end, 64 * BLOCK):
            self._blocks(start, min(start + 64 * BLOCK, self._seal.end))

    def _blocks(self, start: int, end: int) -> memoryview:
        """Checked bytes from before the seal."""
        if end <= start:
            return memoryview(b"")
        kept_at, kept = self._last
        if start < kept_at or end > kept_at + len(kept):
            kept_at = start // BLOCK * BLOCK
            until = min(-(-end // BLOCK) * BLOCK, self._seal.end)
            kept = memoryview(self._read_at(kept_at, until))
            if len(kept) != until - kept_at:
                raise UnsoundError("damaged", "it is cut off")
            self._seal.check(kept, kept_at // BLOCK)
            self._last = (kept_at, kept)
        return kept[start - kept_at : end - kept_at]


def sealed_text(content: Mapping[str, Any]) -> bytes:
    """JSON that begins with the hash of the rest of it."""
    rest = json.dumps(content).encode()[1:]
    return b'%s%s", %s' % (_TEXT_BEGINS, _digest(rest).hex().encode(), rest)


def unsealed_text(text: bytes) -> tuple[dict[str, Any], bool]:
    """The content of a file of JSON that `sealed_text` may have made, and whether that made it.

    Of other JSON nothing shows that all of it is there.

    Raises
    ------
    UnsoundError
        Where it is damaged.
    """
    begin, end = len(_TEXT_BEGINS), len(_TEXT_BEGINS) + 2 * DIGEST_BYTES
    claims = text.startswith(_TEXT_BEGINS)
    if claims and text[begin : end + 3] != _digest(text[end + 3 :]).hex().encode() + b'", ':
        raise UnsoundError("damaged", "its checksum is wrong")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise UnsoundError("damaged", "it is no JSON") from None
    if not isinstance(content, dict) or (not claims and "seal" in content):
        raise UnsoundError("damaged", "it is not as phasediag writes it")
    return {name: value for name, value in content.items() if name != "seal"}, claims


def bundled(files: Mapping[str, bytes], **stated: str) -> list[bytes]:
    """Some files as the parts of one; the first is a line that tells what they are, and their hash."""
    sizes = {name: len(content) for name, content in files.items()}
    digest = _digest(*files.values()).hex()
    return [sealed_text({"files": sizes, "digest": digest, **stated}) + b"\n", *files.values()]


def bundle_fault(content: bytes, **stated: str) -> tuple[Literal["intact", "unsealed"] | UnsoundState, str]:
    """The state of what `bundled` gave, and why it is so."""
    try:
        unbundled(content, **stated)
    except UnsoundError as error:
        return error.state, error.why
    return ("intact", "") if content.startswith(_TEXT_BEGINS) else ("unsealed", "")


def unbundled(content: bytes, **stated: str) -> dict[str, bytes]:
    """What was given to `bundled`.

    Parameters
    ----------
    stated
        What must be stated; empty: whatever.

    Raises
    ------
    UnsoundError
        Where it is damaged, or states something else.
    """
    start = content.find(b"\n") + 1
    line, is_sealed = unsealed_text(content[: start - 1] if start else content)
    if not is_sealed:  # of the time before there were seals
        sizes = line
    elif not {"files", "digest"} <= line.keys():
        raise UnsoundError("foreign", "it is another file of a sweep")
    else:
        sizes = line["files"]
        if line["digest"] != _digest(memoryview(content)[start:]).hex():
            raise UnsoundError("damaged", "its checksum is wrong")
        for name, value in stated.items():
            if value and line.get(name) != value:
                raise UnsoundError("foreign", f"it was written for another {name}")
    if not isinstance(sizes, dict) or not all(type(size) is int and size >= 0 for size in sizes.values()):
        raise UnsoundError("damaged", "it is not as phasediag writes it")
    if len(content) != start + sum(sizes.values()):
        raise UnsoundError("damaged", "it is cut off")
    files = {}
    for name, size in sizes.items():
        files[name], start = content[start : start + size], start + size
    return files
