"""--version: which versions of what a result rests on are installed; told without loading any of them."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import click

from phasediag.version import VERSION

LIBRARIES: Final = ("torch", "ray", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "click")


def versions() -> dict[str, str | None]:
    """The versions of phasediag, Python, the system and the libraries; None of one that is not installed."""
    known: dict[str, str | None] = {"phasediag": VERSION, "python": platform.python_version()}
    known["system"] = platform.platform()
    return known | {name: _installed(name) for name in LIBRARIES}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def print_version(as_json: bool) -> None:
    """The version on stdout, all of them as JSON."""
    click.echo(json.dumps(versions()) if as_json else f"phasediag, version {VERSION}")
