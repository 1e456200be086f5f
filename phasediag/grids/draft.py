"""A grid as written: its keys checked one by one, before they are combined."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import numpy as np

from phasediag.grids.axis import axis_values, read_value
from phasediag.grids.catalogue import LARGEST_INT, Catalogue, all_declarations, owners
from phasediag.grids.columns import product
from phasediag.grids.expansion import Block, Expander, Part
from phasediag.grids.expression import Expression, parse_expression
from phasediag.grids.files import read_files
from phasediag.grids.points import PointSet, checked_column, read_points
from phasediag.grids.reading import Node, Report, Section, parse_section
from phasediag.grids.rules import Hold
from phasediag.grids.sections import MeasureSection, Resources
from phasediag.registry import Component, Kind, built_in, component
from phasediag.trial import Encoded, Parameter, Value, nearest

TOP_KEYS: Final = (
    "name", "fixed", "axes", "zip", "exclude", "points", "replicates", "seed", "max_trials",
    "files", "measure", "resources",
)  # fmt: skip
NAME_PATTERN: Final = "^[a-z0-9][a-z0-9_-]*$"
MAX_TRIALS: Final = 10_000_000
_DEFAULT_MODEL: Final = "mlp"
SectionT = TypeVar("SectionT", bound=Section)


class Draft:
    """The keys of a grid; whatever is wrong with them stands in the report.

    Attributes are those of `phasediag.grids.grid.Grid`.
    """

    def __init__(self, root: Node, folder: Path, report: Report) -> None:
        assert isinstance(root.content, dict)
        self._top = {key: node for key, node in root.content.items() if node.content is not None}
        self._lines = {key: node.line for key, node in root.content.items()}
        self._folder = folder
        self._report = report
        self._unjudged = False
        self._places: dict[str, tuple[str, int]] = {}
        self.hold: Hold = "batch_size"
        self.name = self._name()
        self.replicates = self._whole("replicates", 1, 1)
        self.seed = self._whole("seed", 0, -LARGEST_INT)
        self._limit = self._whole("max_trials", MAX_TRIALS, 1)
        self.measure = self._section("measure", MeasureSection).resolve()
        self.resources = self._section("resources", Resources)
        before = len(report.faults)
        self._points = read_points(self._top["points"], folder, report) if "points" in self._top else []
        listed = self._top["points"].content if "points" in self._top else None
        self.points_file = listed if isinstance(listed, str) else None
        self._fixed_nodes, self._axis_nodes = self._mapping("fixed"), self._mapping("axes")
        self.catalogue = self._catalogue()
        used = any(c.source for c in (*self.catalogue.tasks.values(), *self.catalogue.models.values()))
        self.files = read_files(self._top.get("files"), folder, report, used=used or self._unjudged)
        self._check_top_keys()
        self.fixed = self._read_fixed()
        self.axes = self._read_axes()
        self.zips = self._read_zips()
        self._exclude = self._read_exclude()
        self._point_columns = [self._check_points(points) for points in self._points]
        self._check_required()
        if len(report.faults) == before:
            self._check_count()
        self._sound = len(report.faults) == before

    @property
    def given(self) -> frozenset[str]:
        """The parameters that axes and points give values to."""
        return frozenset(self.axes).union(*self._point_columns)

    def expand(self) -> list[Part]:
        """The resolved points; empty where the keys alone are already at fault."""
        if not self._sound:
            return []
        expander = Expander(
            catalogue=self.catalogue, hold=self.hold, exclude=self._exclude, report=self._report,
            fallback=("name", self._lines.get("name", 1)),
        )  # fmt: skip
        parts = expander.expand(self._blocks())
        used = {name for part in parts for name in part.parameters}
        for name in self.fixed if parts else ():
            if name not in used:
                key, line = self._places[name]
                problem = f"no trial has a parameter '{name}'"
                self._report.add(line, key, problem, "remove it, or relax exclude")
        return parts

    def _name(self) -> str:
        node = self._top.get("name")
        if node is None:
            self._report.add(self._lines.get("name", 1), "name", "is missing", "give the sweep a name")
            return ""
        if not isinstance(node.content, str) or not re.fullmatch(NAME_PATTERN, node.content):
            remedy = "allowed: small letters, digits, _ and -, a letter or digit first"
            self._report.add(node.line, "name", f"{node.shown} is no name of a folder", remedy)
        return str(node.content)

    def _whole(self, key: str, default: int, least: int) -> int:
        node = self._top.get(key)
        if node is None:
            return default
        value = node.content
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST_INT:
            allowed = f"a whole number >= {least}" if least >= 0 else "a whole number of at most 63 bits"
            self._report.add(node.line, key, f"{node.shown} is not allowed", f"allowed: {allowed}")
            return default
        return value

    def _section(self, key: str, model: type[SectionT]) -> SectionT:
        node = self._top.get(key)
        section = None if node is None else parse_section(model, node, key, self._report)
        return model() if section is None else section

    def _mapping(self, key: str) -> dict[str, Node]:
        node = self._top.get(key)
        if node is None:
            return {}
        if isinstance(node.content, dict):
            return node.content
        self._report.add(node.line, key, f"{node.shown} is not a mapping", f"write {key}: {{parameter: ...}}")
        return {}

    def _list(self, key: str, remedy: str) -> Sequence[Node]:
        node = self._top.get(key)
        if node is None:
            return ()
        if isinstance(node.content, tuple):
            return node.content
        self._report.add(node.line, key, f"{node.shown} is not a list", remedy)
        return ()

    def _catalogue(self) -> Catalogue:
        tasks, models = self._components("task"), self._components("model")
        broken = not tasks or not models or None in tasks.values() or None in models.values()
        catalogue = Catalogue(
            tasks={name: found for name, found in tasks.items() if found is not None},
            models={name: found for name, found in models.items() if found is not None},
            extra=all_declarations(self._folder) if broken else {},
        )
        for kind, name, parameter, owner in catalogue.clashes():
            key, line = next((key, line) for named, key, line in self._named(kind) if named == name)
            problem = f"'{parameter}' of {name} is a parameter of {owner} too, which would take its place"
            self._report.add(line, key, problem, f"call it otherwise in {name.partition(':')[0]}")
        return catalogue

    def _components(self, kind: Kind) -> dict[str, Component | None]:
        """Every component that is named; None where it cannot be found."""
        found: dict[str, Component | None] = {}
        for name, key, line in self._named(kind):
            if name in found:
                continue
            try:
                found[name] = component(kind, name, self._folder)
            except ValueError as error:
                problem, _, remedy = str(error).partition("; ")
                self._report.add(line, key, problem, remedy or "correct it")
                found[name] = None
                self._unjudged = self._unjudged or ":" in name
        return found

    def _named(self, kind: Kind) -> list[tuple[str, str, int]]:
        """Every name of a task or model, with the key and the line where it stands."""
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
        if kind == "model" and not listed and not (everywhere and not self._axis_nodes):
            named.append((_DEFAULT_MODEL, "fixed.model", self._lines.get("fixed", 1)))
        return [(name, key, line) for name, key, line in named if isinstance(name, str)]

    def _check_top_keys(self) -> None:
        for key, line in self._lines.items():
            if key in TOP_KEYS:
                continue
            if self.catalogue.declarations(key):
                self._report.add(line, key, "is a parameter", "move it under fixed or axes")
            else:
                self._report.unknown(line, key, key, list(TOP_KEYS))

    def _declarations(self, name: str, key: str, line: int) -> tuple[Parameter, ...]:
        """The declarations of a parameter; a fault and nothing where the grid has no such parameter."""
        found = self.catalogue.declarations(name)
        if found or self._unjudged:
            return found
        chosen = " and ".join(
            f"{kind} '{part}'"
            for kind, parts in (("task", self.catalogue.tasks), ("model", self.catalogue.models))
            for part in parts
        )
        problem = f"'{name}' is not a parameter of training, {chosen or 'any task or model'}"
        if name in TOP_KEYS:
            remedy = f"'{name}' stands at the top level of the grid"
        elif elsewhere := owners(name, self._folder):
            remedy = f"it belongs to {', '.join(elsewhere)}"
        else:
            remedy = nearest(name, self.catalogue.parameters)
            remedy += f" allowed: {', '.join(sorted(self.catalogue.parameters))}"
        self._report.add(line, key, problem, remedy.strip())
        return ()

    def _read_fixed(self) -> dict[str, Value]:
        fixed: dict[str, Value] = {}
        for name, node in self._fixed_nodes.items():
            key = f"fixed.{name}"
            self._places[name] = (key, node.line)
            declarations = self._declarations(name, key, node.line)
            if name == "lr_over_batch":
                node = self._without_hold(node, key)
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

    def _without_hold(self, node: Node, key: str) -> Node:
        """The value of lr_over_batch; its `hold` is kept."""
        if not isinstance(node.content, dict) or "hold" not in node.content:
            return node
        hold = node.content["hold"]
        choices: tuple[Hold, ...] = get_args(Hold)
        chosen = next((choice for choice in choices if choice == hold.content), None)
        if chosen is None:
            remedy = f"{nearest(str(hold.plain), choices)} allowed: {', '.join(choices)}"
            self._report.add(hold.line, f"{key}.hold", f"{hold.shown} cannot be held", remedy.strip())
        self.hold = chosen or "batch_size"
        rest = {name: child for name, child in node.content.items() if name != "hold"}
        return Node(line=node.line, content=rest)

    def _read_axes(self) -> dict[str, tuple[Value, ...]]:
        axes: dict[str, tuple[Value, ...]] = {}
        for name, node in self._axis_nodes.items():
            key = f"axes.{name}"
            if name in self._fixed_nodes:
                first = min(node.line, self._fixed_nodes[name].line)
                last = max(node.line, self._fixed_nodes[name].line)
                problem = f"'{name}' stands in fixed and in axes (lines {first} and {last})"
                self._report.add(last, key, problem, "remove one of the two")
                continue
            self._places[name] = (key, node.line)
            declarations = self._declarations(name, key, node.line)
            if name == "lr_over_batch":
                node = self._without_hold(node, key)
            if declarations:
                values = axis_values(node, key, declarations, self._report, self._limit)
                axes[name] = values or ()
        return axes

    def _read_zips(self) -> tuple[tuple[str, ...], ...]:
        zips: list[tuple[str, ...]] = []
        used: set[str] = set()
        remedy = "write zip: [[width, teacher_width]], names of axes that move together"
        for index, node in enumerate(self._list("zip", remedy)):
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
            told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            remedy = "zipped axes have equally many values"
            self._report.add(line, key, f"axes of different lengths ({told})", remedy)

    def _read_exclude(self) -> list[Expression]:
        remedy = 'write exclude: ["width < teacher_width"]'
        kinds = {name: parameter.kind for name, parameter in self.catalogue.parameters.items()}
        found = []
        for index, node in enumerate(self._list("exclude", remedy)):
            key = f"exclude[{index}]"
            if not isinstance(node.content, str):
                self._report.add(node.line, key, f"{node.shown} is not a condition", remedy)
                continue
            try:
                found.append(parse_expression(node.content, kinds))
            except ValueError as error:
                problem, _, hint = str(error).partition("; ")
                self._report.add(node.line, key, f"{node.content!r}: {problem}", hint or remedy)
        return found

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
            line = self._lines.get("fixed", 1)
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
        count = (axes + sum(len(points) for points in self._points)) * self.replicates
        if count > self._limit:
            line = self._lines.get("axes", self._lines.get("points", self._lines.get("replicates", 1)))
            problem = f"{count:,} trials are more than max_trials {self._limit:,}"
            self._report.add(line, "axes", problem, "take fewer values, or raise max_trials")

    @property
    def _by_axes(self) -> bool:
        """Whether the axes (or the fixed values alone) are a design of their own."""
        return bool(self.axes) or not self._points

    def _blocks(self) -> list[Block]:
        fixed = {name: Encoded(pool=(value,)) for name, value in self.fixed.items()}
        blocks = []
        offset = 0
        if self._by_axes:
            columns, offset = product(self._groups())
            position = np.arange(offset, dtype=np.int64)
            given, varied = {**fixed, **columns}, frozenset(columns)
            blocks.append(Block(given=given, varied=varied, position=position, places=self._places))
        for points, columns in zip(self._points, self._point_columns, strict=True):
            blocks.append(self._point_block(fixed, points, columns, offset))
        return blocks

    def _point_block(
        self, fixed: Mapping[str, Encoded], points: PointSet, columns: Mapping[str, Encoded], offset: int
    ) -> Block:
        places = {name: (f"points.{name}", raw.lines[0]) for name, raw in points.columns.items()}
        return Block(
            given={**fixed, **columns}, varied=frozenset(columns), places={**self._places, **places},
            position=points.position + offset, lines=points.lines,
        )  # fmt: skip
