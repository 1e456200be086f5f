"""A grid as written: its keys checked one by one, before they are combined."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, Final, get_args

from phasediag.errors import RefusedError, nearest
from phasediag.grids.axis import axis_values, read_value
from phasediag.grids.catalogue import Catalogue, all_declarations, owners
from phasediag.grids.design_columns import product
from phasediag.grids.expansion import Expander, GivenPoints, ResolvedPoints
from phasediag.grids.expression import Expression, parse_expression
from phasediag.grids.files import read_files
from phasediag.grids.nodes import Node, Report
from phasediag.grids.points import PointSet, checked_column, read_points
from phasediag.grids.ramps import TRAINING_WITH_RAMP, GridRamp, read_ramp
from phasediag.grids.rules import Hold
from phasediag.grids.top_level import TopLevel
from phasediag.identity import names_a_file
from phasediag.parameters import TRAINING
from phasediag.registry import Component, built_in, component
from phasediag.trial import KINDS, REQUIRED, ComponentKind, Encoded, Parameter, Value

TOP_KEYS: Final = (
    "name", "fixed", "axes", "zip", "exclude", "points", "replicates", "seed", "max_trials",
    "ramp", "files", "measure", "keep", "resources",
)  # fmt: skip
_DEFAULTS: Final = {p.name: p.default for p in TRAINING if p.name in KINDS and p.default is not REQUIRED}
"""What a grid names by leaving it out."""


class Draft:
    """The keys of a grid; whatever is wrong with them stands in the report.

    Attributes are those of `phasediag.grids.grid.Grid`, and `heading`.
    """

    def __init__(self, root: Node, folder: Path, report: Report) -> None:
        assert isinstance(root.content, dict)
        top = self._top = TopLevel(root.content, report)
        self._folder = folder
        self._report = report
        self._unjudged = False
        self._places: dict[str, tuple[str, int]] = {}
        self.heading = top.heading()
        before = len(report.faults)
        points = top.nodes.get("points")
        self._points = read_points(points, folder, report) if points is not None else []
        self.points_file = points.content if points is not None and isinstance(points.content, str) else None
        self._fixed_nodes, self._axis_nodes = top.mapping("fixed"), top.mapping("axes")
        self.hold = self._held()
        self.catalogue = self._catalogue()
        used = any(each.loaded for each in self.catalogue.components)
        self.files = read_files(top.nodes.get("files"), folder, report, used=used or self._unjudged)
        self._check_top_keys()
        self.fixed = self._read_fixed()
        self.axes = self._read_axes()
        self.zips = self._read_zips()
        self._exclude = self._read_exclude()
        self._point_columns = [self._check_points(points) for points in self._points]
        self._ramp = self._read_ramp()
        self._check_required()
        if len(report.faults) == before:
            self._check_count()
        self._sound = len(report.faults) == before

    @property
    def given(self) -> frozenset[str]:
        """The parameters that axes, points and the ramp give values to."""
        walked = () if self._ramp is None else (self._ramp.parameter,)
        return frozenset(self.axes).union(*self._point_columns, walked)

    def expand(self) -> list[ResolvedPoints]:
        """The resolved points; empty where the keys alone are already at fault."""
        if not self._sound:
            return []
        expander = Expander(
            catalogue=self.catalogue, hold=self.hold, exclude=self._exclude, report=self._report,
            fallback=("name", self._top.line("name")),
        )  # fmt: skip
        parts = expander.expand(self._designs())
        used = {name for part in parts for name in part.parameters}
        for name in self.fixed if parts else ():
            if name not in used:
                key, line = self._places[name]
                problem = f"no trial has a parameter '{name}'"
                self._report.add(line, key, problem, "remove it, or relax exclude")
        return parts

    def _catalogue(self) -> Catalogue:
        named = {kind: self._components(kind) for kind in KINDS}
        broken = any(not parts or None in parts.values() for parts in named.values())
        catalogue = Catalogue(
            named={
                kind: {name: part for name, part in parts.items() if part is not None}
                for kind, parts in named.items()
            },
            extra=all_declarations(self._folder) if broken else {},
        )
        for kind, name, parameter, owner in catalogue.clashes():
            key, line = next((key, line) for named, key, line in self._named(kind) if named == name)
            problem = f"'{parameter}' of {name} is a parameter of {owner} too, which would take its place"
            self._report.add(line, key, problem, f"call it otherwise in {name.partition(':')[0]}")
        return catalogue

    def _components(self, kind: ComponentKind) -> dict[str, Component | None]:
        """Every component that is named; None where it is unknown."""
        components: dict[str, Component | None] = {}
        for name, key, line in self._named(kind):
            if name in components:
                continue
            try:
                components[name] = component(kind, name, self._folder)
            except ValueError as error:
                self._report.refuse(line, key, error)
                components[name] = None
                self._unjudged = self._unjudged or names_a_file(name)
        return components

    def _named(self, kind: ComponentKind) -> list[tuple[str, str, int]]:
        """Every name of a component of a kind, with the key and the line where it stands."""
        named: list[tuple[Any, str, int]] = []
        if kind in self._fixed_nodes:
            node = self._fixed_nodes[kind]
            named.append((node.content, f"fixed.{kind}", node.line))
        if kind in self._axis_nodes:
            content = self._axis_nodes[kind].content
            if isinstance(content, dict) and "values" in content:
                content = content["values"].content
            items = content if isinstance(content, tuple) else ()
            named += [(item.content, f"axes.{kind}", item.line) for item in items]
        for points in self._points:
            if kind in points.columns:
                raw = points.columns[kind]
                named += [(v, f"points.{kind}", at) for v, at in zip(raw.pool, raw.lines, strict=True)]
        listed = kind in self._fixed_nodes or kind in self._axis_nodes
        everywhere = self._points and all(kind in points.columns for points in self._points)
        if kind in _DEFAULTS and not listed and not (everywhere and not self._axis_nodes):
            named.append((_DEFAULTS[kind], f"fixed.{kind}", self._top.line("fixed")))
        return [(name, key, line) for name, key, line in named if isinstance(name, str)]

    def _check_top_keys(self) -> None:
        for key, line in self._top.lines.items():
            if key in TOP_KEYS:
                continue
            if self.catalogue.declarations(key):
                self._report.add(line, key, "is a parameter", "move it under fixed or axes")
            else:
                self._report.unknown(line, key, key, list(TOP_KEYS))

    def _declarations(
        self, name: str, key: str, line: int, among: Collection[str] | None = None
    ) -> tuple[Parameter, ...]:
        """The declarations of a parameter; a fault and nothing where the grid has no such parameter.

        Parameters
        ----------
        among
            Those that may stand there, for the fault; None: all of the grid.
        """
        declared = self.catalogue.declarations(name)
        if self._unjudged and name in self.catalogue.extra and not self.catalogue.declared(name):
            return ()  # by whichever class is in the file that is missing
        if declared or self._unjudged:
            return declared
        parts = [f"{part.kind} '{part.name}'" for part in self.catalogue.components]
        problem = f"'{name}' is not a parameter of training, {' and '.join(parts) or 'any task or model'}"
        if self._report.full:  # a remedy takes time, and nobody will read it
            remedy = ""
        elif name in TOP_KEYS:
            remedy = f"'{name}' stands at the top level of the grid"
        elif elsewhere := owners(name, self._folder):
            remedy = f"it belongs to {', '.join(elsewhere)}"
        else:
            remedy = nearest(name, [*self.catalogue.parameters, "replicates"])
            remedy = remedy.replace("'replicates'?", "'replicates', at the top level of the grid?")
            remedy += f" allowed: {', '.join(sorted(among or self.catalogue.parameters))}"
        self._report.add(line, key, problem, remedy.strip())
        return ()

    def _read_fixed(self) -> dict[str, Value]:
        fixed: dict[str, Value] = {}
        for name, node in self._fixed_nodes.items():
            key = f"fixed.{name}"
            self._places[name] = (key, node.line)
            declarations = self._declarations(name, key, node.line)
            if name == "lr_over_batch":
                node = _without_hold(node)
                if isinstance(node.content, dict) and node.content.keys() == {"value"}:
                    node = node.content["value"]
            if not declarations:
                continue
            several = isinstance(node.content, dict | tuple)
            if several and not any(d.kind is tuple for d in declarations):
                remedy = f"move it to axes, or give one value: {declarations[0].allowed}"
                self._report.add(node.line, key, f"{node.shown} is more than one value", remedy)
                continue
            fixed[name] = read_value(node.plain, node.line, key, declarations, self._report)
        return fixed

    def _read_ramp(self) -> GridRamp | None:
        """The ramp; what every trial has of it is then fixed."""
        points = {name for columns in self._points for name in columns.columns}
        given = {"fixed": self._fixed_nodes, "axes": self._axis_nodes, "points": points}
        ramp = read_ramp(self._top.nodes.get("ramp"), self.catalogue, self._declarations, given, self._report)
        if ramp is not None:
            self.catalogue = replace(self.catalogue, training=TRAINING_WITH_RAMP)
            self.fixed |= ramp.fixed
            self._places |= ramp.places
        return ramp

    def _held(self) -> Hold:
        """What lr_over_batch holds, as its value says beside it."""
        for section, nodes in (("fixed", self._fixed_nodes), ("axes", self._axis_nodes)):
            node = nodes.get("lr_over_batch")
            if node is None or not isinstance(node.content, dict) or "hold" not in node.content:
                continue
            hold = node.content["hold"]
            choices: tuple[Hold, ...] = get_args(Hold)
            chosen = next((choice for choice in choices if choice == hold.content), None)
            if chosen is not None:
                return chosen
            remedy = f"{nearest(str(hold.plain), choices)} allowed: {', '.join(choices)}"
            key = f"{section}.lr_over_batch.hold"
            self._report.add(hold.line, key, f"{hold.shown} cannot be held", remedy.strip())
        return "batch_size"

    def _read_axes(self) -> dict[str, tuple[Value, ...]]:
        axes: dict[str, tuple[Value, ...]] = {}
        for name, node in self._axis_nodes.items():
            key = f"axes.{name}"
            if name in self._fixed_nodes:
                first = min(node.line, self._fixed_nodes[name].line)
                last = max(node.line, self._fixed_nodes[name].line)
                problem = f"'{name}' stands in fixed and in axes{self._report.lines(first, last)}"
                self._report.add(last, key, problem, "remove one of the two")
                continue
            self._places[name] = (key, node.line)
            declarations = self._declarations(name, key, node.line)
            if name == "lr_over_batch":
                node = _without_hold(node)
            if declarations:
                values = axis_values(node, key, declarations, self._report, self.heading.max_trials)
                axes[name] = values or ()
        return axes

    def _read_zips(self) -> tuple[tuple[str, ...], ...]:
        zips: list[tuple[str, ...]] = []
        used: set[str] = set()
        remedy = "write zip: [[width, teacher_width]], names of axes that move together"
        for index, node in enumerate(self._top.items("zip", remedy)):
            key, names = f"zip[{index}]", node.plain
            if not isinstance(names, list) or len(names) < 2 or not all(isinstance(n, str) for n in names):
                self._report.add(node.line, key, f"{node.shown} is not a list of two or more axes", remedy)
                continue
            before = len(self._report.faults)
            self._check_zip(names, used, node.line, key)
            used.update(names)
            if len(self._report.faults) == before:
                zips.append(tuple(names))
        return tuple(zips)

    def _check_zip(self, names: Sequence[str], used: set[str], line: int, key: str) -> None:
        for name in names:
            if name not in self._axis_nodes:
                hint = f"{nearest(name, self._axis_nodes)} axes: {', '.join(self._axis_nodes) or 'none'}"
                self._report.add(line, key, f"'{name}' is not an axis", hint.strip())
        twice = sorted({name for name in names if name in used or names.count(name) > 1})
        if twice:
            self._report.add(line, key, f"{', '.join(twice)} zipped twice", "name every axis once")
        lengths = {name: len(self.axes[name]) for name in names if self.axes.get(name)}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            remedy = "zipped axes have equally many values"
            self._report.add(line, key, f"axes of different lengths ({listed})", remedy)

    def _read_exclude(self) -> list[Expression]:
        remedy = 'write exclude: ["width < teacher_width"]'
        kinds = {name: parameter.kind for name, parameter in self.catalogue.parameters.items()}
        excluded = []
        for index, node in enumerate(self._top.items("exclude", remedy)):
            key = f"exclude[{index}]"
            if not isinstance(node.content, str):
                self._report.add(node.line, key, f"{node.shown} is not a condition", remedy)
                continue
            try:
                excluded.append(parse_expression(node.content, kinds))
            except RefusedError as refusal:
                problem = f"{node.content!r}: {refusal.problem}"
                self._report.add(node.line, key, problem, refusal.remedy or remedy)
        return excluded

    def _check_points(self, points: PointSet) -> dict[str, Encoded]:
        columns: dict[str, Encoded] = {}
        for name, raw in points.columns.items():
            line = raw.lines[0]
            if name in points.index and self._no_parameter(name):
                continue
            if name in self._fixed_nodes:
                problem = f"'{name}' stands in fixed and in points"
                self._report.add(line, f"points.{name}", problem, "remove one of the two")
            declarations = self._declarations(name, f"points.{name}", line)
            if declarations:
                columns[name] = checked_column(name, raw, declarations, self._report)
        for name in self._axis_nodes:
            if name not in points.columns:
                problem, line = f"a point gives no value to the axis '{name}'", int(points.lines[0])
                self._report.add(line, f"points.{name}", problem, f"add {name}: ... to every point")
        return columns

    def _no_parameter(self, name: str) -> bool:
        """Whether an index is neither a parameter nor nearly one: then it only numbered the rows."""
        known = self.catalogue.parameters
        return name not in known and not nearest(name, known) and not self._unjudged

    def _check_required(self) -> None:
        missing = [points for points in self._points if "task" not in points.columns]
        given = "task" in self._fixed_nodes or "task" in self._axis_nodes
        if not given and (missing or not self._points or self._axis_nodes):
            line = self._top.line("fixed")
            self._report.add(line, "fixed.task", "is missing", f"name a task: {', '.join(built_in('task'))}")

    def _groups(self) -> list[dict[str, tuple[Value, ...]]]:
        """The axes, those that move together in one group, in the order of the file."""
        groups: list[dict[str, tuple[Value, ...]]] = []
        placed: set[str] = set()
        for name in self.axes:
            if name in placed:
                continue
            names = next((together for together in self.zips if name in together), (name,))
            groups.append({member: self.axes[member] for member in names})
            placed.update(names)
        return groups

    def _check_count(self) -> None:
        axes = prod(len(next(iter(group.values()))) for group in self._groups()) if self._by_axes else 0
        count = (axes + sum(len(points) for points in self._points)) * self.heading.replicates
        if count > self.heading.max_trials:
            line = self._top.line("axes", "points", "replicates")
            problem = f"{count:,} trials are more than max_trials {self.heading.max_trials:,}"
            self._report.add(line, "axes", problem, "take fewer values, or raise max_trials")

    @property
    def _by_axes(self) -> bool:
        """Whether the axes (or the fixed values alone) are a design of their own."""
        return bool(self.axes) or not self._points

    def _designs(self) -> list[GivenPoints]:
        fixed = {name: Encoded(pool=(value,)) for name, value in self.fixed.items()}
        designs = []
        first = 0
        if self._by_axes:
            columns, shape = product(self._groups())
            given, varied, first = {**fixed, **columns}, frozenset(columns), prod(shape)
            designs.append(GivenPoints(given=given, varied=varied, shape=shape, first=0, places=self._places))
        for points, columns in zip(self._points, self._point_columns, strict=True):
            designs.append(self._listed(fixed, points, columns, first))
        return designs

    def _listed(
        self, fixed: Mapping[str, Encoded], points: PointSet, columns: Mapping[str, Encoded], first: int
    ) -> GivenPoints:
        places = {name: (f"points.{name}", raw.lines[0]) for name, raw in points.columns.items()}
        return GivenPoints(
            given={**fixed, **columns}, varied=frozenset(columns), places={**self._places, **places},
            shape=(len(points),), first=first, listed=points.position, lines=points.lines,
        )  # fmt: skip


def _without_hold(node: Node) -> Node:
    """The value of lr_over_batch without what it holds."""
    if not isinstance(node.content, dict):
        return node
    return Node(line=node.line, content={n: child for n, child in node.content.items() if n != "hold"})
