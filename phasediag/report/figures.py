"""The figures of a report with their words: what each shows, for those who see it and those who do not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from phasediag.analysis.labels import label
from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.analysis.plot import Axes, Figure, draw_slices, png, svg
from phasediag.analysis.scaling import ScalingFit, fit_scaling
from phasediag.analysis.slices import MOST_SLICES, slices
from phasediag.errors import AnalysisError
from phasediag.report.choice import Choice
from phasediag.report.warnings import about_diagram, about_fit

_MOST_SVG_BYTES: Final = 1_500_000
_MOST_FITS: Final = 8
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


def diagram_section(trials: pd.DataFrame, choice: Choice, order: str, level: float) -> Section | None:
    """The phase diagram of one order parameter; None where no trial has it."""
    assert choice.x is not None
    assert choice.y is not None
    shown = choice.of(trials)
    if order not in shown or shown[order].isna().all():
        return None
    diagram = phase_diagram(
        shown, x=choice.x, y=choice.y, order=order, level=level, facet=list(choice.facets) or None
    )
    alt = _described(diagram)
    held = "".join(f" {label(name)} is held at {value}." for name, value in choice.held.items())
    caption = (
        f"{_upper(label(order))}, mean over replicates, against {label(diagram.x)} and {label(diagram.y)}. "
        f"The line is where it crosses {level:g}, the band its 95 % interval.{held}"
    )
    return Section(
        title=f"Phase diagram: {label(order)}",
        pictures=(picture(diagram.plot(), alt, caption),),
        tables={"boundary": diagram.boundary, "cells": diagram.cells}
        | ({} if diagram.collapse is None or diagram.collapse.empty else {"collapse": diagram.collapse}),
        warnings=tuple(about_diagram(diagram)),
        findings=(_found(diagram),),
    )  # fmt: skip


def _described(diagram: PhaseDiagram) -> str:
    """A diagram in words."""
    panels = len(diagram.cells[list(diagram.facets)].drop_duplicates()) if diagram.facets else 1
    phases = diagram.cells["phase"].value_counts()
    x, y = (f"{label(name)} ({_range(diagram.cells[name])})" for name in (diagram.x, diagram.y))
    return (
        f"Phase diagram of {label(diagram.order)} over {x} and {y}, {panels} "
        f"panel{'s' if panels > 1 else ''}. Cells by phase: "
        + ", ".join(f"{count} {name}" for name, count in phases.items())
        + f". {_found(diagram)}"
    )


def _found(diagram: PhaseDiagram) -> str:
    crossed = diagram.boundary.dropna(subset="position")
    about = f"{label(diagram.order)} = {diagram.level:g}"
    if crossed.empty:
        return f"No boundary: nowhere is {about} crossed."
    span = f"{crossed['position'].min():.3g} to {crossed['position'].max():.3g}"
    half = (crossed["high"] - crossed["low"]) / (2 * crossed["position"].abs())
    width = "" if half.isna().all() else f"; 95 % interval typically ±{half.median():.1%}"
    return (
        f"The boundary {about} was found in {len(crossed)} of {len(diagram.boundary)} rows, at "
        f"{label(diagram.x)} {span}{width}."
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
    at = ", ".join(f"{label(name)} {shown[name].iloc[0]}" for name in rest)
    caption = (
        f"{_upper(label(order))} along {label(choice.x)}: means with Student's 95 % interval"
        f"{f', at {at}' if at else ''}. Hollow points have not converged."
    )
    alt = (
        f"Curves of {label(order)} against {label(choice.x)} ({_range(table[choice.x])}), from "
        f"{table['mean'].min():.3g} to {table['mean'].max():.3g}"
        + (f"; one for each of {table[by].nunique()} values of {label(by)}." if by else ".")
    )
    drawing = draw_slices(shown, choice.x, order, by, level)
    return Section(
        title=f"Slices: {label(order)}", pictures=(picture(drawing, alt, caption),),
        tables={"slices": table}, warnings=(), findings=(),
    )  # fmt: skip


def scaling_section(trials: pd.DataFrame, choice: Choice, x: str, y: str) -> Section | None:
    """Fits of a count against x, one for each facet; None where none of them can be made."""
    shown = choice.of(trials)
    facets = [name for name in (*choice.facets, choice.x, choice.y) if name and name != x]
    facets = [name for name in facets if shown[name].nunique(dropna=False) <= _MOST_FITS]
    while facets and shown.groupby(facets, dropna=False).ngroups > _MOST_FITS:
        facets.pop()
    pooled = [name for name in (*choice.facets, choice.x, choice.y) if name and name not in (x, *facets)]
    groups = list(shown.groupby(facets, dropna=False)) if facets else [((), shown)]
    fits: list[tuple[str, ScalingFit]] = []
    refused: list[str] = []
    for key, part in groups:
        name = ", ".join(f"{label(n)} {v}" for n, v in zip(facets, _tuple(key), strict=True)) or "all trials"
        try:
            fits.append((name, fit_scaling(part, x=x, y=y)))
        except AnalysisError as error:
            refused.append(f"{name}: no fit, {error}.")
    if not fits:
        return None
    told = f" Pooled over {', '.join(map(label, pooled))}." if pooled else ""
    pictures = tuple(
        picture(fit.plot(), _fit_alt(fit, name), f"{_upper(label(y))} against {label(x)}; {name}.{told}",
                fit.summary())
        for name, fit in fits
    )  # fmt: skip
    warnings = dict.fromkeys(f"{name}: {text}" for name, fit in fits for text in about_fit(fit))
    return Section(
        title=f"Scaling: {label(y)} against {label(x)}", pictures=pictures,
        tables={"exponents": _exponents(fits), "models": _models(fits)},
        warnings=(*warnings, *refused), findings=tuple(_verdict(name, fit) for name, fit in fits),
    )  # fmt: skip


def _verdict(name: str, fit: ScalingFit) -> str:
    best = fit.models[0]
    bounds = "without an interval" if np.isnan(fit.low) else f"95 % interval {fit.low:.2f} to {fit.high:.2f}"
    power = next(model for model in fit.models if model["name"] == "power law")
    if best["name"] == "power law":
        rival = fit.models[1]
        sure = "clearly" if rival["delta_aic"] >= 4 else "barely"
        kept = f"the power law describes them {sure} better than the {rival['name']} law"
    else:
        sure = "clearly" if power["delta_aic"] >= 4 else "somewhat"
        kept = f"but the {best['name']} law describes them {sure} better (ΔAIC {power['delta_aic']:.1f})"
    return (
        f"{_upper(name)}: exponent {fit.exponent:.2f} ({bounds}) from {fit.n:,} trials between {fit.x} = "
        f"{fit.window[0]:.3g} and {fit.window[1]:.3g}; {kept}."
    )


def _fit_alt(fit: ScalingFit, name: str) -> str:
    return (
        f"Means of {label(fit.y)} against {label(fit.x)} on logarithmic axes, with the fitted power law of "
        f"exponent {fit.exponent:.2f} and {len(fit.models) - 1} alternatives; {name}."
    )


def _exponents(fits: list[tuple[str, ScalingFit]]) -> pd.DataFrame:
    row: Callable[[str, ScalingFit], dict[str, Any]] = lambda name, fit: {  # noqa: E731
        "trials of": name, "exponent": fit.exponent, "low": fit.low, "high": fit.high,
        "from": fit.window[0], "to": fit.window[1], "trials": fit.n, "replicates": fit.replicates,
        "best law": fit.models[0]["name"],
    }  # fmt: skip
    return pd.DataFrame([row(name, fit) for name, fit in fits])


def _models(fits: list[tuple[str, ScalingFit]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trials of": name, "law": model["name"], "formula": model["formula"],
            "delta_aic": model["delta_aic"], "r2": model["r2"],
            "parameters": ", ".join(f"{k} {v:.4g}" for k, v in model["parameters"].items()),
        }
        for name, fit in fits
        for model in fit.models
    )  # fmt: skip


def _tuple(key: object) -> tuple[object, ...]:
    return key if isinstance(key, tuple) else (key,)


def _range(values: pd.Series[Any]) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
