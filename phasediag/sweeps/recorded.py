"""A grid as its sweep keeps it: with the files of the user's that it rests on, and with its trials."""

from __future__ import annotations

from pathlib import Path

from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid, parse_grid
from phasediag.grids.lot import Lot
from phasediag.running.sources import place_sources
from phasediag.storage.roster import Roster
from phasediag.storage.store import Store


def user_sources(grid: Grid) -> dict[str, bytes]:
    """The content of every file of the user's that a grid rests on, by its name from the grid's folder.

    Raises
    ------
    PhasediagError
        Where the grid names a file by an absolute path.
    """
    for name in (*grid.sources, *grid.observables):
        _check_relative(grid, name.partition(":")[0])
    return dict(grid.data) | grid.code


def recorded_files(grid: Grid) -> dict[str, bytes]:
    """What must be kept beside a grid so that it can be read again: sources, and a file of points.

    Raises
    ------
    PhasediagError
        Where a path is absolute.
    """
    sources = user_sources(grid)
    if grid.points_file is None:
        return sources
    _check_relative(grid, grid.points_file)
    return sources | {grid.points_file: (grid.folder / grid.points_file).read_bytes()}


def _check_relative(grid: Grid, file: str) -> None:
    if Path(file).is_absolute():
        raise PhasediagError(
            f"{grid.path}: the path of {file} is absolute, and other machines have no such file; write it "
            "relative to the grid"
        )


def roster_of_grid(grid: Grid, trials: Lot) -> Roster:
    """The trials of a grid as they are kept beside it."""
    return Roster(lot=trials, parameters=grid.parameters, given=grid.given, sources=grid.sources)


def stored_grid(store: Store, name: str, text: str, folder: Path) -> Grid:
    """A grid as it was launched, with its own copies of the user's files put into `folder`.

    Raises
    ------
    GridError
        Where the copies cannot be read as they were.
    """
    kept = store.grid_sources(name)
    grid = parse_grid(text, Path((store.folder / "grids").address(name)), place_sources(kept, folder))
    code = {*grid.code, grid.points_file}
    data = {file: held for file, held in kept.items() if file not in code}
    return grid.with_data(data)
