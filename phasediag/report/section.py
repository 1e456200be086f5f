"""Sections of a report: figures and tables on one question, and words for those who do not see them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from phasediag.analysis.extension import Extension
from phasediag.analysis.sensitivity import Recounts, Sensitivity
from phasediag.analysis.systematics import Systematics
from phasediag.figures.style import Axes, Figure, figure_of, png, svg
from phasediag.report.choice import Choice
from phasediag.report.explorer import Explorer, Record
from phasediag.report.warnings import Gravity, Warned

_MOST_SVG_BYTES: Final = 1_500_000
_PIXELS_AN_INCH: Final = 96


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A figure with the words that stand beside it."""

    figure: Figure
    alt: str
    """What the figure shows, in words."""
    caption: str
    summary: str = ""
    """What came out, as text to be read in its lines; empty where there is none."""

    @property
    def width(self) -> int:
        """Pixels at which its letters have their size on a web page."""
        return round(self.figure.get_figwidth() * _PIXELS_AN_INCH)

    def source(self) -> str:
        """The figure as a data URI: SVG, or PNG where that would be large."""
        content, kind = svg(self.figure), "svg+xml"
        if len(content) > _MOST_SVG_BYTES:
            content, kind = png(self.figure), "png"
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Figures and tables on one question."""

    title: str
    pictures: tuple[Picture, ...]
    tables: Mapping[str, pd.DataFrame]
    warnings: tuple[Warned, ...]
    findings: tuple[str, ...]
    verdict: tuple[str, ...] = ()
    """What came out and how sure that is, in the fewest sentences: what stands at the top of a page."""
    explorer: Explorer | None = None
    """The diagram for the script of the page; None where the section has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What the sections of a report are made from."""

    trials: pd.DataFrame
    choice: Choice
    """Which trials are drawn against what."""
    order: str
    """The order parameter."""
    level: float
    """The value of the order parameter on the boundary."""
    recounts: Recounts
    """The trials at other thresholds."""
    record: Record | None = None
    """What the sweep holds besides the rows of its trials; None where that is not looked at."""
    every: pd.DataFrame | None = None
    """The trials with those of other lengths; None where there are none."""
    extension: Extension | None = None
    """What moved when trials were trained for longer; None where none were."""

    @property
    def has_order(self) -> bool:
        """Whether some trial that is drawn has a value of the order parameter."""
        shown = self.choice.of(self.trials)
        return self.order in shown and bool(shown[self.order].notna().any())


def picture(drawing: Axes | Figure, alt: str, caption: str, summary: str = "") -> Picture:
    """A drawing with the words that stand beside it."""
    return Picture(figure=figure_of(drawing), alt=alt, caption=caption, summary=summary)


def by_stability(
    sensitivities: Sequence[Sensitivity | Systematics | None], names: Sequence[str] = ("",)
) -> tuple[list[str], list[Warned]]:
    """Sentences on how choices move results: of those that are stable under them, and of the others.

    Parameters
    ----------
    names
        What each result is of; empty where there is one.
    """
    stable: list[str] = []
    other: list[Warned] = []
    for sensitivity, name in zip(sensitivities, names, strict=True):
        if sensitivity is None:
            continue
        text = f"{upper(sensitivity.summary())}{f' ({name})' if name else ''}."
        if sensitivity.stable:
            stable.append(text)
        else:  # where it is not known, that is told, and no more
            other.append(Warned(text, Gravity.UNSURE if sensitivity.stable is False else Gravity.NOTE))
    return stable, other


def upper(text: str) -> str:
    """A text as the start of a sentence."""
    return text[:1].upper() + text[1:]
