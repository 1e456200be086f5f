"""Facts, figures and warnings as one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from phasediag.analysis.axes import axes_of
from phasediag.analysis.declared_columns import level_in
from phasediag.analysis.extension import known_extension
from phasediag.analysis.frame import has_status, need_columns
from phasediag.analysis.sensitivity import Recounts
from phasediag.report.choice import choose
from phasediag.report.explorer import Record
from phasediag.report.facts import (
    STATES,
    axes_table,
    completeness,
    cost,
    duration,
    errors_table,
    fixed_table,
    machines,
)
from phasediag.report.section import Material, Section, upper
from phasediag.report.sections import all_sections
from phasediag.report.warnings import Warnings, about_trials, warned
from phasediag.version import VERSION

ORDERS: Final = ("degree_normalized", "log_rate")
"""Order parameters; the first that lies on both sides of its level is drawn."""
SCRIPTS: Final = ("payload", "counting", "axes", "drawing", "explorer")
"""The files of the page's script, in the order in which they need each other."""
_MOST_ROWS: Final = 200
"""More rows of a table are in its CSV only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as the page shows it, and all of it as CSV."""

    title: str
    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    total: int
    csv: str
    """A data URI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedSweep:
    """What a report is made from."""

    name: str
    uri: str
    trials: pd.DataFrame
    planned: int
    """Trials of all its grids."""
    grids: tuple[tuple[str, str], ...]
    """The grids launched, as (name, text)."""
    recounts: Recounts
    """The trials at other thresholds."""
    notices: tuple[str, ...] = ()
    """What is to be known of the choice of these trials."""
    record: Record | None = None
    """What the sweep holds besides the rows of these trials; None: nothing can be explored."""
    shorter: pd.DataFrame | None = None
    """These trials with those that were trained again for longer; None where there are none."""

    def material(
        self, x: str | None = None, y: str | None = None, order: str | None = None, level: float | None = None
    ) -> Material:
        """What the sections are made from; arguments as of `report`."""
        need_columns(self.trials, [name for name in (x, y, order) if name])
        order, level = order_of(self.trials, order, level)
        longer = None if self.shorter is None else known_extension(self.shorter, order, level)
        return Material(
            trials=self.trials, choice=choose(self.trials, x, y), order=order, level=level,
            recounts=self.recounts, every=self.shorter, extension=longer, record=self.record,
        )  # fmt: skip


def report(
    sweep: ReportedSweep, x: str | None = None, y: str | None = None, order: str | None = None,
    level: float | None = None, made: datetime | None = None,
) -> str:  # fmt: skip
    """The results of a sweep, as HTML.

    Parameters
    ----------
    x, y
        Parameters of the diagram; None: the two of most values.
    order, level
        The order parameter and its value on the boundary; None: the degree of symmetry at 0.5, or the
        growth rate at 0 where the degree never crosses that.
    made
        When; None: now.

    Raises
    ------
    AnalysisError
        Where the sweep has no trials, or a parameter is no column.
    """
    return rendered(sweep, all_sections(sweep.material(x, y, order, level)), made)


def rendered(sweep: ReportedSweep, sections: Sequence[Section], made: datetime | None = None) -> str:
    """The report of a sweep with these sections, as HTML."""
    trials = sweep.trials
    axes = axes_of(trials)
    script = _script() if any(s.explorer and s.explorer.payload for s in sections) else ""
    states = completeness(trials, sweep.planned)
    errors = errors_table(trials)
    lead = next((section for section in sections if section.pictures), None)
    return _environment().get_template("report.html.j2").render(
        name=sweep.name,
        uri=sweep.uri,
        made=f"{made or datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=VERSION,
        verdict=[_recorded(trials, sweep.planned), *(lead.verdict if lead else ())],
        warnings=_warnings(sweep, sections),
        lead=lead,
        training=duration(float(trials["wall_s"].sum())) if "wall_s" in trials else "",
        sections=[(section, _tables(section.tables, sweep.name, number))
                  for number, section in enumerate(sections, start=1)],
        states=states.to_dict("records"),
        axes=_table("axes", axes_table(trials, axes), f"{sweep.name}-axes.csv"),
        fixed=_table("fixed parameters", fixed_table(trials, axes), f"{sweep.name}-fixed.csv"),
        completeness=_table("trials by state", states.rename(columns={"share": "share (%)"}),
                            f"{sweep.name}-completeness.csv"),
        errors=_table("errors", errors, f"{sweep.name}-errors.csv") if len(errors) else None,
        machines=_table("versions and devices", machines(trials), f"{sweep.name}-machines.csv"),
        cost=_table("cost", cost(trials), f"{sweep.name}-cost.csv"),
        grids=sweep.grids,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )  # fmt: skip


def _script() -> str:
    """The script of the page, of its files one after the other."""
    folder = files("phasediag.report") / "script"
    parts = [folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def order_of(trials: pd.DataFrame, order: str | None, level: float | None) -> tuple[str, float]:
    """The order parameter and its level: as given, or the first of `ORDERS` that crosses its own."""
    if order is not None:
        return order, level_in(trials, order, level)
    for name in ORDERS:
        at = level_in(trials, name, None)
        values = trials[name] if name in trials else pd.Series(dtype=np.float64)
        if (values < at).any() and (values >= at).any():
            return name, level_in(trials, name, level)
    return ORDERS[0], level_in(trials, ORDERS[0], level)


def _warnings(sweep: ReportedSweep, sections: Sequence[Section]) -> Warnings:
    """Warnings of the sweep as a whole, and of each section."""
    of_all = (
        *about_trials(sweep.trials, sweep.planned),
        *warned(f"{upper(text)}." for text in sweep.notices),
    )
    return Warnings.of({"": of_all} | {section.title: section.warnings for section in sections})


def _recorded(trials: pd.DataFrame, planned: int) -> str:
    """How many trials are there, and what became of them."""
    counts = {state: int(has_status(trials, state).sum()) for state in STATES[:3]}
    fates = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    became = "all ok" if counts["ok"] == len(trials) else fates
    return f"{len(trials):,} of {max(planned, len(trials)):,} planned trials are recorded: {became}."


def _tables(tables: Mapping[str, pd.DataFrame], name: str, number: int) -> list[Table]:
    return [_table(title, frame, f"{name}-{number}-{title}.csv") for title, frame in tables.items()]


def _table(title: str, frame: pd.DataFrame, file: str) -> Table:
    content = frame.to_csv(index=False).encode()
    shown = frame.head(_MOST_ROWS)
    columns = [_texts(shown[name]) for name in frame.columns]
    return Table(
        title=title, file=file, columns=tuple(map(str, frame.columns)),
        rows=tuple(zip(*columns, strict=True)), total=len(frame),
        numeric=tuple(pd.api.types.is_numeric_dtype(frame[name]) for name in frame.columns),
        csv=f"data:text/csv;charset=utf-8;base64,{base64.b64encode(content).decode()}",
    )  # fmt: skip


def _texts(column: pd.Series[Any]) -> list[str]:
    if pd.api.types.is_float_dtype(column):
        return [_number(value) for value in column.to_numpy(dtype=np.float64)]
    return ["" if value is None or value is pd.NA else str(value) for value in column]


def _number(value: float) -> str:
    """A number as a table shows it; the end of an interval that leaves the grid is open."""
    return "" if np.isnan(value) else "open" if np.isinf(value) else f"{value:.4g}"


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("phasediag", "report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
