"""Official files of public data sets: found in a cache, or downloaded into it, and checked."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

from phasediag.errors import PhasediagError

FOLDER: Final = "PHASEDIAG_DATA"
"""Variable of the environment that names the folder of data sets; each lies in a folder of its own name."""
_LONGEST_REASON: Final = 200
"""Letters of what is quoted of a download that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A file as its authors publish it."""

    name: str
    url: str
    md5: str
    unpacked_md5: str = ""
    """The MD5 of what a `.gz` holds: a file without that suffix in the cache serves as well; empty: none
    does."""


def data_folder() -> Path:
    """Where data sets are kept: as PHASEDIAG_DATA says, or in the user's cache."""
    given = os.environ.get(FOLDER)
    if given:
        return Path(given).expanduser()
    from pooch import os_cache

    return Path(os_cache("phasediag")) / "data"


def files_of(dataset: str, archives: Sequence[Archive]) -> list[Path]:
    """The files of a data set, each found in the cache or downloaded into it.

    Parameters
    ----------
    dataset
        Its name, which is that of its folder in `data_folder()`.
    archives
        What it consists of.

    Returns
    -------
    Their paths, in the order of `archives`, with the checksums that are stated.

    Raises
    ------
    PhasediagError
        Where a file in the cache is another, or one is neither there nor can be downloaded: says what to do.
    """
    folder = data_folder() / dataset
    held = {archive: _held(folder, archive) for archive in archives}
    missing = [archive for archive, path in held.items() if path is None]
    for archive in missing:
        try:
            _download(dataset, folder, archive)
        except (OSError, ValueError) as error:  # requests' are OSErrors; of a wrong checksum ValueError
            raise PhasediagError(
                f"{dataset} is not in {folder}, and {archive.url} cannot be downloaded ({_reason(error)}); "
                f"put {', '.join(each.name for each in missing)} there, or name the folder that holds "
                f"{dataset}/ in {FOLDER}"
            ) from error
    return [path or folder / archive.name for archive, path in held.items()]


def _reason(error: BaseException) -> str:
    """What went wrong, as the operating system says it; without the layers of libraries around that."""
    while error.__context__ is not None:
        error = error.__context__
    words = getattr(error, "strerror", None) or str(error)
    return " ".join(words.split())[:_LONGEST_REASON]


def _held(folder: Path, archive: Archive) -> Path | None:
    """The file in the cache, packed or unpacked; None where there is none."""
    candidates = [(folder / archive.name, archive.md5)]
    if archive.unpacked_md5:
        candidates.append((folder / archive.name.removesuffix(".gz"), archive.unpacked_md5))
    for path, md5 in candidates:
        if not path.is_file():
            continue
        with path.open("rb") as stream:
            own = file_digest(stream, "md5").hexdigest()
        if own != md5:
            raise PhasediagError(
                f"{path} is not the official file (md5 {own} instead of {md5}); remove it, and it is "
                f"downloaded from {archive.url}"
            )
        return path
    return None


def _download(dataset: str, folder: Path, archive: Archive) -> None:
    """Get one file into the cache, and check it."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    bar = _Bar(f"{dataset}: {archive.name}") if sys.stderr.isatty() else False
    pooch.retrieve(
        archive.url, f"md5:{archive.md5}", fname=archive.name, path=folder,
        downloader=pooch.HTTPDownloader(progressbar=bar, timeout=30),
    )  # fmt: skip


class _Bar:
    """What pooch asks of a progress bar, drawn by rich."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.total: int = 0
        self._progress: Any = None
        self._task: Any = None

    def update(self, received: int) -> None:
        """So many bytes more have come."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        if self._progress is None:
            columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task(self.title, total=self.total)
            self._progress.start()
        self._progress.advance(self._task, received)

    def reset(self) -> None:
        """Pooch counts again from 0, at the end, so that a bar shows what it has added up."""

    def close(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.stop()
