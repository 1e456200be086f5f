"""Where a local Ray keeps its files: a folder short enough for sockets, with some room."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

SOCKET_BYTES: Final = 103
"""Longest path of a Unix socket (107 on Linux)."""
INSIDE: Final = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"
"""The longest path of a socket below the folder that Ray is given by its environment."""
ROOM_BYTES: Final = 32 * 2**20
"""What logs and the state of a run may take."""
SHARED: Final = "/dev/shm"
"""Where Ray keeps what its processes share: one file."""
SHARED_BYTES: Final = 256 * 2**20
"""Its size: a launch shares its packs alone, and Ray would take a third of all memory."""
PLACES: Final = ("/tmp", SHARED, "/var/tmp")


def own_folder() -> Path | None:
    """A short folder of this launch's own, to be removed after it; None where the usual one serves.

    Ray's usual folder lies in `RAY_TMPDIR`, `TMPDIR` or /tmp. One that was named for Ray and does not serve
    otherwise than by its length is left to Ray, which tells what is wrong with it.
    """
    named = os.environ.get("RAY_TMPDIR")
    usual = named or os.environ.get("TMPDIR") or PLACES[0]
    if _is_short(usual) and (named or is_roomy(usual)):
        return None
    for place in filter(is_roomy, PLACES):
        with suppress(OSError):
            return Path(tempfile.mkdtemp(prefix=f"pd-{os.getuid()}-", dir=place))
    return None


def scratch_folder() -> str:
    """A new folder for files that come and go, where there is room for them."""
    usual = tempfile.gettempdir()
    places = [place for place in (usual, *PLACES) if is_roomy(place)]
    return tempfile.mkdtemp(prefix="phasediag-tune-", dir=places[0] if places else usual)


def is_roomy(place: str) -> bool:
    """Whether files can be written there."""
    try:
        return os.access(place, os.W_OK | os.X_OK) and shutil.disk_usage(place).free >= ROOM_BYTES
    except OSError:
        return False


def blocked(folder: Path | None) -> dict[str, str]:
    """The places that a local Ray needs and in which it cannot write what it needs, each with the reason.

    Parameters
    ----------
    folder
        That it was given for its files; None: the usual one.
    """
    usual = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or PLACES[0]
    reasons = {str(folder or usual): _refusal(str(folder or usual)), SHARED: _refusal(SHARED) or _limit()}
    return {place: reason for place, reason in reasons.items() if reason}


def _refusal(place: str) -> str:
    """Why nothing can be written in a folder; empty where it can."""
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"written")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _limit() -> str:
    """How large this process and those that it starts may make a file; empty where that is enough for Ray."""
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most == resource.RLIM_INFINITY or most > SHARED_BYTES:
        return ""
    return f"a file may have {most:,} bytes here, Ray's has {SHARED_BYTES:,}: `ulimit -f unlimited`"


def _is_short(place: str) -> bool:
    return len(os.fsencode(f"{os.path.abspath(place)}{INSIDE}")) <= SOCKET_BYTES
