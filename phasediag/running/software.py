"""What must be the same on every machine that trains for a launch: found without torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from phasediag.trial import ENGINE
from phasediag.version import VERSION


def software(*, ray: bool = False) -> Mapping[str, str]:
    """Versions, and a hash of the code of this package, by what they are of.

    Parameters
    ----------
    ray
        Whether that of Ray counts.
    """
    known = {"phasediag": VERSION, "engine": str(ENGINE), "code of phasediag": _code()}
    return known | {name: _version(name) for name in ("torch", *["ray"] * ray)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


@cache
def _code() -> str:
    package, digest = Path(__file__).parents[1], blake2b(digest_size=8)
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def differences(other: Mapping[str, str]) -> str:
    """In what this machine differs from another one, in words; empty where it does not."""
    here = software(ray="ray" in other)
    pairs = ((name, here.get(name, "none"), value) for name, value in other.items())
    return ", ".join(f"{name} {mine} instead of {value}" for name, mine, value in pairs if mine != value)
