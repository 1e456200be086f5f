"""The phase diagram of the order parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from phasediag.analysis.labels import named, prose
from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.analysis.sensitivity import Sensitivity
from phasediag.analysis.systematics import Systematics, boundary_systematics
from phasediag.figures.exact_curve import draw_with_exact
from phasediag.report.explorer import explorer
from phasediag.report.section import Material, Section, by_stability, picture, upper
from phasediag.report.warnings import Gravity, Warned, warned

PLACE: Final = 10
_CHOICES: Final[Mapping[str, str]] = {
    "threshold": "the threshold ε", "level": "the level", "resolution": "the values of x",
    "method": "the method", "steps": "the length of training",
}  # fmt: skip
"""What the verdict calls what was varied."""


def sections(material: Material) -> Iterator[Section]:
    """The phase diagram, where two parameters span one; that there is none, where no trial has a value."""
    choice, order, level = material.choice, material.order, material.level
    if not (choice.x and choice.y):
        return
    if not material.has_order:
        yield _nothing(order)
        return
    shown = choice.of(material.trials)
    diagram = phase_diagram(
        shown, x=choice.x, y=choice.y, order=order, level=level, facet=list(choice.facets) or None
    )
    moves = boundary_systematics(shown, diagram, None, material.every)
    sensitivity = material.recounts.sensitivity(diagram, shown)
    stable, unstable = by_stability([sensitivity, moves], ("", ""))
    held = "".join(f" {upper(named(name, value))} only." for name, value in choice.held.items())
    caption = (
        f"{upper(prose(order))}, mean over replicates, against {prose(diagram.x)} and {prose(diagram.y)}. "
        f"The line is where it crosses {level:g}, the band its 95\u00a0% interval.{held}"
    )
    yield Section(
        title=f"Phase diagram: {prose(order)}",
        pictures=(picture(draw_with_exact(diagram, shown), _described(diagram), caption),),
        tables=diagram.tables, warnings=(*_warnings(diagram), *unstable),
        findings=(*diagram.findings, *stable),
        verdict=(*diagram.findings[:1], *_how_sure(sensitivity, moves)),
        explorer=None if material.record is None else explorer(
            diagram, material.trials, choice, material.record
        ),
    )  # fmt: skip


def _nothing(order: str) -> Section:
    """That there is no diagram."""
    text = f"No trial has a value of {prose(order)}: there is no diagram. --order takes another column."
    return Section(
        title=f"Phase diagram: {prose(order)}", pictures=(), tables={}, findings=(),
        warnings=warned([text], Gravity.NOTHING),
    )  # fmt: skip


def _warnings(diagram: PhaseDiagram) -> Iterator[Warned]:
    """The warnings of a diagram: the gravest is that with what stands above its figure."""
    grave = [text for text in diagram.warnings if diagram.caveat and diagram.caveat in text]
    if diagram.caveat and not grave:
        grave = [diagram.caveat]
    yield from warned(grave, Gravity.NOTHING if diagram.without_value else Gravity.ARTEFACT)
    yield from warned(text for text in diagram.warnings if text not in grave)


def _how_sure(sensitivity: Sensitivity | None, moves: Systematics | None) -> Iterator[str]:
    """Under which choices the boundary stays inside its interval or cell, and under which it does not."""
    verdicts: dict[str, bool] = dict(moves.verdicts) if moves else {}
    if sensitivity is not None and sensitivity.stable is not None:
        verdicts = {"threshold": sensitivity.stable, **verdicts}
    stays, leaves = ([_CHOICES[name] for name, stable in verdicts.items() if stable is side]
                     for side in (True, False))  # fmt: skip
    if stays:
        yield f"Stable against {_listed(stays)}."
    if leaves:
        yield f"NOT stable against {_listed(leaves)}."
    if verdicts and "steps" not in verdicts:
        yield "Whether longer training moves it was not tried."


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def _described(diagram: PhaseDiagram) -> str:
    """A diagram in words."""
    panels = len(diagram.cells[list(diagram.facets)].drop_duplicates()) if diagram.facets else 1
    phases = diagram.cells["phase"].value_counts()
    x, y = (
        f"{prose(name)} ({diagram.cells[name].min():.3g} to {diagram.cells[name].max():.3g})"
        for name in (diagram.x, diagram.y)
    )
    return (
        f"Phase diagram of {prose(diagram.order)} over {x} and {y}, {panels} "
        f"panel{'s' if panels > 1 else ''}. Cells by phase: "
        + ", ".join(f"{count} {name}" for name, count in phases.items())
        + f". {' '.join(diagram.findings)}"
    )
