"""From the values that a grid gives to the resolved columns of its points.

A design holds points that give values to the same parameters: the combinations of its axes, or a list. A
part is the points of a design that name the same classes: the combinations of some places along each axis.
Within a part every rule is the same for all rows. No column is longer than the axes on which it depends have
combinations (`columns`): a grid of any size is read and judged by its axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from phasediag.arrays import BoolArray, Shape
from phasediag.errors import RefusedError
from phasediag.grids.catalogue import Catalogue, applicable
from phasediag.grids.design_columns import (
    Numbering,
    combinations,
    derived,
    restricted,
    value_at,
    values_at,
    without_the_rest,
)
from phasediag.grids.expression import Expression
from phasediag.grids.nodes import Report
from phasediag.grids.resolved import NOT_APPLICABLE, Points
from phasediag.grids.rules import (
    ANISOTROPY,
    CLASSES,
    CONTROLLED,
    DATA_SIZE,
    FULL_BATCH,
    LAYERS,
    MOMENTUM,
    OWN_INIT,
    QUENCHED,
    SHORTHANDS,
    WARMUP,
    Hold,
    Rule,
    contradictions,
    derivations,
    unvaried,
)
from phasediag.identity import Identity
from phasediag.registry import Component
from phasediag.trial import (
    KINDS,
    REQUIRED,
    ComponentKind,
    Constraint,
    Encoded,
    IntArray,
    Parameter,
    Value,
    formatted,
    rounded,
)

_DERIVED: Final = frozenset({"learning_rate", "batch_size", "steps"})
"""None where a rule gives no value; what depends on them is then not judged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GivenPoints:
    """A design: points that give values to the same parameters."""

    given: Mapping[str, Encoded]
    """The columns that the grid gives, those of `fixed` included."""
    varied: frozenset[str]
    """The parameters that stand in axes or points."""
    shape: Shape
    """Places along each of its axes."""
    first: int
    """The number of the first point among all points of the grid; where they are listed, of the list's."""
    places: Mapping[str, tuple[str, int]]
    """Path and line of each key."""
    listed: IntArray | None = None
    """Where points are listed: the place of each in the list, shape (points,)."""
    lines: IntArray | None = None
    """Lines of the points, where they are listed one by one, shape (points,)."""

    def place(self, names: Iterable[str], row: int) -> tuple[str, int] | None:
        """Path and line of the first of these parameters that the file names."""
        for name in names:
            if name in self.places:
                path, line = self.places[name]
                listed = self.lines is not None and name in self.varied
                return path, int(self.lines[row]) if self.lines is not None and listed else line
        return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResolvedPoints(Points):
    """Resolved points of one task, one model, one optimizer."""

    components: Mapping[ComponentKind, Component]
    parameters: Mapping[str, Parameter]
    """The parameters that apply, in the order of the columns."""

    @property
    def task(self) -> Component:
        """Their task."""
        return self.components["task"]

    def identity(self, sources: Mapping[str, str]) -> Identity:
        """How their columns become ids.

        Parameters
        ----------
        sources
            As in `Identity`.
        """
        redrawn = {"label_noise": "redrawn"} if self.task.classes else {}
        return Identity(parameters=self.parameters, sources=sources, marks=redrawn)

    def bare(self) -> Points:
        """The points without their classes: what can be sent to other processes."""
        return Points(columns=self.columns, shape=self.shape, kept=self.kept, numbering=self.numbering)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expander:
    """Resolves blocks and notes the faults of the combinations that occur."""

    catalogue: Catalogue
    hold: Hold
    exclude: Sequence[Expression]
    report: Report
    fallback: tuple[str, int]
    """Path and line of a fault about keys that the file leaves out."""

    def expand(self, designs: Sequence[GivenPoints]) -> list[ResolvedPoints]:
        """The points that no exclusion removes; faults stand in `report`."""
        parts = [part for design in designs for part in self._parts(design)]
        if not parts and not self.report.faults:
            remedy = "relax a condition of exclude"
            self.report.add(self.fallback[1], "exclude", "every point is excluded", remedy)
        return parts

    def _parts(self, design: GivenPoints) -> list[ResolvedPoints]:
        before = len(self.report.faults)
        given = frozenset(design.given)
        for key, problem, remedy in [*contradictions(given, self.hold), *unvaried(design.varied)]:
            self._note(design, [key], 0, problem, remedy)
        if len(self.report.faults) > before:
            return []
        chosen = {kind: design.given.get(kind, _default(self.catalogue, kind)) for kind in KINDS}
        first, index = combinations(list(chosen.values()), design.shape)
        parts = []
        for number, row in enumerate(first.tolist()):
            names = {kind: str(value_at(column, row, design.shape)) for kind, column in chosen.items()}
            part = self._part(design, _along(index == number), self.catalogue.of(names))
            if part is not None:
                parts.append(part)
        return parts

    def _part(
        self,
        design: GivenPoints,
        chosen: tuple[IntArray | None, ...],
        components: Mapping[ComponentKind, Component],
    ) -> ResolvedPoints | None:
        parameters = applicable(components.values(), self.catalogue.training)
        shape = tuple(n if each is None else len(each) for n, each in zip(design.shape, chosen, strict=True))
        columns: dict[str, Encoded] = {}
        lacking = []
        for name, parameter in parameters.items():
            if name in design.given:
                columns[name] = restricted(design.given[name], chosen)
            elif parameter.default is REQUIRED:
                lacking.append(name)
                columns[name] = NOT_APPLICABLE
            else:
                columns[name] = Encoded(pool=(_plain(parameter.default),))
        columns[DATA_SIZE] = _data_size(components["task"], columns)
        controls = set(columns["control"].pool)
        unread = SHORTHANDS - {name for expression in self.exclude for name in expression.names}
        rules = [
            rule for rule in derivations(frozenset(design.given), self.hold)
            if rule.target in columns and rule.target not in unread
        ]  # fmt: skip
        for rule in rules:
            inputs = [columns[name] for name in rule.inputs]
            columns[rule.target] = derived(rule.attempt, inputs, shape)
        kept = self._kept(columns, len(shape))
        if not kept.any():
            return None
        if not kept.all():
            columns = {name: without_the_rest(column, kept) for name, column in columns.items()}
        own = replace(design, listed=_some(design.listed, chosen), lines=_some(design.lines, chosen))
        part = ResolvedPoints(
            components=components, parameters=parameters, columns=columns, shape=shape,
            kept=None if kept.all() else kept,
            numbering=Numbering(first=design.first, lengths=design.shape, chosen=chosen, listed=own.listed),
        )  # fmt: skip
        (row,), _ = combinations((), shape, kept)
        self._check_names(own, parameters, lacking, int(row), components)
        self._check_controls(own, controls, int(row))
        if not lacking:
            self._check_combinations(own, part, rules)
        for name in (DATA_SIZE, *SHORTHANDS):
            columns.pop(name, None)
        return part

    def _kept(self, columns: Mapping[str, Encoded], axes: int) -> BoolArray:
        kept = np.ones((1,) * axes, dtype=bool)
        for expression in self.exclude:
            read = {name: columns.get(name, NOT_APPLICABLE) for name in expression.names}
            kept = kept & ~expression.holds(read)
        return kept

    def _check_names(
        self, design: GivenPoints, parameters: Mapping[str, Parameter], lacking: Sequence[str], row: int,
        components: Mapping[ComponentKind, Component],
    ) -> None:  # fmt: skip
        for name in sorted(design.varied - parameters.keys()):
            first, *others = (f"{kind} '{part.name}'" for kind, part in components.items())
            problem = f"{first} with {' and '.join(others)} has no parameter '{name}'"
            remedy = "an axis applies to every combination of them: exclude this one, or make two grids"
            self._note(design, [name], row, problem, remedy)
        for name in lacking:
            problem = f"'{name}' has no value, and no default"
            remedy = f"give {name} under fixed or axes; allowed: {parameters[name].allowed}"
            owner = next((kind for kind, part in components.items() if name in part.parameters), "task")
            self._note(design, [owner], row, problem, remedy)

    def _check_controls(self, design: GivenPoints, controls: set[Value], row: int) -> None:
        for name, (owner, _) in CONTROLLED.items():
            if name in design.given and owner not in controls:
                problem = f"{name} is given, and no point has control: {owner}, which alone knows it"
                self._note(design, [name], row, problem, f"set control: {owner}, or leave {name} out")

    def _check_combinations(self, design: GivenPoints, part: ResolvedPoints, rules: Sequence[Rule]) -> None:
        own = [QUENCHED, OWN_INIT, WARMUP, LAYERS]
        if not part.task.classes:
            own.append(CLASSES)
        if not part.task.population:
            own.append(FULL_BATCH)
        optimizer = part.components["optimizer"]
        if MOMENTUM.parameters[0] not in optimizer.parameters:
            own.append(MOMENTUM)
        if getattr(optimizer.cls, "decoupled", None) is not False:
            own.append(ANISOTROPY)
        declared = [constraint for each in part.components.values() for constraint in each.constraints]
        constraints = [*(rule.constraint for rule in rules), *own, *declared]
        for constraint in constraints:
            if part.columns.keys() >= set(constraint.parameters):
                self._check(constraint, design, part)

    def _check(self, constraint: Constraint, design: GivenPoints, part: ResolvedPoints) -> None:
        read = [part.columns[name] for name in constraint.parameters]
        first, _ = combinations(read, part.shape, part.kept)
        occurring = zip(*(values_at(column, first, part.shape) for column in read), strict=True)
        refused: list[tuple[int, Sequence[Value], RefusedError]] = []
        for row, values in zip(first.tolist(), occurring, strict=True):
            pairs = zip(constraint.parameters, values, strict=True)
            if any(value is None and name in _DERIVED for name, value in pairs):
                continue
            refusal = _refusal(constraint, values)
            if refusal is not None:
                refused.append((row, values, refusal))
        if refused:
            row, example, refusal = refused[0]
            shown = ", ".join(
                f"{name}: {formatted(value)}"
                for name, value in zip(constraint.parameters, example, strict=True)
                if name in design.varied
            )
            more = f" (so are {len(refused) - 1} other combinations)" if len(refused) > 1 else ""
            at = f" [at {shown}]" if shown else ""
            remedy = refusal.remedy or "change one of them"
            names = [name for name in constraint.parameters if name != DATA_SIZE]
            names += ["samples"] if DATA_SIZE in constraint.parameters else []
            self._note(design, names, row, refusal.problem + at + more, f"{remedy}, or exclude it")

    def _note(self, design: GivenPoints, names: Sequence[str], row: int, problem: str, remedy: str) -> None:
        path, line = design.place(names, row) or self.fallback
        self.report.add(line, path, problem, remedy)


def _along(chosen: BoolArray) -> tuple[IntArray | None, ...]:
    """The places along each axis of rows that are all combinations of them; None: all of the axis."""
    places: list[IntArray | None] = []
    for axis, length in enumerate(chosen.shape):
        others = tuple(other for other in range(chosen.ndim) if other != axis)
        there = chosen.any(axis=others)
        places.append(None if length == 1 or there.all() else np.flatnonzero(there))
    return tuple(places)


def _some(listed: IntArray | None, chosen: Sequence[IntArray | None]) -> IntArray | None:
    """What a list holds at the chosen places of its only axis."""
    return listed if listed is None or chosen[0] is None else listed[chosen[0]]


def _refusal(constraint: Constraint, values: Sequence[Value]) -> RefusedError | None:
    """What is wrong with these values; a user's constraint that raises is wrong itself."""
    try:
        fault = constraint.fault(*values)
    except Exception as error:
        names = ", ".join(constraint.parameters)
        problem = f"the constraint on {names} raised {type(error).__name__}: {error}"
        return RefusedError(problem, "mend it in its file")
    return RefusedError(fault) if isinstance(fault, str) else fault


def _default(catalogue: Catalogue, kind: str) -> Encoded:
    return Encoded(pool=(_plain(catalogue.parameters[kind].default),))


def _plain(default: object) -> Value:
    value = tuple(default) if isinstance(default, list) else default
    return rounded(value)  # type: ignore[arg-type]


def _data_size(task: Component, columns: Mapping[str, Encoded]) -> Encoded:
    if task.always_fresh:
        return Encoded(pool=(0,))
    return columns.get("samples", NOT_APPLICABLE)
