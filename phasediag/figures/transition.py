"""The transition whose order was asked for: its phase diagram."""

from __future__ import annotations

from phasediag.analysis.transition import Transition
from phasediag.figures import diagram
from phasediag.figures.style import Axes, Figure


def draw(transition: Transition, ax: Axes | None = None) -> Axes | Figure:
    """Draw the diagram in which the transition was looked at; with `starts`, each of them is a facet."""
    return diagram.draw(transition.diagram, ax)
