"""A grid given in Python: a mapping of the keys that a file would have, read by way of the text of that file.

So there is one parser, and the text is what a sweep keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
from ruamel.yaml import YAML

from phasediag.grids.nodes import Report

GridSource = str | Path | Mapping[str, Any]
"""The path of a grid file, or the keys of a grid."""
NAME: Final = "grid"
"""What messages call a grid that has no file."""
HEAD: Final = "# Given in Python.\n"


class KeyReport(Report):
    """Faults of a grid that has no lines: its keys alone tell where they are."""

    def __init__(self) -> None:
        super().__init__(NAME)

    def place(self, line: int, key: str) -> str:
        """The grid; the key follows."""
        return self.file

    def lines(self, *lines: int) -> str:
        """Nothing: the user has seen no lines."""
        return ""


def given_text(grid: Mapping[str, Any], report: Report) -> str:
    """The text of a grid file with these keys, in their order.

    Parameters
    ----------
    grid
        Numbers, text, truth values, None, and mappings and sequences of these, numpy's too.
    report
        Takes the values that no file can hold.

    Raises
    ------
    GridError
        Where there are any.
    """
    plain = _plain(grid, "", report)
    report.close()
    return HEAD + as_text(plain)


def as_text(content: Mapping[str, Any]) -> str:
    """YAML of plain values, its keys in their order: axes are expanded in the order in which they stand."""
    writer = YAML(typ="safe", pure=True)
    writer.representer.sort_base_mapping_type_on_output = False
    written = StringIO()
    writer.dump(content, written)
    return written.getvalue()


def _plain(value: Any, key: str, report: Report) -> Any:
    """A value in the types that YAML has."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    for kind in (str, bool, int, float):
        if isinstance(value, kind):
            return kind(value)  # of a subclass too
    if value is None:
        return None
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {_name(name, key, report): _plain(inside, f"{key}.{name}".lstrip("."), report)
                for name, inside in value.items()}  # fmt: skip
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_plain(inside, f"{key}[{index}]", report) for index, inside in enumerate(value)]
    report.add(1, key, f"{_shown(value)} is nothing that a grid file can hold", _remedy(value))
    return None


def _name(name: object, key: str, report: Report) -> str:
    if not isinstance(name, str):
        report.add(1, key or "grid", f"{_shown(name)} is no key", "keys are text")
    return str(name)


def _shown(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _remedy(value: object) -> str:
    if callable(value):
        return "name what you have written by its file: 'my_file.py:Class'"
    if hasattr(value, "tolist"):
        return "give its .tolist()"
    if hasattr(value, "to_dict"):
        return "give its .to_dict('records')"
    return "allowed: numbers, text, True, False, None, and lists and dictionaries of these"
