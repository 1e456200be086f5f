"""The figures of a report with their words: what each shows, for those who see it and those who do not."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from phasediag.analysis.fit_words import difference
from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.analysis.plot import Axes, Figure, draw_slices, draw_with_exact, png, svg
from phasediag.analysis.scaling import ScalingFit, fit_scaling
from phasediag.analysis.sensitivity import Recounts, Sensitivity
from phasediag.analysis.slices import MOST_SLICES, slices
from phasediag.errors import AnalysisError
from phasediag.figures.style import named, prose
from phasediag.report.choice import Choice
from phasediag.report.warnings import about_fits

_MOST_SVG_BYTES: Final = 1_500_000
_MOST_FITS: Final = 8
_MOST_DRAWN: Final = 4
_PIXELS_AN_INCH: Final = 96

Cells = dict[str, pd.DataFrame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure as a web page holds it."""

    source: str
    """A data URI."""
    width: int
    """Pixels at which its letters have their size."""
    alt: str
    caption: str
    summary: str = ""
    """What came out, as text to be read in its lines; empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Figures and tables on one question."""

    title: str
    pictures: tuple[Picture, ...]
    tables: Cells
    warnings: tuple[str, ...]
    findings: tuple[str, ...]


def picture(drawing: Axes | Figure, alt: str, caption: str, summary: str = "") -> Picture:
    """A drawing as SVG, or as PNG where that would be large."""
    figure = drawing if isinstance(drawing, Figure) else drawing.get_figure(root=True)
    assert figure is not None
    content, kind = svg(figure), "svg+xml"
    if len(content) > _MOST_SVG_BYTES:
        content, kind = png(figure), "png"
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    width = round(figure.get_figwidth() * _PIXELS_AN_INCH)
    return Picture(source=source, width=width, alt=alt, caption=caption, summary=summary)


def diagram_section(
    trials: pd.DataFrame, choice: Choice, order: str, level: float, recounts: Recounts
) -> Section | None:
    """The phase diagram of one order parameter; None where no trial has it."""
    assert choice.x is not None
    assert choice.y is not None
    shown = choice.of(trials)
    if order not in shown or shown[order].isna().all():
        return None
    diagram = phase_diagram(
        shown, x=choice.x, y=choice.y, order=order, level=level, facet=list(choice.facets) or None
    )
    stable, unstable = _by_stability([recounts.sensitivity(diagram, shown)])
    alt = _described(diagram)
    held = "".join(f" {_upper(named(name, value))} only." for name, value in choice.held.items())
    caption = (
        f"{_upper(prose(order))}, mean over replicates, against {prose(diagram.x)} and {prose(diagram.y)}. "
        f"The line is where it crosses {level:g}, the band its 95\u00a0% interval.{held}"
    )
    return Section(
        title=f"Phase diagram: {prose(order)}",
        pictures=(picture(draw_with_exact(diagram, shown), alt, caption),),
        tables={"boundary": diagram.boundary, "cells": diagram.cells}
        | ({} if diagram.collapse is None or diagram.collapse.empty else {"collapse": diagram.collapse}),
        warnings=(*diagram.warnings, *unstable),
        findings=(_found(diagram), *stable),
    )  # fmt: skip


def _described(diagram: PhaseDiagram) -> str:
    """A diagram in words."""
    panels = len(diagram.cells[list(diagram.facets)].drop_duplicates()) if diagram.facets else 1
    phases = diagram.cells["phase"].value_counts()
    x, y = (f"{prose(name)} ({_range(diagram.cells[name])})" for name in (diagram.x, diagram.y))
    return (
        f"Phase diagram of {prose(diagram.order)} over {x} and {y}, {panels} "
        f"panel{'s' if panels > 1 else ''}. Cells by phase: "
        + ", ".join(f"{count} {name}" for name, count in phases.items())
        + f". {_found(diagram)}"
    )


def _found(diagram: PhaseDiagram) -> str:
    crossed = diagram.boundary.dropna(subset="position")
    about = f"{prose(diagram.order)} = {diagram.level:g}"
    if crossed.empty:
        return f"No boundary: nowhere is {about} crossed."
    span = f"{crossed['position'].min():.3g} to {crossed['position'].max():.3g}"
    half = (crossed["high"] - crossed["low"]) / (2 * crossed["position"].abs())
    width = "" if half.isna().all() else f"; 95\u00a0% interval typically ±{half.median():.1%}"
    return (
        f"The boundary {about} was found in {len(crossed)} of {len(diagram.boundary)} rows, at "
        f"{prose(diagram.x)} {span}{width}."
    )


def slices_section(trials: pd.DataFrame, choice: Choice, order: str, level: float) -> Section | None:
    """The order parameter along x, one curve a value of the parameter with few values; None without it."""
    assert choice.x is not None
    shown = choice.of(trials)
    if order not in shown or shown[order].isna().all():
        return None
    by = next((n for n in (choice.y, *choice.facets) if n and 1 < shown[n].nunique() <= MOST_SLICES), None)
    rest = [n for n in (choice.y, *choice.facets) if n and n != by]
    for name in rest:
        values = np.sort(shown[name].dropna().unique())
        shown = shown[shown[name] == values[(len(values) - 1) // 2]] if len(values) else shown
    table = slices(shown, choice.x, order, by)
    at = ", ".join(named(name, shown[name].iloc[0]) for name in rest)
    caption = (
        f"{_upper(prose(order))} along {prose(choice.x)}: means with Student's 95\u00a0% interval"
        f"{f', at {at}' if at else ''}. Hollow points have not converged."
    )
    alt = (
        f"Curves of {prose(order)} against {prose(choice.x)} ({_range(table[choice.x])}), from "
        f"{table['mean'].min():.3g} to {table['mean'].max():.3g}"
        + (f"; one for each of {table[by].nunique()} values of {prose(by)}." if by else ".")
    )
    drawing = draw_slices(shown, choice.x, order, by, level)
    return Section(
        title=f"Slices: {prose(order)}", pictures=(picture(drawing, alt, caption),),
        tables={"slices": table}, warnings=(), findings=(),
    )  # fmt: skip


def _by_stability(
    found: Sequence[Sensitivity | None], names: Sequence[str] = ("",)
) -> tuple[list[str], list[str]]:
    """What is said of the threshold: of results that are stable, and of the others."""
    sides: tuple[list[str], list[str]] = ([], [])
    for moves, name in zip(found, names, strict=True):
        if moves is not None:
            of = f" ({name})" if name else ""
            sides[0 if moves.stable else 1].append(f"{_upper(moves.summary)}{of}.")
    return sides


def scaling_section(
    trials: pd.DataFrame, choice: Choice, x: str, y: str, recounts: Recounts
) -> Section | None:
    """Fits of a count against x, one for each facet but width; None where no trial has the count."""
    shown = choice.of(trials)
    if shown[y].isna().all():
        return None
    others = [name for name in (*choice.facets, choice.x, choice.y) if name and name != x]
    facets = [name for name in others if name != "width" and shown[name].nunique(dropna=False) <= _MOST_FITS]
    while facets and shown.groupby(facets, dropna=False).ngroups > _MOST_FITS:
        facets.pop()
    groups = list(shown.groupby(facets, dropna=False)) if facets else [((), shown)]
    fits: dict[str, ScalingFit] = {}
    moves: list[Sensitivity | None] = []
    refused: dict[str, list[str]] = {}
    for key, part in groups:
        values = key if isinstance(key, tuple) else (key,)
        name = ", ".join(map(named, facets, values)) or "all trials"
        try:
            fits[name] = fit_scaling(part, x=x, y=y)
            moves.append(recounts.sensitivity(fits[name], part))
        except AnalysisError as error:
            refused.setdefault(str(error), []).append(name)
    title = f"Scaling: {prose(y)} against {prose(x)}"
    if not fits:
        told = f"{_upper(prose(y))} against {prose(x)}: no fit could be made; a table tells why."
        reasons = [{"trials of": name, "reason": error} for error, names in refused.items() for name in names]
        tables = {"refusals": pd.DataFrame(reasons)}
        return Section(title=title, pictures=(), tables=tables, warnings=(), findings=(told,))
    stable, unstable = _by_stability(moves, list(fits))
    pooled = [prose(name) for name in others if name not in facets]
    told = f"; pooled over {', '.join(pooled)}" if pooled else ""
    pictures = tuple(
        picture(fit.plot(), _fit_alt(fit, name), f"{_upper(prose(y))} against {prose(x)}: {name}{told}.",
                fit.summary())
        for name, fit in list(fits.items())[:_MOST_DRAWN]
    )  # fmt: skip
    texts = [f"No fit for {'; '.join(names)}: {error}." for error, names in refused.items()]
    return Section(
        title=title, pictures=pictures,
        tables={"claims": _claims(fits), "exponents": _exponents(fits), "models": _models(fits)},
        warnings=(*about_fits(list(fits.values())), *unstable, *texts),
        findings=(_verdict(fits, x, y, told), *_claimed(fits), *stable),
    )  # fmt: skip


def _verdict(fits: dict[str, ScalingFit], x: str, y: str, told: str) -> str:
    """The fits in a sentence: how far the exponents spread, and which law is best supported."""
    ends = min(fits.values(), key=lambda f: f.exponent), max(fits.values(), key=lambda f: f.exponent)
    spread = " to ".join(dict.fromkeys(_exponent(fit) for fit in ends))
    best = pd.Series([fit.models[0]["name"] for fit in fits.values()]).value_counts()
    laws = ", ".join(f"{name} in {count}" for name, count in best.items())
    count = f"{len(fits)} fit{'s' if len(fits) > 1 else ''}"
    return (
        f"{_upper(prose(y))} against {prose(x)}{told}: {count}, exponent {spread}. "
        f"Best supported by AIC: {laws}."
    )


def _claimed(fits: dict[str, ScalingFit]) -> list[str]:
    """Each claim in a sentence: in how many fits the trials support it, and in how many they do not."""
    answers: dict[str, list[str]] = {}
    for fit in fits.values():
        for claim in fit.claims:
            answers.setdefault(claim.claim, []).append(claim.verdict)
    return [
        f"Whether {claim}: "
        + ", ".join(
            str(verdict) if len(given) == 1 else f"{verdict} in {count} of {len(given)} fits"
            for verdict, count in pd.Series(given).value_counts().items()
        )
        + "."
        for claim, given in answers.items()
    ]


def _claims(fits: dict[str, ScalingFit]) -> pd.DataFrame:
    return pd.DataFrame(
        {"trials of": name, "claim": claim.claim, "verdict": claim.verdict, "reason": claim.reason}
        for name, fit in fits.items()
        for claim in fit.claims
    )


def _exponent(fit: ScalingFit) -> str:
    bounds = "no interval" if np.isnan(fit.low) else f"95\u00a0% interval {fit.low:.2f} to {fit.high:.2f}"
    return f"{fit.exponent:.2f} ({bounds})".replace("-", "\N{MINUS SIGN}")


def _fit_alt(fit: ScalingFit, name: str) -> str:
    return (
        f"Means of {prose(fit.y)} against {prose(fit.x)} on logarithmic axes, with the fitted power law of "
        f"exponent {fit.exponent:.2f} and {len(fit.models) - 1} alternatives; {name}."
    )


def _exponents(fits: dict[str, ScalingFit]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trials of": name, "exponent": fit.exponent, "low": fit.low, "high": fit.high,
            "from": fit.window[0], "to": fit.window[1], "trials": fit.n, "replicates": fit.replicates,
            "best law": fit.models[0]["name"],
        }
        for name, fit in fits.items()
    )  # fmt: skip


def _models(fits: dict[str, ScalingFit]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trials of": name, "law": model["name"], "formula": model["formula"],
            "delta_aic": difference(model["delta_aic"]), "r2": model["r2"],
            "parameters": ", ".join(f"{k} {v:.4g}" for k, v in model["parameters"].items()),
        }
        for name, fit in fits.items()
        for model in fit.models
    )  # fmt: skip


def _range(values: pd.Series[Any]) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
