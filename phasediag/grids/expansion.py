"""From the values that a grid gives to the resolved columns of its points.

A block is a design whose points give values to the same parameters; a part is the points of a
block that name the same classes. Within a part every rule is the same for all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from phasediag.errors import RefusedError
from phasediag.grids.catalogue import Catalogue, applicable
from phasediag.grids.columns import combinations, derived
from phasediag.grids.expression import Expression
from phasediag.grids.reading import Report
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
from phasediag.registry import KINDS, Component, Kind
from phasediag.trial import REQUIRED, Constraint, Encoded, IntArray, Parameter, Value, formatted, rounded

NOT_APPLICABLE: Final = Encoded(pool=(None,))
_DERIVED: Final = frozenset({"learning_rate", "batch_size", "steps"})
"""None where a rule gives no value; what depends on them is then not judged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GivenPoints:
    """Points that give values to the same parameters."""

    given: Mapping[str, Encoded]
    """The columns that the grid gives, those of `fixed` included."""
    varied: frozenset[str]
    """The parameters that stand in axes or points."""
    position: IntArray
    """The number of each point among all points of the grid, shape (points,)."""
    places: Mapping[str, tuple[str, int]]
    """Path and line of each key."""
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
class ResolvedPoints:
    """Resolved points of one task, one model, one optimizer."""

    components: Mapping[Kind, Component]
    parameters: Mapping[str, Parameter]
    """The parameters that apply, in the order of the columns."""
    columns: Mapping[str, Encoded]
    position: IntArray
    """The number of each point among all points of the grid, shape (points,)."""

    @property
    def task(self) -> Component:
        """The task of these points."""
        return self.components["task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expander:
    """Resolves blocks and notes the faults of the combinations that occur."""

    catalogue: Catalogue
    hold: Hold
    exclude: Sequence[Expression]
    report: Report
    fallback: tuple[str, int]
    """Path and line of a fault about keys that the file leaves out."""

    def expand(self, blocks: Sequence[GivenPoints]) -> list[ResolvedPoints]:
        """The points that no exclusion removes; faults stand in `report`."""
        parts = [part for block in blocks for part in self._block(block)]
        if not parts and not self.report.faults:
            remedy = "relax a condition of exclude"
            self.report.add(self.fallback[1], "exclude", "every point is excluded", remedy)
        return parts

    def _block(self, block: GivenPoints) -> list[ResolvedPoints]:
        before = len(self.report.faults)
        given = frozenset(block.given)
        for key, problem, remedy in [*contradictions(given, self.hold), *unvaried(block.varied)]:
            self._note(block, [key], 0, problem, remedy)
        if len(self.report.faults) > before:
            return []
        count = len(block.position)
        chosen = {kind: block.given.get(kind, _default(self.catalogue, kind)) for kind in KINDS}
        first, index = combinations(list(chosen.values()), count)
        parts = []
        for number, row in enumerate(first):
            rows = np.flatnonzero(index == number).astype(np.int64)
            names = {kind: str(column[int(row)]) for kind, column in chosen.items()}
            part = self._part(block, rows, self.catalogue.of(names))
            if part is not None:
                parts.append(part)
        return parts

    def _part(
        self, block: GivenPoints, rows: IntArray, components: Mapping[Kind, Component]
    ) -> ResolvedPoints | None:
        parameters = applicable(components.values(), self.catalogue.training)
        every = len(rows) == len(block.position)
        columns: dict[str, Encoded] = {}
        lacking = []
        for name, parameter in parameters.items():
            if name in block.given:
                columns[name] = block.given[name] if every else block.given[name].take(rows)
            elif parameter.default is REQUIRED:
                lacking.append(name)
                columns[name] = NOT_APPLICABLE
            else:
                columns[name] = Encoded(pool=(_plain(parameter.default),))
        columns[DATA_SIZE] = _data_size(components["task"], columns)
        controls = set(columns["control"].pool)
        unread = SHORTHANDS - {name for expression in self.exclude for name in expression.names}
        rules = [
            rule for rule in derivations(frozenset(block.given), self.hold)
            if rule.target in columns and rule.target not in unread
        ]  # fmt: skip
        for rule in rules:
            inputs = [columns[name] for name in rule.inputs]
            columns[rule.target] = derived(rule.attempt, inputs, len(rows))
        kept = self._kept(columns, len(rows))
        if not kept.any():
            return None
        if not kept.all():
            rows = rows[kept]
            survivors = np.flatnonzero(kept).astype(np.int64)
            columns = {name: column.take(survivors) for name, column in columns.items()}
        self._check_names(block, parameters, lacking, rows, components)
        self._check_controls(block, controls, int(rows[0]))
        if not lacking:
            self._check_combinations(block, columns, rules, rows, components)
        for name in (DATA_SIZE, *SHORTHANDS):
            columns.pop(name, None)
        return ResolvedPoints(
            components=components, parameters=parameters, columns=columns, position=block.position[rows]
        )

    def _kept(self, columns: Mapping[str, Encoded], count: int) -> npt.NDArray[np.bool_]:
        kept = np.ones(count, dtype=bool)
        for expression in self.exclude:
            read = {name: columns.get(name, NOT_APPLICABLE) for name in expression.names}
            kept &= ~expression.holds(read, count)
        return kept

    def _check_names(
        self, block: GivenPoints, parameters: Mapping[str, Parameter], lacking: Sequence[str], rows: IntArray,
        components: Mapping[Kind, Component],
    ) -> None:  # fmt: skip
        row = int(rows[0])
        for name in sorted(block.varied - parameters.keys()):
            first, *others = (f"{kind} '{part.name}'" for kind, part in components.items())
            problem = f"{first} with {' and '.join(others)} has no parameter '{name}'"
            remedy = "an axis applies to every combination of them: exclude this one, or make two grids"
            self._note(block, [name], row, problem, remedy)
        for name in lacking:
            problem = f"'{name}' has no value, and no default"
            remedy = f"give {name} under fixed or axes; allowed: {parameters[name].allowed}"
            owner = next((kind for kind, part in components.items() if name in part.parameters), "task")
            self._note(block, [owner], row, problem, remedy)

    def _check_controls(self, block: GivenPoints, controls: set[Value], row: int) -> None:
        for name, (owner, _) in CONTROLLED.items():
            if name in block.given and owner not in controls:
                problem = f"{name} is given, and no point has control: {owner}, which alone knows it"
                self._note(block, [name], row, problem, f"set control: {owner}, or leave {name} out")

    def _check_combinations(
        self, block: GivenPoints, columns: Mapping[str, Encoded], rules: Sequence[Rule], rows: IntArray,
        components: Mapping[Kind, Component],
    ) -> None:  # fmt: skip
        own = [QUENCHED, OWN_INIT, WARMUP, LAYERS]
        if not components["task"].classes:
            own.append(CLASSES)
        if not components["task"].population:
            own.append(FULL_BATCH)
        optimizer = components["optimizer"]
        if MOMENTUM.parameters[0] not in optimizer.parameters:
            own.append(MOMENTUM)
        if getattr(optimizer.cls, "decoupled", None) is not False:
            own.append(ANISOTROPY)
        declared = [constraint for part in components.values() for constraint in part.constraints]
        constraints = [*(rule.constraint for rule in rules), *own, *declared]
        for constraint in constraints:
            if columns.keys() >= set(constraint.parameters):
                self._check(constraint, block, columns, rows)

    def _check(
        self, constraint: Constraint, block: GivenPoints, columns: Mapping[str, Encoded], rows: IntArray
    ) -> None:
        read = [columns[name] for name in constraint.parameters]
        first, _ = combinations(read, len(rows))
        refused: list[tuple[int, RefusedError]] = []
        for row in first.tolist():
            values = [column[row] for column in read]
            pairs = zip(constraint.parameters, values, strict=True)
            if any(value is None and name in _DERIVED for name, value in pairs):
                continue
            refusal = _refusal(constraint, values)
            if refusal is not None:
                refused.append((row, refusal))
        if refused:
            row, refusal = refused[0]
            shown = ", ".join(
                f"{name}: {formatted(column[row])}"
                for name, column in zip(constraint.parameters, read, strict=True)
                if name in block.varied
            )
            more = f" (so are {len(refused) - 1} other combinations)" if len(refused) > 1 else ""
            example = f" [at {shown}]" if shown else ""
            remedy = refusal.remedy or "change one of them"
            names = [name for name in constraint.parameters if name != DATA_SIZE]
            names += ["samples"] if DATA_SIZE in constraint.parameters else []
            self._note(
                block, names, int(rows[row]), refusal.problem + example + more, f"{remedy}, or exclude it"
            )

    def _note(self, block: GivenPoints, names: Sequence[str], row: int, problem: str, remedy: str) -> None:
        path, line = block.place(names, row) or self.fallback
        self.report.add(line, path, problem, remedy)


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
