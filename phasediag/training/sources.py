"""The user's files on the machines that train."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from uuid import uuid4


def source_folder(sources: Mapping[str, bytes]) -> Path:
    """A folder that holds the user's files, by content: one for each user and content on a machine."""
    if not sources:
        return Path()
    digest = blake2b(repr(sorted(sources.items())).encode(), digest_size=16).hexdigest()
    return place_sources(sources, Path(tempfile.gettempdir()) / f"phasediag-sources-{os.getuid()}-{digest}")


def place_sources(sources: Mapping[str, bytes], root: Path) -> Path:
    """Write the user's files below `root`; the folder beside which a grid finds them under its names.

    A name may climb (`../nets/my_net.py`): the folder lies deep enough for that.
    """
    climbs = max((PurePosixPath(name).parts.count("..") for name in sources), default=0)
    folder = root.joinpath(*["grid"] * climbs)
    for each in (root, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in sources.items():
        path = Path(os.path.normpath(folder / name))
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{uuid4().hex}")
            partial.write_bytes(content)
            partial.replace(path)
    return folder
