"""A sweep as one run of an experiment tracker: settings, numbers, tables, figures and the page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from phasediag.analysis.axes import axes_of
from phasediag.analysis.frame import converged, has_status
from phasediag.report.facts import axes_table, completeness, errors_table, fixed_table, machines
from phasediag.report.page import ReportedSweep, rendered
from phasediag.report.section import Picture, Section
from phasediag.report.sections import all_sections

ESTIMATES: Final = {"boundary": "position", "exponents": "exponent"}
"""The tables of sections whose rows are numbers with an interval, and the column of the number."""
_ENDS: Final = ("low", "high")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SweepSummary:
    """What one run of a tracker tells of a sweep; never a run a trial."""

    name: str
    uri: str
    settings: Mapping[str, str]
    """Axes with their values, and everything that is fixed, by parameter."""
    numbers: Mapping[str, float]
    """Trials by state, and every boundary and exponent with the ends of its interval; all are finite."""
    tables: Mapping[str, pd.DataFrame]
    pictures: Mapping[str, Picture]
    findings: tuple[str, ...]
    """What came out, and what must be known before it is trusted, in whole sentences."""
    grids: tuple[tuple[str, str], ...]
    """The grids launched, as (name, text)."""
    page: str
    """The report, as HTML."""

    @classmethod
    def of(cls, sweep: ReportedSweep) -> SweepSummary:
        """The summary of what a report of this sweep shows."""
        trials, sections = sweep.trials, all_sections(sweep.material())
        axes = axes_of(trials)
        varied = axes_table(trials, axes)
        settings = dict(zip(varied["parameter"], varied["which"], strict=True)) | dict(
            zip(*(fixed_table(trials, axes)[name] for name in ("parameter", "value")), strict=True)
        )
        return cls(
            name=sweep.name, uri=sweep.uri, settings={str(name): value for name, value in settings.items()},
            numbers=_counts(sweep) | dict(_estimates(sections)),
            tables={**_tables(sections), "errors": errors_table(trials), "machines": machines(trials)},
            pictures=_pictures(sections),
            findings=tuple(
                text
                for each in sections
                for text in (*each.findings, *(warning.text for warning in each.warnings))
            ),
            grids=sweep.grids, page=rendered(sweep, sections),
        )  # fmt: skip


def _counts(sweep: ReportedSweep) -> dict[str, float]:
    trials, states = sweep.trials, completeness(sweep.trials, sweep.planned)
    counts = {f"trials/{row['state']}": float(row["trials"]) for row in states.to_dict("records")}
    late = has_status(trials, "ok") & ~converged(trials, when_unknown=True)
    return counts | {"trials/unconverged": float(late.sum())}


def _estimates(sections: Sequence[Section]) -> Iterator[tuple[str, float]]:
    """Each finite estimate under its table, column and the values that it is at."""
    for section in sections:
        for title, value in ESTIMATES.items():
            table = section.tables.get(title)
            if table is None or value not in table:
                continue
            keys = list(table.columns[: list(table.columns).index(value)])
            for row in table.to_dict("records"):
                where = " ".join(f"{key} {_short(row[key])}" for key in keys) or "all"
                for name in (value, *_ENDS):
                    if math.isfinite(row[name]):
                        yield plain(f"{section.title}/{where}/{name}"), float(row[name])


def plain(name: str) -> str:
    """A name in the letters that every tracker takes; others become underscores."""
    return re.sub(r"[^\w./-]+", "_", name, flags=re.ASCII)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _tables(sections: Sequence[Section]) -> dict[str, pd.DataFrame]:
    return {plain(f"{each.title}/{name}"): table for each in sections for name, table in each.tables.items()}


def _pictures(sections: Sequence[Section]) -> dict[str, Picture]:
    """The figures of all sections; numbered where a section has several."""
    return {
        plain(each.title + (f" {number}" if len(each.pictures) > 1 else "")): picture
        for each in sections
        for number, picture in enumerate(each.pictures, start=1)
    }
