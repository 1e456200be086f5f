"""By how much a boundary moves where it is defined or resolved otherwise: what no replicate tells.

An interval over replicates is statistical. Beside it stand the choices: the level, the method, the values of
x that were run, and the length of training where `launch --extend` has varied it. The threshold below which
neurons count as equal is that of `sensitivity`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.cells import DIVERGED
from phasediag.analysis.lengths import points_of, superseded
from phasediag.analysis.moves import Moves, crossed, positions
from phasediag.analysis.phases import PhaseDiagram
from phasediag.analysis.result import Result, plain
from phasediag.analysis.sensitivity import MOST_TRIALS
from phasediag.arrays import FloatArray
from phasediag.storage.launches import LAUNCHES, LENGTHS, Launches

LEVEL_SHARE: Final = 0.1
"""By what share of the range of the means the level is moved."""
FEWEST_COLUMNS: Final = 6
"""With fewer values of x none are left out."""
_CHOICES: Final[Mapping[str, Mapping[str, str]]] = {
    "level": {"level_lower": "a tenth lower", "level_higher": "a tenth higher"},
    "resolution": {"first_half": "without every second value of x", "second_half": "without the others"},
    "method": {"steepest": "where the mean changes fastest"},
    "steps": {"shorter": "trained as long as first"},
}
"""What is varied: the columns of the table, and what a sentence calls them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Systematics(Result):
    """Where the points of a boundary go with its level, its resolution and its method."""

    figure: ClassVar[str] = "systematics"

    rows: pd.DataFrame
    """One row a boundary point: facets and y, `branch`, `position`, and where it lies with the level a tenth
    of the range of the means lower and higher (`level_lower`, `level_higher`), with every second value of x
    left out (`first_half`, `second_half`), where the mean changes fastest (`steepest`), and when trained as
    long as first, where `launch --extend` has trained for longer (`shorter`); NaN where it is gone. Only the
    choices that this diagram has."""
    verdicts: Mapping[str, bool]
    """Whether all points stay inside their interval or cell, by what was varied."""
    texts: Mapping[str, str]
    """By the same names, what moves in words."""
    steps: str
    """What is known of the number of steps where it was not varied, in words; empty where it was."""

    @property
    def stable(self) -> bool:
        """Whether no choice moves a point out of its interval or cell."""
        return all(self.verdicts.values())

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Where each point lies under each choice."""
        return {"systematics": self.rows}

    @property
    def findings(self) -> tuple[str, ...]:
        """What is stable and what is not, choice by choice."""
        parts = [f"{name}: {text}" for name, text in self.texts.items()]
        return (f"systematic error of the boundary: {'. '.join(filter(None, [*parts, self.steps]))}",)

    def as_dict(self) -> dict[str, Any]:
        """The verdicts, the sentence and the rows in plain types."""
        return {
            "summary": self.findings[0], "stable": self.stable, "verdicts": dict(self.verdicts),
            "rows": plain(self.rows),
        }  # fmt: skip


def boundary_systematics(
    trials: pd.DataFrame, diagram: PhaseDiagram, wanted: bool | None = True,
    every: pd.DataFrame | None = None,
) -> Systematics | None:  # fmt: skip
    """Vary what a boundary was defined by.

    Parameters
    ----------
    trials
        Those that the diagram was made of.
    diagram
        What `phase_diagram` made of them. A boundary that runs along x is looked at along y.
    wanted
        None: only where the trials are at most `MOST_TRIALS`. False: not at all.
    every
        The trials with those that `phasediag.analysis.versions.newest` has left out, of which the shorter
        ones of the same points are taken; None: the trials.

    Returns
    -------
    None where it is not wanted, or the diagram has no boundary.
    """
    if wanted is False or (wanted is None and len(trials) > MOST_TRIALS):
        return None
    if diagram.without_value:
        return None
    diagram = crossed(diagram, trials)
    if not diagram.boundary["position"].notna().any():
        return None
    rows = diagram.boundary[[*diagram.keys, "branch", "position"]]
    verdicts, texts = {}, {}
    shorter = _first_lengths(trials if every is None else _same_points(every, trials), diagram)
    varied = _varied(trials, diagram)
    if shorter is not None:
        varied["steps"] = {"shorter": positions(diagram, shorter)}
    for name, others in varied.items():
        moves = Moves.of(diagram, others, _CHOICES[name])
        rows = rows.assign(**others)
        verdicts[name], texts[name] = moves.stable, moves.text
    steps = "" if shorter is not None else _steps(diagram)
    return Systematics(rows=rows, verdicts=verdicts, texts=texts, steps=steps)


def _same_points(every: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of every length at the points of some of them."""
    point = points_of(every)
    rows: pd.DataFrame = every[np.isin(point, point[every.index.isin(trials.index)])]
    return rows


def _first_lengths(trials: pd.DataFrame, diagram: PhaseDiagram) -> pd.DataFrame | None:
    """The trials at their first length, where `launch --extend` has trained them again for longer."""
    known = LAUNCHES in trials.attrs and "steps" in trials and not set(LENGTHS) & set(diagram.keys)
    factors = Launches.of_plain(trials.attrs[LAUNCHES]).factors if known else ()
    if not factors:
        return None
    longer, _ = superseded(trials, factors)
    if not longer.any():
        return None
    steps = trials["steps"].to_numpy(dtype=np.float64, na_value=np.nan)
    first = pd.Series(steps).groupby(points_of(trials)).transform("min").to_numpy()
    rows: pd.DataFrame = trials[steps == first]
    return rows


def _varied(trials: pd.DataFrame, diagram: PhaseDiagram) -> dict[str, dict[str, FloatArray]]:
    """Where the points of the boundary lie under each choice that the diagram has."""
    varied: dict[str, dict[str, FloatArray]] = {}
    means = diagram.cells["mean"].to_numpy(dtype=np.float64)
    if diagram.method == "level" and diagram.order != DIVERGED:
        by = LEVEL_SHARE * float(np.subtract(*np.nanquantile(means, [0.95, 0.05])))
        varied["level"] = {
            name: positions(diagram, trials, level=diagram.level + side * by)
            for name, side in zip(_CHOICES["level"], (-1, 1), strict=True)
        }
    columns = np.unique(diagram.cells[diagram.x].to_numpy(dtype=np.float64))
    if len(columns) >= FEWEST_COLUMNS and diagram.x in trials:
        varied["resolution"] = {
            name: positions(diagram, trials[trials[diagram.x].isin(columns[first::2])])
            for name, first in zip(_CHOICES["resolution"], (0, 1), strict=True)
        }
    if diagram.method != "slope":
        varied["method"] = {"steepest": positions(diagram, trials, method="slope")}
    return varied


def _steps(diagram: PhaseDiagram) -> str:
    """Whether the number of steps was varied; only training tells what it does."""
    time = next((name for name in ("steps", "learning_time", "relaxations") if name in diagram.keys), None)
    if time is not None:
        return f"steps: {time} was varied, compare its rows"
    late = int((~diagram.boundary["converged"].fillna(True).astype(bool)).sum())
    if late:
        return f"steps: NOT stable where {late} points lie beside cells that have not converged; train longer"
    return "steps: not varied; train to twice as many to know"
