"""What moved when trials were trained for longer: the proof of what convergence only foretells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.axes import axes_of
from phasediag.analysis.declared_columns import level_in
from phasediag.analysis.frame import converged, has_status, need_columns
from phasediag.analysis.lengths import lengthened, points_of
from phasediag.analysis.level import crosses
from phasediag.analysis.result import Result, plain
from phasediag.analysis.selection import settled
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError
from phasediag.measuring.convergence import FEW, SMALL_SHARE
from phasediag.storage.launches import LAUNCHES, LENGTHS, Launches

_MOVED: Final = ("phase moved", "count moved")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Extension(Result):
    """Trials before and after they were trained again for longer."""

    figure: ClassVar[str] = "extension"

    order: str
    level: float
    count: str
    factors: tuple[float, ...]
    """By how much trials were lengthened."""
    pairs: pd.DataFrame
    """One row a trial that is ok at its first and at its longest length: the axes, `replicate`, `steps`,
    `longest`, `converged` and `settled` (its phase and its count, as foretold at the first length), `order
    before`, `order after`, `count before`, `count after`, `phase moved`, `count moved`."""
    cells: pd.DataFrame
    """One row a cell of the axes: `trials`, `converged`, of those `phase moved`, `settled`, of those `count
    moved`, and `largest change` of the count of those."""
    diverged: int
    """Trials that were ok and diverged when trained for longer."""
    notes: tuple[str, ...] = ()
    """What must be known of how it was foretold."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The cells, and the trials."""
        return {"cells": self.cells, "trials": self.pairs}

    @property
    def findings(self) -> tuple[str, ...]:
        """How many of the trials that were called settled moved, in their phase and in their count."""
        times = " and ".join(f"{factor:g}" for factor in self.factors)
        pairs = self.pairs
        sure, stays = pairs[pairs["converged"]], pairs[pairs["settled"]]
        others = pairs[~pairs["settled"]]
        return (
            f"{len(pairs):,} trials were trained again, to {times} times their steps.",
            f"Of {len(sure):,} whose phase had converged, {int(sure['phase moved'].sum()):,} changed it "
            f"({self.order} at {self.level:g}).",
            f"Of {len(stays):,} whose {self.count} had settled, {_changed(stays)}; of the {len(others):,} "
            f"others, {_changed(others)}. A change is any of a count up to {FEW}, more than "
            f"{SMALL_SHARE:.0%} of a larger one.",
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """That the length decides over what was called settled, where it does."""
        sentences = list(self.notes)
        if self.diverged:
            sentences.append(f"{self.diverged:,} trials diverged when they were trained for longer.")
        for flag, moved, what in (("converged", _MOVED[0], "phases"), ("settled", _MOVED[1], "counts")):
            wrong = int(self.pairs.loc[self.pairs[flag], moved].sum())
            if wrong > SMALL_SHARE * max(int(self.pairs[flag].sum()), 1):
                sentences.append(
                    f"More than {SMALL_SHARE:.0%} of the {what} that were called settled moved: take none of "
                    "the others for settled either, and extend once more, by a larger factor."
                )
        return tuple(sentences)

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types, with the cells."""
        pairs = self.pairs
        moved = {
            name.replace(" ", "_"): int(pairs.loc[pairs[flag], name].sum())
            for flag, name in zip(("converged", "settled"), _MOVED, strict=True)
        }
        return {
            "order": self.order, "level": self.level, "count": self.count, "factors": list(self.factors),
            "trials": len(pairs), "converged": int(pairs["converged"].sum()),
            "settled": int(pairs["settled"].sum()), **moved,
            "largest_change": plain(_largest(pairs[pairs["settled"]])), "diverged": self.diverged,
            "cells": plain(self.cells),
        }  # fmt: skip


def extension(
    trials: pd.DataFrame, order: str = "degree_normalized", level: float | None = None,
    count: str = "neuron_count", factors: Sequence[float] | None = None,
) -> Extension:  # fmt: skip
    """Compare trials that `phasediag launch --extend` has trained again for longer with what they were.

    Parameters
    ----------
    trials
        One row a trial, of both lengths, as `load_trials` returns them.
    order, level
        The order parameter and its value on the boundary between the phases; None: its own.
    count
        The count that is compared.
    factors
        By how much trials were lengthened; None: as the grids of the sweep say.

    Raises
    ------
    AnalysisError
        Where no trial was extended, or a column is missing.
    """
    need_columns(trials, [order, count, "steps", "replicate"])
    if factors is None:
        factors = Launches.of_plain(trials.attrs[LAUNCHES]).factors if LAUNCHES in trials.attrs else ()
    pairs = _pairs(trials, factors)
    if not len(pairs):
        raise AnalysisError(
            "none of these trials was trained again for longer; `phasediag launch SWEEP --extend 2` does that"
        )
    ok = has_status(trials, "ok")
    both = ok[pairs["before"]] & ok[pairs["after"]]
    gone = ok[pairs["before"]] & has_status(trials, "diverged")[pairs["after"]]
    first, last = (trials.iloc[pairs.loc[both, name].to_numpy()] for name in ("before", "after"))
    done, notes = settled(trials, count)
    at = level_in(trials, order, level)
    compared = _compared(first, last, order, at, count).assign(
        converged=converged(first, when_unknown=False), settled=done[pairs.loc[both, "before"].to_numpy()]
    )
    axes = [name for name in axes_of(first) if name not in LENGTHS]
    table = pd.concat([first[[*axes, "replicate"]].reset_index(drop=True), compared], axis=1)
    return Extension(
        order=order, level=at, count=count, factors=tuple(factors), pairs=table, cells=_cells(table, axes),
        diverged=int(gone.sum()), notes=notes,
    )  # fmt: skip


def known_extension(
    trials: pd.DataFrame, order: str = "degree_normalized", level: float | None = None
) -> Extension | None:
    """What `extension` finds of the trials of a sweep; None where none of them was trained for longer."""
    held = LAUNCHES in trials.attrs and Launches.of_plain(trials.attrs[LAUNCHES]).factors
    try:
        return extension(trials, order, level) if held else None
    except AnalysisError:
        return None


def _pairs(trials: pd.DataFrame, factors: Sequence[float]) -> pd.DataFrame:
    """Positions of trials at their first length, `before`, and of the same ones at their longest, `after`."""
    steps = trials["steps"].to_numpy(dtype=np.float64, na_value=np.nan)
    table = pd.DataFrame({
        "point": points_of(trials), "replicate": trials["replicate"].to_numpy(), "steps": steps,
        "row": np.arange(len(trials)),
    })  # fmt: skip
    table = table[~has_status(trials, "failed")]
    pairs = table.merge(table, on=["point", "replicate"], suffixes=("", "_long"))
    pairs = pairs[lengthened(pairs["steps"].to_numpy(), pairs["steps_long"].to_numpy(), factors)]
    pairs = pairs[~pairs["row"].isin(pairs["row_long"])]
    pairs = pairs.sort_values(["row", "steps_long"]).groupby("row").last().reset_index()
    return pairs.rename(columns={"row": "before", "row_long": "after"})[["before", "after"]]


def _compared(first: pd.DataFrame, last: pd.DataFrame, order: str, level: float, count: str) -> pd.DataFrame:
    """The order parameter and the count of the same trials before and after."""
    columns: dict[str, Any] = {"steps": first["steps"].to_numpy(), "longest": last["steps"].to_numpy()}
    for name, column in (("order", order), ("count", count)):
        for when, rows in (("before", first), ("after", last)):
            columns[f"{name} {when}"] = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
    before, after = columns["order before"], columns["order after"]
    known = np.isfinite(before) & np.isfinite(after)
    columns["phase moved"] = known & crosses(before, after, level)[0]
    had, has = columns["count before"], columns["count after"]
    allowed = np.where(had <= FEW, 0.0, SMALL_SHARE * had)
    columns["count moved"] = np.nan_to_num(np.abs(has - had)) > allowed
    return pd.DataFrame(columns)


def _cells(table: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """What moved in each cell of the axes."""
    change = (table["count after"] - table["count before"]).abs()
    parts = table.assign(
        trials=1, largest=change.where(table["settled"], 0.0),
        phase=table["phase moved"] & table["converged"], number=table["count moved"] & table["settled"],
    )  # fmt: skip
    grouped = parts.groupby(list(axes), dropna=False) if axes else parts.groupby(lambda row: 0)
    cells = grouped.agg(
        trials=("trials", "sum"), converged=("converged", "sum"), phase=("phase", "sum"),
        settled=("settled", "sum"), number=("number", "sum"), largest=("largest", "max"),
    )  # fmt: skip
    names = {"phase": _MOVED[0], "number": _MOVED[1], "largest": "largest change"}
    return cells.reset_index(drop=not axes).rename(columns=names)


def _changed(pairs: pd.DataFrame) -> str:
    """`3 changed it, by 2 at most`."""
    moved = pairs[pairs["count moved"]]
    return f"{len(moved):,} changed it" + (f", by {_largest(moved):g} at most" if len(moved) else "")


def _largest(pairs: pd.DataFrame) -> float:
    change: FloatArray = (pairs["count after"] - pairs["count before"]).abs().to_numpy(dtype=np.float64)
    return float(np.nanmax(change)) if np.isfinite(change).any() else 0.0
