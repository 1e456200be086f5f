"""grid.yaml to Grid to Trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from phasediag.grids.draft import Draft
from phasediag.grids.expansion import ResolvedPoints
from phasediag.grids.given import NAME, GridSource, KeyReport, given_text
from phasediag.grids.lot import Expansion, Lot
from phasediag.grids.measure import Measure, ObservableRequest
from phasediag.grids.nodes import Report, parse_mapping, read_text
from phasediag.grids.own_observables import read_observables
from phasediag.grids.rules import SHORTHANDS, Hold
from phasediag.grids.sections import Resources
from phasediag.grids.settings import Setting, with_settings
from phasediag.observables.known import UserObservable
from phasediag.registry import Component, source_hash
from phasediag.trial import ComponentKind, Parameter, Trials, Value
from phasediag.user_code.imports import relative_name

__all__ = ["Grid", "Measure", "ObservableRequest", "Resources", "parse_grid", "read_grid"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """A validated grid: every combination that it holds can be trained."""

    name: str
    """Folder of the sweep."""
    path: Path
    text: str
    """The YAML text."""
    fixed: Mapping[str, Value]
    axes: Mapping[str, tuple[Value, ...]]
    """The values of each axis, in the order of the file."""
    given: frozenset[str]
    """The parameters that axes, points and the ramp give values to."""
    zips: tuple[tuple[str, ...], ...]
    """Axes that move together."""
    replicates: int
    seed: int
    hold: Hold
    """What stays as given where lr_over_batch is given."""
    measure: Measure
    keep: float
    """The share of the trials whose last weights are kept; 0 where none are."""
    resources: Resources
    parameters: Mapping[str, Parameter]
    """All that apply to any trial, in the order of the columns."""
    named: Mapping[ComponentKind, Mapping[str, Component]]
    """The classes that it names, of each kind by the value that names it."""
    observables: Mapping[str, UserObservable]
    """The user's own, by the name that the grid uses."""
    points_file: str | None
    """The Parquet file of `points`, as the grid names it."""
    parts: tuple[ResolvedPoints, ...] = field(repr=False)
    """The resolved points."""
    folder: Path = field(default_factory=Path)
    """Where user files and Parquet points are looked up."""
    data: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Content of the user's files that are no code, by name from the folder of the grid."""
    outside: tuple[Path, ...] = ()
    """Files elsewhere that code of the user's opens: they are no part of the record."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that code of the user's reads, and at which line: neither are they."""

    @property
    def components(self) -> tuple[Component, ...]:
        """All classes that it names."""
        return tuple(part for parts in self.named.values() for part in parts.values())

    @property
    def models(self) -> Mapping[str, Component]:
        """By the value of the parameter `model`."""
        return self.named["model"]

    @property
    def code(self) -> dict[str, bytes]:
        """Content of the files behind what the user has written, by name from the folder of the grid."""
        parts: tuple[Component | UserObservable, ...] = (*self.components, *self.observables.values())
        return {name: content for part in parts for name, content in part.code.items()}

    @property
    def sources(self) -> dict[str, str]:
        """The hash of each class that is the user's, by the value that names it."""
        return {component.name: component.source for component in self.components if component.source}

    def with_data(self, data: Mapping[str, bytes]) -> Grid:
        """The grid where these are all files of the user's that are no code."""
        changed = {
            (c.kind, c.name): replace(c, source=source_hash({**data, **c.code})) if c.loaded else c
            for c in self.components
        }
        parts = tuple(
            replace(p, components={kind: changed[kind, each.name] for kind, each in p.components.items()})
            for p in self.parts
        )
        named = {kind: {name: changed[kind, name] for name in each} for kind, each in self.named.items()}
        return replace(self, data=dict(data), parts=parts, named=named)

    @property
    def trial_count(self) -> int:
        """Points times replicates, before trials that would be the same are dropped."""
        return self.replicates * sum(part.count for part in self.parts)

    @property
    def expansion(self) -> Expansion:
        """What makes its trials from their numbers."""
        return Expansion(
            parts=tuple(part.bare() for part in self.parts),
            identities=tuple(part.identity(self.sources) for part in self.parts),
            names=tuple(self.parameters), replicates=self.replicates, seed=self.seed,
        )  # fmt: skip

    def lot(self) -> Lot:
        """Every trial once, by number: points in the order of the file, the replicate running fastest.

        Points that would train the same (a listed point that the axes hold too, two learning
        times that round to the same steps) are trained once.
        """
        return Lot.of_grid(self.expansion)

    def trials(self) -> Trials:
        """All trials of `lot` at once."""
        return self.lot().trials()


def read_grid(grid: GridSource, settings: Sequence[Setting] = ()) -> Grid:
    """Read and validate a grid.

    Parameters
    ----------
    grid
        The path of a file, or a mapping of the keys that a file would have; files of the user's are then
        looked up in the current folder.
    settings
        Keys with other values than the grid gives; its text is then the one that has them.

    Raises
    ------
    GridError
        With all faults at once, each with its key, and file and line, or the setting.
    PhasediagError
        Where a setting names no key of a grid.
    """
    path = Path(NAME) if isinstance(grid, Mapping) else Path(grid)
    report = KeyReport() if isinstance(grid, Mapping) else Report(str(path))
    text = given_text(grid, report) if isinstance(grid, Mapping) else read_text(path)
    if settings:
        changed = with_settings(text, report, settings)
        text, report = changed.text, changed.report
    return parse_grid(text, path, report=report)


def parse_grid(text: str, path: Path, folder: Path | None = None, report: Report | None = None) -> Grid:
    """Validate the text of a grid.

    Parameters
    ----------
    text
        YAML 1.2.
    path
        Named in messages.
    folder
        Where user files and Parquet points are looked up; by default the folder of `path`.
    report
        Collects the faults; None: one that names the lines of `path`.

    Raises
    ------
    GridError
        With all faults at once, each with file and line.
    """
    report = Report(str(path)) if report is None else report
    root = parse_mapping(text, report)
    folder = (folder if folder is not None else path.parent).resolve()
    draft = Draft(root, folder, report)
    asked = root.content.get("measure") if isinstance(root.content, dict) else None
    own = read_observables(draft.heading.measure, asked, folder, report)
    parts, heading = draft.expand(), draft.heading
    report.close()
    grid = Grid(
        name=heading.name, path=path, text=text, fixed=draft.fixed, axes=draft.axes, given=draft.given,
        zips=draft.zips, replicates=heading.replicates, seed=heading.seed, hold=draft.hold,
        measure=heading.measure.with_columns(own), keep=heading.keep, resources=heading.resources,
        parameters={n: p for n, p in draft.catalogue.parameters.items() if n not in SHORTHANDS},
        named=draft.catalogue.named, observables=own, points_file=draft.points_file,
        parts=tuple(parts), folder=folder,
    )  # fmt: skip
    opened = [path for c in grid.components if c.loaded is not None for path in c.loaded.opened]
    return grid.with_data(contents([*draft.files, *opened], grid)) if grid.sources else grid


def contents(paths: Iterable[Path], grid: Grid) -> dict[str, bytes]:
    """The content of files, by name from the folder of a grid; its code and its points left out."""
    left_out = {*grid.code, grid.points_file}
    names = {relative_name(path, grid.folder): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if name not in left_out}
