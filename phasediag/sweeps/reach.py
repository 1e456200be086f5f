"""Which files a user's classes open: seen by building them once, before anything is identified or trained.

What they open beside the grid is hashed, kept and shipped with their code. Then they are built once more
from the copies that workers get, so that a file nobody could see being opened is missed here, in one
error, and not in every trial.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import torch

from phasediag.errors import PhasediagError
from phasediag.grids.design_columns import combinations, value_at
from phasediag.grids.expansion import ResolvedPoints
from phasediag.grids.grid import Grid, contents
from phasediag.library_messages import quiet
from phasediag.registry import Component, component, source_hash
from phasediag.rehearsal.dry_data import World, check_data
from phasediag.running.sources import climbs, source_folder
from phasediag.sweeps.recorded import user_sources
from phasediag.training.construction import CANONICAL_SEED, uninitialized
from phasediag.training.network import network_of
from phasediag.trial import Role, Value, replicate_seed
from phasediag.user_code.apart import apart
from phasediag.user_code.imports import imported_elsewhere, package_root
from phasediag.user_code.opened import opened_files
from phasediag.user_code.variables import variables_read
from phasediag.user_code.work import at_work

MOST_BUILT: Final = 64
"""Combinations of structural parameters of a user's classes that are built, at most."""
_NAME_THEM: Final = (
    "open it by Path(__file__).parent / 'NAME', and name it under files: [...] at the top level of the grid"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What code of the user's reads besides code."""

    beside: tuple[Path, ...]
    """Files beside the user's."""
    outside: tuple[Path, ...]
    """Files elsewhere."""
    variables: Mapping[str, str]
    """Environment variables, and where each is read."""
    made: str
    """Hash of the networks and the data that were made meanwhile."""


_seen: dict[tuple[Any, ...], Opened] = {}
"""What was opened where classes of some modules were built for some values."""
_reached: dict[tuple[Any, ...], Opened] = {}
"""What the classes of a grid open, by all that they are built of."""


def completed(grid: Grid) -> Grid:
    """The grid with every file that its classes open; as it is where nothing of it is the user's.

    Raises
    ------
    PhasediagError
        Where a class of the user's raises while it is built or makes its data, there or from the copies,
        or opens a file by a path that leads nowhere on other machines.
    """
    sources, loaded = user_sources(grid), [part.loaded for part in grid.components if part.loaded]
    if not loaded:
        return grid
    records = [repr(sorted(record.items())) for part in grid.parts for record in _records(part)]
    key = (tuple(each.module.__name__ for each in loaded), source_hash(sources), *records)
    if key not in _reached:
        _reached[key] = apart(partial(_reach, grid))
    reached = _reached[key]
    for each in loaded:
        each.observe(reached.beside)
    read = [*(each.variables for each in loaded), reached.variables]
    variables = {name: place for each in read for name, place in each.items()}
    complete = grid.with_data({**grid.data, **contents(reached.beside, grid)})
    modules = [path for each in loaded for path in imported_elsewhere(each.code, each.roots)]
    return replace(complete, outside=_each([reached.outside, tuple(modules)]), variables=variables)


def _reach(grid: Grid) -> Opened:
    """What the classes of a grid open, there and from copies of all that."""
    opened = _opened_of(grid, grid.folder)
    beside = _each(each.beside for each in opened)
    _check_copies(grid.with_data({**grid.data, **contents(beside, grid)}), opened)
    variables = {name: place for each in opened for name, place in each.variables.items()}
    return Opened(
        beside=beside, outside=_each(each.outside for each in opened), variables=variables,
        made="".join(each.made for each in opened),
    )  # fmt: skip


def _each(groups: Iterable[tuple[Path, ...]]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(path for files in groups for path in files))


def _opened_of(grid: Grid, folder: Path) -> list[Opened]:
    """What `_seen` holds for every combination of values of the grid."""
    return [_opened(record, part, grid, folder) for part in grid.parts for record in _records(part)]


def _records(part: ResolvedPoints) -> Iterator[dict[str, Value]]:
    """A record of every combination of what may decide which files are opened."""
    components = [each for each in part.components.values() if each.loaded]
    names = {
        name for each in components for name, parameter in each.parameters.items()
        if parameter.role is Role.STRUCTURAL or parameter.kind is str
    }  # fmt: skip
    chosen = [part.columns[name] for name in sorted(names) if name in part.columns]
    if components:
        first, _ = combinations(chosen, part.shape, part.kept)
        for row in first[:MOST_BUILT].tolist():
            yield {name: value_at(column, row, part.shape) for name, column in part.columns.items()}


def _opened(record: Mapping[str, Value], part: ResolvedPoints, grid: Grid, folder: Path) -> Opened:
    components = [component(kind, each.name, folder) for kind, each in part.components.items()]
    loaded = [each.loaded for each in components if each.loaded is not None]
    key = (tuple(each.module.__name__ for each in loaded), repr(sorted(record.items())))
    if key not in _seen:
        within = [place for each in components for place in _folders(each, folder)]
        within += [place for each in part.components.values() for place in _folders(each, grid.folder)]
        with (
            quiet(None),
            opened_files(folder, grid.folder, *within) as opened,
            variables_read() as variables,
        ):
            made = _made(record, part, grid, folder)
        code = {path for each in loaded for path in each.code}
        beside = tuple(path for path in opened.files if path not in code)
        _seen[key] = Opened(beside=beside, outside=opened.outside, variables=variables, made=made)
    return _seen[key]


def _folders(part: Component, folder: Path) -> list[Path]:
    """Where the file of a user's class is, and the package that holds it."""
    if not part.loaded:
        return []
    path = Path(os.path.normpath(folder / part.name.partition(":")[0]))
    return [path.parent, package_root(path)]


def _made(record: Mapping[str, Value], part: ResolvedPoints, grid: Grid, folder: Path) -> str:
    """Build the network, and the data of one replicate where the task is the user's; a hash of both."""
    own = [each for each in part.components.values() if each.loaded]
    digest = blake2b(digest_size=16)
    with at_work(own[0].cls, own[0].name, "how it is made"):
        construction = network_of(record, folder).construction
        own_model = bool(part.components["model"].loaded)
        values = construction.values(CANONICAL_SEED) if own_model else {}
        unset = uninitialized(construction) if own_model else []
    for name, value in values.items():
        if name not in unset:
            digest.update(name.encode() + value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    if part.task.loaded:
        task = component("task", part.task.name, folder)
        world = World(record=record, seed=replicate_seed(grid.seed, 0), folder=folder)
        digest.update(check_data(task, world).digest.encode())
    return digest.hexdigest()


def _check_copies(grid: Grid, originals: Sequence[Opened]) -> None:
    """Build all once more from copies of what is known, and refuse what comes out otherwise.

    Parameters
    ----------
    originals
        What was made of the files themselves.
    """
    sources = user_sources(grid)
    copies = source_folder(sources)
    try:
        again = _opened_of(grid, copies)
    except PhasediagError as error:
        raise PhasediagError(
            f"{grid.path}: from the copies of your files that workers get: {error}. If it reads a file "
            f"beside the grid: {_NAME_THEM}"
        ) from error
    root = [copies, *copies.parents][climbs(sources)]
    paths = [path for path in _each(each.beside for each in again) if not path.is_relative_to(root)]
    if paths:
        raise PhasediagError(
            f"{grid.path}: {paths[0]} is opened by a path that leads to it from the current folder, or by an "
            f"absolute one; workers and later reruns have only copies of your files: {_NAME_THEM}"
        )
    if [each.made for each in again] != [each.made for each in originals] and _settled(grid, originals):
        raise PhasediagError(
            f"{grid.path}: your classes make something else of the copies of your files that workers get: "
            "where the files of a folder are listed, sort them, as in sorted(folder.iterdir()); nothing may "
            "follow from the order in which they are found, or from where a file lies"
        )


def _settled(grid: Grid, originals: Sequence[Opened]) -> bool:
    """Whether the files themselves give the same once more; where they do not, the dry step says why."""
    _seen.clear()
    return [each.made for each in _opened_of(grid, grid.folder)] == [each.made for each in originals]
