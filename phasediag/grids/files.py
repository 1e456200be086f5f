"""The files of the user's that a grid names under `files`: shipped, kept and hashed with its code."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Final

from phasediag.grids.nodes import Node, Report

REMEDY: Final = "write files: [data.npz, tables/, lists/*.csv], paths relative to the grid"
_PASSED_OVER: Final = frozenset({"__pycache__", ".git", ".ipynb_checkpoints"})


def read_files(node: Node | None, folder: Path, report: Report, *, used: bool) -> tuple[Path, ...]:
    """Every file that the list names: a file, all files of a folder, or what a pattern matches.

    Parameters
    ----------
    folder
        That of the grid.
    used
        Whether a task or a model is a file of the user's, so that there is somebody to read them.
    """
    if node is None:
        return ()
    if not used:
        problem = "no task and no model of this grid is a file of yours, so nothing would read them"
        report.add(node.line, "files", problem, "remove the key, or name my_file.py:Class")
    items = node.content if isinstance(node.content, tuple) else None
    if items is None:
        report.add(node.line, "files", f"{node.shown} is not a list", REMEDY)
        return ()
    distinct: dict[Path, None] = {}
    for index, item in enumerate(items):
        problem, files = _files_of(item.content, folder.resolve())
        if problem:
            report.add(item.line, f"files[{index}]", f"{item.shown} {problem}", REMEDY)
        distinct.update(dict.fromkeys(files))
    return tuple(distinct)


def _files_of(name: object, folder: Path) -> tuple[str, list[Path]]:
    """What is wrong with an item, and the files that it means."""
    if not isinstance(name, str) or not name.strip():
        return "is no path", []
    if os.path.isabs(os.path.expanduser(name)):
        return "is an absolute path, and other machines have no such file", []
    path = Path(os.path.normpath(folder / name))
    if os.path.isfile(path):  # that of Path raises where a name is too long
        return "", [path]
    if os.path.isdir(path):
        files = _inside(path)
        return ("" if files else "is a folder without files"), files
    if glob.has_magic(name):
        matches = [Path(os.path.normpath(m)) for m in glob.glob(str(folder / name), recursive=True)]
        files = [each for m in sorted(matches) for each in (_inside(m) if m.is_dir() else [m])]
        return ("" if files else "matches no file"), files
    return f"does not exist in {folder}", []


def _inside(folder: Path) -> list[Path]:
    """All files of a folder, at any depth."""
    return sorted(
        path for path in folder.rglob("*")
        if path.is_file() and _PASSED_OVER.isdisjoint(path.relative_to(folder).parts)
    )  # fmt: skip
