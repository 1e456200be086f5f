"""Which files beside a user's file it imports: read from its text, wherever the statement stands."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path
from typing import Final

from phasediag.source_lines import of_the_user

SUFFIXES: Final = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
NEVER: Final = frozenset({"phasediag", *sys.builtin_module_names})
"""Names that never mean a file of the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulePlace:
    """Where a module's name leads: a file, or a folder without `__init__.py`."""

    file: Path | None
    folder: Path | None
    """The folder of a package."""


@dataclass(frozen=True, slots=True)
class Roots:
    """The folders in which a user's file finds its modules, the first first."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, path: Path, grid_folder: Path, more: Sequence[Path] = ()) -> Roots:
        """The roots of a file: its own folder, the folder that holds its package, and that of the grid."""
        return cls(tuple(dict.fromkeys((path.parent, package_root(path), grid_folder, *more))))

    def local(self, name: str) -> bool:
        """Whether a module of this dotted name is the user's: one beside the file goes first, as in Python.

        A folder without `__init__.py` gives way to an installed package of its name.
        """
        top = name.partition(".")[0]
        if not top or top in NEVER:
            return False
        place = self.place(top)
        return place is not None and (place.file is not None or not _installed(top))

    def place(self, name: str) -> ModulePlace | None:
        """Where a dotted name leads; None where there is no such module."""
        folders: Sequence[Path] = self.folders
        reached: ModulePlace | None = None
        for part in name.split("."):
            reached = _place(folders, part)
            if reached is None:
                return None
            folders = () if reached.folder is None else (reached.folder,)
        return reached


def package_root(path: Path) -> Path:
    """The first folder above a file that is no package."""
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return folder


def module_name(path: Path) -> str:
    """The dotted name of a file inside its package; its plain name where it is in none."""
    return ".".join(path.relative_to(package_root(path)).with_suffix("").parts)


def _place(folders: Sequence[Path], name: str) -> ModulePlace | None:
    for folder in folders:
        package = folder / name
        for suffix in SUFFIXES:
            if (package / f"__init__{suffix}").is_file():
                return ModulePlace(file=package / f"__init__{suffix}", folder=package)
        for suffix in SUFFIXES:
            if (folder / f"{name}{suffix}").is_file():
                return ModulePlace(file=folder / f"{name}{suffix}", folder=None)
    spaces = (folder / name for folder in folders if (folder / name).is_dir())
    space = next(spaces, None)
    return None if space is None else ModulePlace(file=None, folder=space)


def _installed(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def reached_from(path: Path, roots: Roots) -> dict[Path, bytes]:
    """A user's file and every file that it imports beside itself, directly or through others.

    Imports inside functions count, and so do the `__init__.py` of the packages on the way.

    Raises
    ------
    SyntaxError
        Where one of them is no Python.
    """
    contents: dict[Path, bytes] = {}
    waiting = [path, *packages_of(path, package_root(path))]
    while waiting:
        file = waiting.pop()
        if file in contents:
            continue
        contents[file] = file.read_bytes()
        if file.suffix in SOURCE_SUFFIXES:
            for names in imported_names(contents[file], str(file)):
                waiting += _files(names, file, roots)
    return contents


def imported_elsewhere(code: Mapping[Path, bytes], roots: Roots) -> tuple[Path, ...]:
    """The files of modules that code imports, and that are neither beside it nor installed.

    A package of the user's in another folder on Python's path, or one installed in place (`pip install -e`).
    Of a package its `__init__.py` stands for all.

    Parameters
    ----------
    code
        Content of files that this process has imported.
    """
    files: dict[Path, None] = {}
    for path, content in code.items():
        names = imported_names(content, str(path)) if path.suffix in SOURCE_SUFFIXES else ()
        for name in names:
            top = name.module.partition(".")[0]
            if name.level or not top or roots.local(top):
                continue
            module = sys.modules.get(name.module) or sys.modules.get(top)
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and of_the_user(file):
                files[Path(file)] = None
    return tuple(files)


def packages_of(path: Path, root: Path) -> list[Path]:
    """The `__init__.py` of each folder between a root and a file, those that there are."""
    folders = [folder for folder in path.parents if folder != root and folder.is_relative_to(root)]
    return [folder / "__init__.py" for folder in folders if (folder / "__init__.py").is_file()]


def _files(imported: ImportedName, file: Path, roots: Roots) -> Iterator[Path]:
    """The files of a module that an import statement names, with those of the packages around it."""
    if imported.level:
        folder = file.parent
        for _ in range(imported.level - 1):
            folder = folder.parent
        roots = Roots((folder,))
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"
    elif not roots.local(imported.module):
        return
    parts = imported.module.split(".") if imported.module else []
    for length in range(1, len(parts) + 1):
        place = roots.place(".".join(parts[:length]))
        if place is not None and place.file is not None:
            yield place.file
    for name in imported.names:
        place = roots.place(".".join([*parts, name]))
        if place is not None and place.file is not None:
            yield place.file


@dataclass(frozen=True, slots=True)
class ImportedName:
    """What an import statement asks for: `from module import names`, with `level` dots before it."""

    module: str
    names: tuple[str, ...]
    level: int


@lru_cache(maxsize=1024)
def imported_names(content: bytes, file: str) -> tuple[ImportedName, ...]:
    """All import statements of a text, and calls of `import_module` with a name in quotes.

    Raises
    ------
    SyntaxError
        Where it is no Python.
    """
    return tuple(name for node in ast.walk(ast.parse(content, file)) for name in _names_in(node))


def leading_imports(content: bytes, file: str) -> Iterator[ImportedName]:
    """What the import statements ask for with which a text begins, after its docstring.

    Raises
    ------
    SyntaxError
        Where it is no Python.
    """
    tree = ast.parse(content, file)
    for node in tree.body[ast.get_docstring(tree, clean=False) is not None :]:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            return
        yield from _names_in(node)


def _names_in(node: ast.AST) -> list[ImportedName]:
    """What an import statement asks for, or a call of `import_module`; nothing of other nodes."""
    if isinstance(node, ast.Import):
        return [ImportedName(alias.name, (), 0) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [ImportedName(node.module or "", tuple(alias.name for alias in node.names), node.level)]
    if isinstance(node, ast.Call) and (name := dynamic_name(node)):
        return [ImportedName(name, (), 0)]
    return []


def dynamic_name(call: ast.Call) -> str:
    """The module that `import_module("name")` asks for; empty where the call is another one."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first = call.args[0] if call.args else None
    if called != "import_module" or len(call.args) != 1 or not isinstance(first, ast.Constant):
        return ""
    return first.value if isinstance(first.value, str) and not first.value.startswith(".") else ""


def relative_name(path: Path, folder: Path) -> str:
    """A path as a grid in a folder names it, with forward slashes."""
    return Path(os.path.relpath(path, folder)).as_posix()
