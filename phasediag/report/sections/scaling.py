"""How counts scale with the weight decay, or with x where that is no axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pandas as pd

from phasediag.analysis.fit_words import exponent_in_words, short_window
from phasediag.analysis.labels import named, prose
from phasediag.analysis.scaling import ScalingFit, fit_scaling
from phasediag.analysis.sensitivity import Sensitivity
from phasediag.errors import AnalysisError
from phasediag.report.section import Material, Section, by_stability, picture, upper
from phasediag.report.warnings import warned

PLACE: Final = 30
SCALED: Final = ("neuron_count", "rank")
"""The counts that are fitted."""
_MOST_FITS: Final = 8
_MOST_DRAWN: Final = 4
_OF: Final = "trials of"
"""The column that tells of which trials a row of a table is."""


def sections(material: Material) -> Iterator[Section]:
    """A section for each count that the trials have."""
    choice = material.choice
    along = "weight_decay" if "weight_decay" in (choice.x, choice.y, *choice.facets) else choice.x
    if not along:
        return
    shown = choice.of(material.trials)
    for count in SCALED:
        if count in shown and shown[count].notna().any():
            yield _section(material, shown, along, count)


def _section(material: Material, shown: pd.DataFrame, x: str, y: str) -> Section:
    """Fits of a count against x, one for each facet but width; none over less than a decade, unasked."""
    choice = material.choice
    others = [name for name in (*choice.facets, choice.x, choice.y) if name and name != x]
    facets = [name for name in others if name != "width" and shown[name].nunique(dropna=False) <= _MOST_FITS]
    while facets and shown.groupby(facets, dropna=False).ngroups > _MOST_FITS:
        facets.pop()
    fits: dict[str, ScalingFit] = {}
    sensitivities: list[Sensitivity | None] = []
    refused: dict[str, list[str]] = {}
    for name, part in _parts(shown, facets):
        try:
            fit = fit_scaling(part, x=x, y=y)
        except AnalysisError as error:
            refused.setdefault(str(error), []).append(name)
            continue
        if short := short_window(fit.window):
            refused.setdefault(f"its window {short}; `phasediag scaling` fits it", []).append(name)
            continue
        fits[name] = fit
        sensitivities.append(material.recounts.sensitivity(fit, part))
    title = f"Scaling: {prose(y)} against {prose(x)}"
    if not fits:
        finding = f"{upper(prose(y))} against {prose(x)}: no fit could be made; a table tells why."
        reasons = [{_OF: name, "reason": error} for error, names in refused.items() for name in names]
        tables = {"refusals": pd.DataFrame(reasons)}
        return Section(title=title, pictures=(), tables=tables, warnings=(), findings=(finding,))
    stable, unstable = by_stability(sensitivities, list(fits))
    pooled = [prose(name) for name in others if name not in facets]
    over = f"; pooled over {', '.join(pooled)}" if pooled else ""
    pictures = tuple(
        picture(fit.plot(), _described(fit, name), f"{upper(prose(y))} against {prose(x)}: {name}{over}.",
                fit.summary())
        for name, fit in list(fits.items())[:_MOST_DRAWN]
    )  # fmt: skip
    refusals = [f"No fit for {'; '.join(names)}: {error}." for error, names in refused.items()]
    return Section(
        title=title, pictures=pictures, tables=_tables(fits),
        warnings=(*warned(_warnings(fits)), *unstable, *warned(refusals)),
        findings=(_exponents(fits, x, y, over), *_claims(fits), *stable),
    )  # fmt: skip


def _parts(shown: pd.DataFrame, facets: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The trials of each fit, by what they have in common."""
    groups: list[Any] = list(shown.groupby(facets, dropna=False)) if facets else [((), shown)]
    for key, part in groups:
        values = key if isinstance(key, tuple) else (key,)
        yield ", ".join(map(named, facets, values)) or "all trials", part


def _tables(fits: Mapping[str, ScalingFit]) -> dict[str, pd.DataFrame]:
    """The tables of all fits, each row with what it is of; the means are in the figures."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for name, fit in fits.items():
        for title, table in fit.tables.items():
            if title != "points":
                labelled = table.copy()
                labelled.insert(0, _OF, name)
                tables.setdefault(title, []).append(labelled)
    return {title: pd.concat(parts, ignore_index=True) for title, parts in tables.items()}


def _warnings(fits: Mapping[str, ScalingFit]) -> list[str]:
    """The warnings of all fits, each once, with what it is of where it is not of all."""
    names: dict[str, list[str]] = {}
    for name, fit in fits.items():
        for warning in fit.warnings:
            names.setdefault(warning, []).append(name)
    return [
        warning if len(of) == len(fits) else f"{warning.rstrip('.')} ({'; '.join(of)})."
        for warning, of in names.items()
    ]


def _exponents(fits: Mapping[str, ScalingFit], x: str, y: str, over: str) -> str:
    """The fits in a sentence: how far the exponents spread, and which law foretells best."""
    ends = min(fits.values(), key=lambda f: f.exponent), max(fits.values(), key=lambda f: f.exponent)
    texts = (exponent_in_words(fit.exponent, fit.low, fit.high) for fit in ends)
    spread = " to ".join(dict.fromkeys(texts))
    best = pd.Series([fit.models[0]["name"] for fit in fits.values()]).value_counts()
    laws = ", ".join(f"{name} in {count}" for name, count in best.items())
    count = f"{len(fits)} fit{'s' if len(fits) > 1 else ''}"
    return (
        f"{upper(prose(y))} against {prose(x)}{over}: {count}, exponent {spread}. "
        f"Best at foretelling what was left out: {laws}."
    )


def _claims(fits: Mapping[str, ScalingFit]) -> list[str]:
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


def _described(fit: ScalingFit, name: str) -> str:
    return (
        f"Means of {prose(fit.y)} against {prose(fit.x)} on logarithmic axes, with the fitted power law of "
        f"exponent {fit.exponent:.2f} and {len(fit.models) - 1} alternatives; {name}."
    )
