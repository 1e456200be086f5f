"""The grids that were launched under a sweep's name, as lattices to which points can be added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from ruamel.yaml import YAML

from phasediag.analysis.refinement import Axis, Point
from phasediag.errors import PhasediagError, nearest
from phasediag.grids.grid import Grid
from phasediag.grids.nodes import Report, parse_mapping
from phasediag.running.sources import place_sources
from phasediag.storage.launches import MARK, extension_of, refines, trains_until_converged
from phasediag.storage.store import Store
from phasediag.sweeps.recorded import stored_grid
from phasediag.trial import Trials, formatted

KEPT: Final = ("name", "fixed", "exclude", "replicates", "seed", "measure", "keep", "resources")
"""The keys that the grid of a refinement takes over."""

Key = tuple[str, ...]
"""The values of the facets, as they stand in an identity."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """A grid as it was launched."""

    name: str
    """Its file in the store: `0001.yaml`."""
    grid: Grid
    trials: Trials
    sources: Mapping[str, bytes]
    """The user's files that it names."""
    content: Mapping[str, Any]
    """As written."""

    @property
    def refines(self) -> bool:
        """Whether a refinement launched it."""
        return refines(self.grid.text)

    @property
    def extends(self) -> tuple[str, float] | None:
        """The grid that it extends and by what factor; None where it extends none."""
        return extension_of(self.grid.text)

    @property
    def of_some_points(self) -> bool:
        """Whether it extends only those points of a grid that were not settled."""
        return trains_until_converged(self.grid.text)

    def written(self, folder: Path, text: str, files: Mapping[str, bytes] = MappingProxyType({})) -> Path:
        """A grid file with this text, beside the user's files of this design and other files."""
        path = place_sources({**self.sources, **files}, folder / Path(self.name).stem) / "grid.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def extended(self, points: Sequence[Mapping[str, Any]], why: str, replicates: int) -> str:
        """The text of a grid with these points and replicates, everything else as in this design."""
        kept: dict[str, Any] = {key: self.content[key] for key in KEPT if self.content.get(key) is not None}
        kept["replicates"] = replicates
        given = frozenset().union(*points)
        fixed = {name: value for name, value in kept.get("fixed", {}).items() if name not in given}
        text = StringIO()
        YAML(typ="safe", pure=True).dump({**kept, "fixed": fixed, "points": list(points)}, text)
        return f"{MARK} {why}\n{text.getvalue()}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """The points of a design at one value of every facet."""

    design: Design
    values: Mapping[str, Any]
    """What a point of the slice says besides x and y."""
    x: Axis
    y: Axis
    columns: tuple[float, ...]
    rows: tuple[float, ...]
    points: frozenset[Point]

    def point(self, x: float, y: float) -> dict[str, Any]:
        """A point of this slice as a grid writes it."""
        pair = ((self.x, x), (self.y, y))
        return {axis.name: int(value) if axis.integers else value for axis, value in pair} | dict(self.values)


def read_designs(store: Store, folder: Path) -> list[Design]:
    """Every grid of a sweep, oldest first.

    Parameters
    ----------
    folder
        Where the user's files are put.
    """
    designs = []
    for name, text in store.grids():
        grid = stored_grid(store, name, text, folder / Path(name).stem)
        content = parse_mapping(text, Report(name)).plain
        sources = store.grid_sources(name)
        designs.append(Design(name=name, grid=grid, trials=grid.trials(), sources=sources, content=content))
    return designs


def present_designs(designs: Sequence[Design]) -> list[Design]:
    """The designs whose files of the user's are the newest; earlier versions are refined no further."""
    newest = {name: digest for design in designs for name, digest in design.grid.sources.items()}
    return [d for d in designs if all(newest[n] == digest for n, digest in d.grid.sources.items())]


def longest_designs(designs: Sequence[Design]) -> list[Design]:
    """The designs, each replaced by the longest of its extensions that has all of its points."""
    longest: dict[str, tuple[float, Design]] = {}
    for design in designs:
        if design.of_some_points:
            continue
        name, factor = design.extends or (design.name, 1.0)
        if name not in longest or factor > longest[name][0]:
            longest[name] = factor, design
    return [design for _, design in longest.values()]


def facets_of(designs: Iterable[Design], x: str, y: str) -> tuple[str, ...]:
    """The parameters besides x and y that grids vary, or in which grids differ."""
    designs = list(designs)
    given = set().union(*(design.grid.given for design in designs))
    for name in {name for design in designs for name in design.grid.fixed if name in design.trials.columns}:
        values = {formatted(design.grid.fixed.get(name)) for design in designs}
        if len(values) > 1:
            given.add(name)
    return tuple(sorted(given - {x, y}))


def check_axes(designs: Sequence[Design], x: str, y: str) -> list[Design]:
    """The designs that vary both x and y, in a way that allows values between theirs.

    Raises
    ------
    PhasediagError
        Where there are none; says why.
    """
    if x == y:
        raise PhasediagError(f"--x and --y are both '{x}'; name two axes of the sweep")
    names = sorted(set().union(*(design.grid.given for design in designs)))
    for role, name in (("--x", x), ("--y", y)):
        if name not in names:
            hint = nearest(name, names)
            raise PhasediagError(
                f"{role} {name}: the grids of this sweep do not vary '{name}' themselves; their axes are "
                f"{', '.join(names) or 'none'}{f'; {hint}' if hint else ''}"
            )
    usable = [design for design in designs if {x, y} <= design.grid.given]
    if not usable:
        raise PhasediagError(f"no single grid of this sweep varies both {x} and {y}; launch one that does")
    for design in usable:
        _check(design, x, y)
    return usable


def _check(design: Design, x: str, y: str) -> None:
    grid = design.grid
    ramp = grid.fixed.get("ramp")
    if ramp is not None:
        raise PhasediagError(
            f"{design.name} has a ramp: each of its trials walks through all values of {ramp}, so that no "
            "point can be added between two of them; give the ramp more stages, or refine a grid without"
        )
    for name in (x, y):
        if not {grid.parameters[name].kind} <= {int, float}:
            raise PhasediagError(f"'{name}' is not a number, so there is nothing between its values")
        together = next((names for names in grid.zips if name in names), None)
        if together:
            raise PhasediagError(
                f"{design.name} zips {', '.join(together)}: a new value of {name} would have no partner; "
                "refine a grid without zip"
            )
    if "lr_over_batch" in design.grid.given and grid.hold == "learning_rate":
        raise PhasediagError(
            f"{design.name} holds learning_rate, so lr_over_batch has values only where the batch size is "
            "whole; write the grid with batch_size instead of lr_over_batch, and refine that"
        )


def slices_of(design: Design, x: str, y: str, facets: Sequence[str]) -> dict[Key, Slice]:
    """The slices of a design that are lattices of at least two by two, by the values of the facets."""
    trials = design.trials.take(design.trials.replicate == design.trials.replicate.min())
    columns = {name: trials.values(name) for name in facets if name in trials.columns}
    texts = [
        [formatted(value) for value in columns[name].tolist()] if name in columns else ["null"] * len(trials)
        for name in facets
    ]
    groups: dict[Key, list[int]] = {}
    for row, key in enumerate(zip(*texts, strict=True) if texts else [()] * len(trials)):
        groups.setdefault(key, []).append(row)
    xs, ys = (trials.values(name).astype(np.float64) for name in (x, y))
    slices = {}
    for key, rows in groups.items():
        across, up = np.unique(xs[rows]), np.unique(ys[rows])
        if min(len(across), len(up)) < 2:
            continue
        parameters = design.grid.parameters
        slices[key] = Slice(
            design=design,
            values={n: plain_value(columns[n][rows[0]]) for n in facets if n in design.grid.given},
            x=Axis.of(x, across, integers=parameters[x].kind is int),
            y=Axis.of(y, up, integers=parameters[y].kind is int),
            columns=tuple(across.tolist()), rows=tuple(up.tolist()),
            points=frozenset(zip(xs[rows].tolist(), ys[rows].tolist(), strict=True)),
        )  # fmt: skip
    return slices


def plain_value(value: Any) -> Any:
    """A value of a column as YAML writes it."""
    if isinstance(value, tuple):
        return list(value)
    return value.item() if isinstance(value, np.generic) else value
