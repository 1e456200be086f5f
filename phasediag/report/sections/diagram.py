"""The phase diagram of the order parameter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from phasediag.analysis.labels import named, prose
from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.analysis.systematics import boundary_systematics
from phasediag.figures.exact_curve import draw_with_exact
from phasediag.report.explorer import explorer
from phasediag.report.section import Material, Section, by_stability, picture, upper

PLACE: Final = 10


def sections(material: Material) -> Iterator[Section]:
    """The phase diagram, where two parameters span one and a trial has the order parameter."""
    choice, order, level = material.choice, material.order, material.level
    if not (choice.x and choice.y and material.has_order):
        return
    shown = choice.of(material.trials)
    diagram = phase_diagram(
        shown, x=choice.x, y=choice.y, order=order, level=level, facet=list(choice.facets) or None
    )
    moves = boundary_systematics(shown, diagram, None)
    stable, unstable = by_stability([material.recounts.sensitivity(diagram, shown), moves], ("", ""))
    held = "".join(f" {upper(named(name, value))} only." for name, value in choice.held.items())
    caption = (
        f"{upper(prose(order))}, mean over replicates, against {prose(diagram.x)} and {prose(diagram.y)}. "
        f"The line is where it crosses {level:g}, the band its 95\u00a0% interval.{held}"
    )
    yield Section(
        title=f"Phase diagram: {prose(order)}",
        pictures=(picture(draw_with_exact(diagram, shown), _described(diagram), caption),),
        tables=diagram.tables, warnings=(*diagram.warnings, *unstable),
        findings=(*diagram.findings, *stable),
        explorer=None if material.record is None else explorer(
            diagram, material.trials, choice, material.record
        ),
    )  # fmt: skip


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
