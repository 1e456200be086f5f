"""Programs that torch.compile has written, remembered so that one which was cut off is made again.

Loading a shared library that is cut off ends the process, and torch looks at none before it loads it.
"""

from __future__ import annotations

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Final
from uuid import uuid4

ENDINGS: Final = (".so", ".bin")


def libraries(folder: Path) -> dict[str, int]:
    """When each library in a folder, at any depth, was written: nanoseconds since 1970, by its path."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for ending in ENDINGS
        for path in folder.rglob(f"*{ending}")
        if path.is_file()
    }


def remember(note: Path, folder: Path, before: dict[str, int]) -> None:
    """Write the hashes of the libraries that are new in a folder to a note."""
    new = [name for name, written in libraries(folder).items() if before.get(name) != written]
    partial = note.with_suffix(f".{uuid4().hex}")
    partial.write_text(json.dumps({name: _hash(folder / name) for name in new}), encoding="utf-8")
    os.replace(partial, note)


def drop_damaged(note: Path, folder: Path) -> bool:
    """Delete the libraries of a note that are not as they were, and then the note; whether it did."""
    try:
        noted = json.loads(note.read_text(encoding="utf-8") or "{}")
        damaged = [folder / name for name, digest in noted.items() if _hash(folder / name) != digest]
    except (ValueError, AttributeError, TypeError):
        damaged = [note]
    for path in damaged:
        path.unlink(missing_ok=True)
    if damaged:
        note.unlink(missing_ok=True)
    return bool(damaged)


def _hash(path: Path) -> str:
    try:
        return blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""
