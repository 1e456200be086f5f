"""A user's file as a module of its own, with the modules beside it.

Every version of a file, in every folder, is a package of its own in `sys.modules`: two sweeps with
different `helpers.py`, or one `helpers.py` before and after an edit, never meet. Import statements for
modules beside the file lead into that package, also those that run later, inside functions. What was read
when the file was first imported is what later imports see, whatever has become of the files since.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from importlib import import_module
from importlib.abc import FileLoader, MetaPathFinder, SourceLoader
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
)
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

from phasediag.library_messages import quiet
from phasediag.locks import alone
from phasediag.user_code.apart import withstood
from phasediag.user_code.imports import (
    Roots,
    dynamic_name,
    leading_imports,
    module_name,
    package_root,
    reached_from,
)
from phasediag.user_code.opened import opened_files
from phasediag.user_code.process import kept_process
from phasediag.user_code.replaced import KeptLibraries
from phasediag.user_code.variables import variables_read
from phasediag.user_code.work import at_work

PREFIX: Final = "phasediag_user_"
"""How the packages of user's files are named."""
LIBRARIES: Final = ("phasediag", "torch", "numpy", "scipy", "sklearn", "pandas")
"""Whose import costs time, and is the same for whoever asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """A user's file once it is imported, and all that it reached."""

    path: Path
    module: ModuleType
    roots: Roots
    code: Mapping[Path, bytes]
    """Content of the file and of every module beside it that it imports."""
    opened: tuple[Path, ...]
    """Files that were opened for reading meanwhile and are no code."""
    stamps: dict[Path, tuple[int, ...]]
    """What changes when a file is written again, of each that was opened then and since."""
    variables: Mapping[str, str]
    """Environment variables that it read meanwhile, and at which line."""

    def fresh(self) -> bool:
        """Whether nothing that it read has changed since."""
        if any(stamp_of(path) != stamp for path, stamp in self.stamps.items()):
            return False
        return {**_read(self.code), **reached_from(self.path, self.roots)} == self.code

    def observe(self, paths: Sequence[Path]) -> None:
        """Take down files that its classes opened later."""
        for path in paths:
            self.stamps.setdefault(path, stamp_of(path))


@dataclass(slots=True, kw_only=True)
class _Package:
    """What the modules of one package are made of."""

    roots: Roots
    contents: dict[Path, bytes] = field(default_factory=dict)


_packages: dict[str, _Package] = {}
_loaded: dict[tuple[Path, Path], Loaded] = {}


def load(path: Path, grid_folder: Path) -> Loaded:
    """Import a user's file, or find it imported already, unchanged.

    Parameters
    ----------
    path
        Absolute.
    grid_folder
        Where modules are looked for besides.

    Raises
    ------
    EndedError
        Where the file ends the process that imports it.
    Exception
        Whatever else the file raises; SyntaxError where it is no Python.
    """
    key = (path, grid_folder)
    known = _loaded.get(key)
    if known is None or not known.fresh():
        _preload(path, Roots.of(path, grid_folder))
        withstood(partial(_load, path, grid_folder))
        _loaded[key] = _load(path, grid_folder)
    return _loaded[key]


def _preload(path: Path, roots: Roots) -> None:
    """Load what phasediag computes with and a file begins to import, so that no child loads it for itself."""
    if path.suffix not in SOURCE_SUFFIXES:
        return
    for wanted in leading_imports(path.read_bytes(), str(path)):
        if wanted.level or roots.local(wanted.module):
            return
        if wanted.module.partition(".")[0] in LIBRARIES:
            for name in (wanted.module, *(f"{wanted.module}.{part}" for part in wanted.names)):
                with suppress(Exception), quiet(None):  # whether it can be had the file's own import tells
                    import_module(name)


@contextmanager
def imported_anew(loaded: Loaded, grid_folder: Path) -> Iterator[ModuleType]:
    """A user's file imported once more, for a while: without what calls have left in it."""
    again, _ = _imported(loaded.path, grid_folder, loaded.roots)
    try:
        yield again.module
    finally:
        _forget(again.module.__name__.partition(".")[0])


def stamp_of(path: Path) -> tuple[int, ...]:
    """What changes when a file is written again; empty where it is gone."""
    try:
        state = path.stat()
    except OSError:
        return ()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _read(files: Mapping[Path, bytes]) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in files if path.is_file()}


def _load(path: Path, grid_folder: Path) -> Loaded:
    """Import; once more where it put folders of its own on Python's path and found modules there."""
    more: tuple[Path, ...] = ()
    while True:
        roots = Roots.of(path, grid_folder, more)
        loaded, plain = _imported(path, grid_folder, roots)
        folders = {_root_of(name, file) for name, file in plain.items()} - set(roots.folders)
        if not folders:
            return loaded
        more = (*more, *sorted(folders))


@alone
def _imported(path: Path, grid_folder: Path, roots: Roots) -> tuple[Loaded, dict[str, Path]]:
    """The file in a package of its own, and the modules below the folders that it imported by other ways."""
    code = reached_from(path, roots)
    package = _package(path, roots, code)
    within = tuple(dict.fromkeys((path.parent, grid_folder, package_root(path))))
    with _apart(within, path.parent) as plain, opened_files(*within) as opened, variables_read() as variables:
        name = module_name(path)
        try:
            with (
                kept_process(),
                quiet(None),
                at_work(path, path.name, "its import"),
                KeptLibraries(code),
            ):
                module = _module(package, name, path)
        except BaseException:
            _forget(package)
            raise
    code = {**code, **_read(dict.fromkeys(plain.values(), b"")), **_read(_files_of(package))}
    data = tuple(file for file in opened.files if file not in code)
    stamps = {file: stamp_of(file) for file in data}
    loaded = Loaded(
        path=path, module=module, roots=roots, code=code, opened=data, stamps=stamps, variables=variables
    )  # fmt: skip
    return loaded, dict(plain)


def _package(path: Path, roots: Roots, code: Mapping[Path, bytes]) -> str:
    """A new package for a version of a file."""
    digest = blake2b(repr((path, roots, sorted(code.items()))).encode(), digest_size=16).hexdigest()
    name = first = f"{PREFIX}{path.stem.replace('.', '_')}_{digest}"
    generation = 1
    while name in _packages:
        generation += 1
        name = f"{first}_{generation}"
    _packages[name] = _Package(roots=roots, contents=dict(code))
    module = ModuleType(name)
    module.__path__ = [str(folder) for folder in roots.folders]
    sys.modules[name] = module
    return name


def _module(package: str, name: str, path: Path) -> ModuleType:
    if path.with_suffix("").name.count("."):
        return _from_file(f"{package}.{path.stem.replace('.', '_')}", path)
    return import_module(f"{package}.{name}")


def _from_file(name: str, path: Path) -> ModuleType:
    """A module whose file has a name that no import statement can say."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(name, path, loader=UserLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _forget(package: str) -> None:
    """Drop a package whose import failed."""
    for name in [n for n in tuple(sys.modules) if n == package or n.startswith(f"{package}.")]:
        del sys.modules[name]
    del _packages[package]


def _files_of(package: str) -> dict[Path, bytes]:
    """The files of the modules that a package has by now."""
    files = [_file(m) for n, m in tuple(sys.modules.items()) if n.startswith(f"{package}.")]
    return {file: b"" for file in files if file is not None}


def _file(module: object) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(os.path.abspath(file)) if isinstance(file, str) else None


def _root_of(name: str, file: Path) -> Path:
    """The folder that holds the module of this name."""
    depth = name.count(".") + (file.stem == "__init__")
    return file.parents[depth]


@contextmanager
def _apart(folders: Sequence[Path], first: Path) -> Iterator[dict[str, Path]]:
    """Keep what a user's file imports by other ways than its statements out of Python's own list.

    Gives the modules below the folders that came that way, by name, once the block is over.
    """
    plain: dict[str, Path] = {}
    hidden = {name: sys.modules.pop(name) for name in _plain(folders)}
    path, unwritten, line = list(sys.path), sys.dont_write_bytecode, sys.argv
    loaded = {name: module for name, module in tuple(sys.modules.items()) if not name.startswith(PREFIX)}
    sys.path.insert(0, str(first))
    sys.argv = [""]  # a file that parses a command line as it is imported has its defaults, not phasediag's
    sys.dont_write_bytecode = True  # by its bytecode a file that is edited within a second may seem the same
    try:
        yield plain
    finally:
        sys.dont_write_bytecode, sys.argv = unwritten, line
        sys.modules.update(loaded)
        for name, file in _plain(folders).items():
            plain[name] = file
            del sys.modules[name]
        sys.modules.update(hidden)
        sys.path[:] = path


def _plain(folders: Sequence[Path]) -> dict[str, Path]:
    """The modules in Python's own list whose files lie below the folders, but for installed ones.

    Python's list may be of thousands, and is looked through whenever a file is imported: of a module
    elsewhere a text is compared, and no more.
    """
    starts = tuple(os.path.join(folder, "") for folder in folders)
    files: dict[str, Path] = {}
    for name, module in tuple(sys.modules.items()):
        own = name.partition(".")[0] in ("phasediag", "__main__", "conftest") or name.startswith(PREFIX)
        file = None if own else getattr(module, "__file__", None)
        if isinstance(file, str) and os.path.abspath(file).startswith(starts):
            path = Path(os.path.abspath(file))
            if _below(path, folders):
                files[name] = path
    return files


def _below(file: Path, folders: Sequence[Path]) -> bool:
    installed = [Path(place).resolve() for place in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
    return any(
        file.is_relative_to(folder)
        and not any(file.is_relative_to(place) for place in installed if not folder.is_relative_to(place))
        for folder in folders
    )


class UserLoader(FileLoader, SourceLoader):
    """Loads a module of a user's package from what was read at first; leaves no bytecode behind."""

    def get_data(self, path: str) -> bytes:
        """The content of a file."""
        contents = _packages[self.name.partition(".")[0]].contents
        file = Path(path)
        if file not in contents:
            contents[file] = file.read_bytes()
        return contents[file]

    def source_to_code(self, data: Any, path: Any = "<string>", **options: Any) -> CodeType:  # type: ignore[override]
        """The code, its imports of modules beside it led into the package."""
        package = self.name.partition(".")[0]
        tree = _Led(package, _packages[package].roots).visit(ast.parse(data, path))
        code = compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)
        assert isinstance(code, CodeType)
        return code


class UserFinder(MetaPathFinder):
    """Finds the modules of user's packages, always anew on the disk."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The first module of this name in the folders of the package."""
        if path is None or fullname.partition(".")[0] not in _packages:
            return None
        spaces: list[str] = []
        for entry in path:
            details = ((UserLoader, SOURCE_SUFFIXES), (ExtensionFileLoader, EXTENSION_SUFFIXES))
            spec = FileFinder(entry, *details).find_spec(fullname)
            if spec is not None and spec.loader is not None:
                return spec
            spaces += (spec.submodule_search_locations or []) if spec is not None else []
        if not spaces:
            return None
        namespace = ModuleSpec(fullname, None, is_package=True)
        namespace.submodule_search_locations = spaces
        return namespace


class _Led(ast.NodeTransformer):
    """Turns `import helpers` into `import PACKAGE.helpers as helpers`, and so on."""

    def __init__(self, package: str, roots: Roots) -> None:
        self._package, self._roots = package, roots

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        """`import a, b.c, d as e`, one statement each."""
        statements: list[ast.stmt] = []
        for alias in node.names:
            if not self._roots.local(alias.name):
                statements.append(ast.Import(names=[alias]))
                continue
            full, top = f"{self._package}.{alias.name}", alias.name.partition(".")[0]
            if alias.asname or top == alias.name:
                statements.append(ast.Import(names=[ast.alias(name=full, asname=alias.asname or top)]))
                continue
            call = ast.Call(func=ast.Name("__import__", ast.Load()), args=[ast.Constant(full)], keywords=[])
            statements.append(ast.Expr(call))
            statements.append(ast.Import(names=[ast.alias(name=f"{self._package}.{top}", asname=top)]))
        return [ast.copy_location(statement, node) for statement in statements]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        """`from a.b import c`."""
        if not node.level and node.module and self._roots.local(node.module):
            node.module = f"{self._package}.{node.module}"
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`import_module("a.b")`."""
        self.generic_visit(node)
        name = dynamic_name(node)
        if name and self._roots.local(name):
            node.args = [ast.copy_location(ast.Constant(f"{self._package}.{name}"), node.args[0])]
        return node


sys.meta_path.insert(0, UserFinder())
