"""The key `ramp` of a grid: one parameter that each trial walks along, stage after stage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

from pydantic import Field

from phasediag.grids.axis import axis_values
from phasediag.grids.catalogue import Catalogue
from phasediag.grids.nodes import FileSection, Node, Report, parse_section
from phasediag.parameters import TRAINING
from phasediag.ramp import KICK, RAMP
from phasediag.trial import FiniteFloat, NonNegativeFloat, Parameter, Role, Value

MOST_STAGES: Final = 10_000
"""There; as many less one come back."""
_AT_THE_START: Final = frozenset({"init_scale"})
"""Numbers that matter before the first step alone."""
_LENGTHS: Final = {
    "relaxations": frozenset({"weight_decay", "learning_rate"}),
    "learning_time": frozenset({"learning_rate"}),
}
"""What stands instead of steps, and the parameters on which the steps then depend."""

Declarations = Callable[[str, str, int, Collection[str]], tuple[Parameter, ...]]
"""What declares a name, which stands at a key and a line and may be one of some: its declarations, or none
and a fault."""


class RampSection(FileSection):
    """The keys of `ramp`, as written in a grid."""

    parameter: str
    """The parameter that changes: a number that is no part of the program, such as weight_decay."""
    start: FiniteFloat = Field(alias="from")
    """The value of the parameter in the first stage."""
    end: FiniteFloat = Field(alias="to")
    """The value of the parameter at the other end of the walk."""
    stages: Annotated[int, Field(ge=2, le=MOST_STAGES)]
    """Values from one end to the other, both ends counted; each is trained for `steps` steps."""
    spacing: Literal["linspace", "logspace"] = "linspace"
    """How they lie between the ends, as on an axis."""
    there_and_back: bool = False
    """Whether the walk comes back through the same values; the far end is one stage."""
    kick: NonNegativeFloat = KICK
    """Standard deviation of what is added to every trained number before each stage but the first, so that a
    network which sits exactly on an unstable state leaves it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRamp:
    """The ramp of a grid."""

    parameter: str
    values: tuple[float, ...]
    """The values of the parameter, stage after stage."""
    kick: float
    line: int

    @property
    def fixed(self) -> dict[str, Value]:
        """What every trial has of it; the parameter's own column holds the value of the last stage."""
        return {
            "ramp": self.parameter, "ramp_values": self.values, "ramp_kick": self.kick,
            self.parameter: self.values[-1],
        }  # fmt: skip

    @property
    def places(self) -> dict[str, tuple[str, int]]:
        """Key and line of each of these."""
        return dict.fromkeys(self.fixed, ("ramp", self.line))


TRAINING_WITH_RAMP: Final = (
    *(replace(p, role=Role.STRUCTURAL) if p.name == "steps" else p for p in TRAINING), *RAMP,
)  # fmt: skip
"""The parameters of trials with ramps. Those of a tile go from stage to stage together, so that they share
the length of a stage."""


def read_ramp(
    node: Node | None, catalogue: Catalogue, declared: Declarations, given: Mapping[str, Collection[str]],
    report: Report,
) -> GridRamp | None:  # fmt: skip
    """The ramp of a grid; None where there is none, or where it is at fault.

    Parameters
    ----------
    node
        What stands under `ramp`.
    declared
        See `Declarations`.
    given
        The parameters that stand under `fixed`, `axes` and `points`.
    """
    section = None if node is None else parse_section(RampSection, node, "ramp", report)
    if node is None or section is None:
        return None
    assert isinstance(node.content, dict)
    before = len(report.faults)
    name, line = section.parameter, node.content["parameter"].line
    allowed = [n for n, parameter in catalogue.parameters.items() if not unfit(n, (parameter,))]
    declarations = declared(name, "ramp.parameter", line, allowed)
    if declarations and (fault := unfit(name, declarations)):
        ways = [*_made_batched(name, catalogue), f"allowed: {', '.join(sorted(allowed))}"]
        report.add(line, "ramp.parameter", f"'{name}' {fault}", "; ".join(ways))
        return None
    for place in (place for place, names in given.items() if name in names):
        problem = f"'{name}' stands in {place} too, and the ramp gives it its values"
        report.add(line, "ramp.parameter", problem, f"remove it from {place}")
    for length, speeds in _LENGTHS.items():
        if name in speeds and any(length in names for names in given.values()):
            problem = f"{length} gives no steps where the ramp changes {name}"
            report.add(line, "ramp.parameter", problem, "give steps instead: those of each stage")
    _check_parts(catalogue, line, report)
    values = _values(section, node, declarations, report) if declarations else None
    if len(report.faults) > before or values is None:
        return None
    back = values[-2::-1] if section.there_and_back else ()
    return GridRamp(parameter=name, values=(*values, *back), kick=section.kick, line=node.line)


def unfit(name: str, declarations: Collection[Parameter]) -> str:
    """Why a parameter cannot change within a trial; empty where it can."""
    roles = {declaration.role for declaration in declarations}
    if Role.STRUCTURAL in roles:
        return "changes the program or its shapes, and a ramp changes a number of a trial in training"
    if name == "lr_over_batch":
        return "follows from others: with the batch size held, ramp learning_rate"
    if roles & {Role.DERIVED, Role.SHORTHAND}:
        return "follows from others"
    if any(declaration.kind is not float for declaration in declarations):
        return "is no number that can change continuously"
    return "matters before the first step alone" if name in _AT_THE_START else ""


def _made_batched(name: str, catalogue: Catalogue) -> list[str]:
    """How a number of a class of the user's becomes one that can be ramped; nothing where it is no number."""
    owner = next((part for part in catalogue.components if part.source and name in part.parameters), None)
    if owner is None or owner.parameters[name].kind is not float:
        return []
    if getattr(owner.cls, "declares", None) is not None:
        change = f"give it role=Role.BATCHED in `declares` of {owner.name}"
    elif owner.kind == "model":
        change = f"write batched = ('{name}',) in {owner.name}"
    else:
        change = f"leave it out of `structural` of {owner.name}"
    return [f"{change}, if it changes numbers alone"]


def _check_parts(catalogue: Catalogue, line: int, report: Report) -> None:
    """Refuse classes of the user's with parameters that have the names of a ramp's."""
    for part in catalogue.components:
        for name in (parameter.name for parameter in RAMP if parameter.name in part.parameters):
            problem = f"{part.kind} '{part.name}' has a parameter '{name}', which trials with ramps have too"
            report.add(line, "ramp", problem, "call it otherwise in its file")


def _values(
    section: RampSection, node: Node, declarations: tuple[Parameter, ...], report: Report
) -> tuple[float, ...] | None:
    """The values of the way there."""
    assert isinstance(node.content, dict)
    ends = (node.content["from"], node.content["to"])
    if section.start == section.end:
        problem = f"from and to are both {section.start:g}"
        report.add(ends[1].line, "ramp.to", problem, "give two different values: the ends of the walk")
        return None
    if section.spacing == "logspace" and min(section.start, section.end) <= 0:
        problem = f"spacing logspace from {section.start:g} to {section.end:g} needs two positive values"
        report.add(ends[0].line, "ramp.spacing", problem, "give positive ends, or spacing: linspace")
        return None
    line = node.line
    axis = {section.spacing: Node(line=line, content=ends), "num": Node(line=line, content=section.stages)}
    values = axis_values(Node(line=line, content=axis), "ramp", declarations, report, MOST_STAGES)
    return None if values is None else tuple(float(v) for v in values if isinstance(v, int | float))
