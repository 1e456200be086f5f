"""Cuts through the phase diagram: the order parameter along x."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from phasediag.analysis.labels import named, prose
from phasediag.analysis.slices import MOST_SLICES, slices
from phasediag.report.section import Material, Section, picture, upper

PLACE: Final = 20


def sections(material: Material) -> Iterator[Section]:
    """The order parameter along x, one curve a value of a parameter with few; none where no trial has it."""
    choice, order = material.choice, material.order
    if not (choice.x and material.has_order):
        return
    shown = choice.of(material.trials)
    by = next((n for n in (choice.y, *choice.facets) if n and 1 < shown[n].nunique() <= MOST_SLICES), None)
    rest = [n for n in (choice.y, *choice.facets) if n and n != by]
    for name in rest:
        values = np.sort(shown[name].dropna().unique())
        shown = shown[shown[name] == values[(len(values) - 1) // 2]] if len(values) else shown
    cuts = slices(shown, choice.x, order, by, material.level)
    at = ", ".join(named(name, shown[name].iloc[0]) for name in rest)
    caption = (
        f"{upper(prose(order))} along {prose(choice.x)}: means with Student's 95\u00a0% interval"
        f"{f', at {at}' if at else ''}. Hollow points have not converged."
    )
    yield Section(
        title=f"Slices: {prose(order)}",
        pictures=(picture(cuts.plot(), " ".join(cuts.findings), caption),),
        tables=cuts.tables, warnings=(), findings=(), verdict=cuts.findings,
    )  # fmt: skip
