"""What travels of a grid to a cluster: its text as it was checked, and the user's files that it reaches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid
from phasediag.running.sources import place_sources
from phasediag.storage.folder import SCHEMES
from phasediag.sweeps.recorded import recorded_files

OPENED: Final = (*SCHEMES, "file")
"""The schemes of storages that pyarrow opens on the cluster."""
DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A grid with all that its launch reads on another machine, and nothing else."""

    name: str
    """The name of the sweep."""
    file: str
    """The file of the grid, without a folder."""
    files: Mapping[str, bytes]
    """Content of the grid and of the user's files, by name from the grid's folder."""

    @classmethod
    def of(cls, grid: Grid) -> Self:
        """The parcel of a grid that knows which files its classes open (`sweeps.sweep.completed`).

        Raises
        ------
        PhasediagError
            Where the grid names a file by an absolute path, which no other machine has.
        """
        file = grid.path.name
        files = {**recorded_files(grid), file: grid.text.encode()}
        return cls(name=grid.name, file=file, files=files)

    def digest(self, *options: str) -> str:
        """What stands for a launch of this parcel with these options: equal ones train the same."""
        digest = blake2b(digest_size=DIGEST_BYTES)
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\n{blake2b(content, digest_size=DIGEST_BYTES).hexdigest()}\n".encode())
        digest.update(repr((self.file, options)).encode())
        return digest.hexdigest()

    def placed(self, root: Path) -> str:
        """Write all of it below a folder; the grid's path from there.

        Names may climb (`../nets/my_net.py`): the grid lies deep enough for that.
        """
        folder = place_sources(self.files, root)
        return (folder / self.file).relative_to(root).as_posix()


def check_storage(storage: str) -> str:
    """The storage of a launch on another machine, as it is given.

    Raises
    ------
    PhasediagError
        Where it is neither a URI of a known kind nor an absolute path: a relative one would lie in Ray's own
        cache on the cluster.
    """
    scheme = re.match(r"([A-Za-z][\w+.-]*)://.", storage)
    if storage.startswith("/") or (scheme and scheme[1] in OPENED):
        return storage
    what = f"names no storage that pyarrow opens ({', '.join(OPENED)})" if scheme else "is no URI"
    raise PhasediagError(
        f"--storage: '{storage}' {what}; give one that every node of the cluster reaches, s3://BUCKET/sweeps "
        "or gs://BUCKET/sweeps, or the absolute path of a folder that all of them mount"
    )
