"""By how much the points of a boundary move where something is chosen otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phasediag.analysis.phases import DecoupledDecayWarning, Method, PhaseDiagram, phase_diagram
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moves:
    """Where each point of a boundary goes under some other choices."""

    rows: pd.DataFrame
    """One row a point of the boundary: facets and y, `branch`, `position`, where it lies under each other
    choice by its name (NaN where it is gone), and `stable`: whether it stays in its interval or cell under
    all of them."""
    stable: bool
    text: str
    """In words, after the name of what was varied."""

    @classmethod
    def of(cls, result: PhaseDiagram, others: Mapping[str, FloatArray], names: Mapping[str, str]) -> Moves:
        """Compare a boundary with where its points go.

        Parameters
        ----------
        others
            By the name of each choice, as `positions` gives it.
        names
            What a sentence calls each choice.
        """
        rows = result.boundary[[*result.keys, "branch", "position"]].assign(**others)
        low, high = _reach(result)
        known = rows["position"].notna().to_numpy()
        moved = np.column_stack([rows[name].to_numpy(dtype=np.float64) for name in others])
        with np.errstate(invalid="ignore"):
            within = (moved >= low[:, None]) & (moved <= high[:, None])
        rows["stable"] = np.where(known, within.all(axis=1), np.isnan(moved).all(axis=1))
        stable = bool(rows["stable"].all())
        shown = rows[rows["position"].notna() | rows[list(others)].notna().any(axis=1)]
        if shown.empty:
            return cls(rows=rows, stable=True, text="")
        parts = [_in_words(result, shown, name, words) for name, words in names.items()]
        count = int(shown["stable"].sum())
        verdict = (
            f"stable: all {len(shown)} boundary points stay inside their interval or cell" if stable else
            f"NOT stable: {len(shown) - count} of {len(shown)} boundary points leave their interval or cell"
        )  # fmt: skip
        if not known.any():
            verdict = "NOT stable: there is no boundary, but other choices give one"
        return cls(rows=rows, stable=stable, text=f"{verdict}; {'; '.join(parts)}")


def crossed(result: PhaseDiagram, trials: pd.DataFrame) -> PhaseDiagram:
    """The diagram, or that with its axes exchanged where no row crosses a boundary that runs along x."""
    if result.boundary["position"].notna().any() or result.across is None or result.across.empty:
        return result
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DecoupledDecayWarning)  # the diagram itself says it
        return phase_diagram(
            trials, result.y, result.x, result.order, result.level, facet=list(result.facets),
            method=result.method,
        )  # fmt: skip


def positions(
    result: PhaseDiagram, trials: pd.DataFrame, *, level: float | None = None, method: Method | None = None
) -> FloatArray:
    """Where the points of a boundary lie among other trials, at another level or by another method.

    A point is followed to the nearest crossing of its direction in its row, on the axis' own scale.

    Returns
    -------
    NaN where it has none, shape (points,).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DecoupledDecayWarning)  # the diagram itself says it
            other = phase_diagram(
                trials, result.x, result.y or None, result.order,
                result.level if level is None else level, facet=list(result.facets), resamples=1,
                method=method or result.method,
            ).boundary  # fmt: skip
    except AnalysisError:  # a mixture of one component, or an expression that has one value as axis
        return np.full(len(result.boundary), np.nan)
    return _followed(result, other)


def _followed(result: PhaseDiagram, other: pd.DataFrame) -> FloatArray:
    point = "_point"
    points = result.boundary[[*result.keys, "position", "direction"]].assign(
        **{point: np.arange(len(result.boundary))}
    )
    there = other.dropna(subset="position")[[*result.keys, "position", "direction"]]
    pairs = (
        points.merge(there, on=list(result.keys), suffixes=("", "_moved"))
        if result.keys else points.merge(there, how="cross", suffixes=("", "_moved"))
    )  # fmt: skip
    pairs = pairs[pairs["direction"].isna() | (pairs["direction"] == pairs["direction_moved"])]
    before, after = (
        result.x_scale.forward(pairs[name].to_numpy(dtype=np.float64))
        for name in ("position", "position_moved")
    )
    pairs = pairs.assign(_away=np.nan_to_num(np.abs(after - before))).sort_values("_away", kind="stable")
    nearest = pairs.drop_duplicates(point).set_index(point)["position_moved"]
    return nearest.reindex(points[point]).to_numpy(dtype=np.float64)


def _reach(result: PhaseDiagram) -> tuple[FloatArray, FloatArray]:
    """The interval of each point together with the cells beside it, shape (points,) each."""
    names: Sequence[str] = result.keys
    position = result.boundary["position"].to_numpy(dtype=np.float64)
    low, high = (result.boundary[end].to_numpy(dtype=np.float64, copy=True) for end in ("low", "high"))
    keyed = [
        frame[list(names)].astype(str).agg("/".join, axis=1) if names else pd.Series("", frame.index)
        for frame in (result.cells, result.boundary)
    ]
    places = pd.Series(result.x_scale.places(result.cells[result.x]), result.cells.index)
    cells = dict(iter(places.groupby(keyed[0])))
    for row, key in enumerate(keyed[1]):
        columns = np.sort(cells[key].to_numpy(dtype=np.float64))
        right = int(np.clip(np.searchsorted(columns, position[row]), 1, len(columns) - 1))
        low[row] = np.fmin(low[row], columns[right - 1])
        high[row] = np.fmax(high[row], columns[right])
    return low, high


def _in_words(result: PhaseDiagram, rows: pd.DataFrame, name: str, words: str) -> str:
    """`epsilon halved, it moves to 1.05 (0.95 to 1.1) times its weight_decay`."""
    before, after = (rows[column].to_numpy(dtype=np.float64) for column in ("position", name))
    both = np.isfinite(before) & np.isfinite(after)
    parts = []
    if both.any():
        ratio = result.x_scale.kind == "log"
        moved = after[both] / before[both] if ratio else after[both] - before[both]
        unit, sign = (f"times its {result.x}", "") if ratio else (f"in {result.x}", "+")
        ends = f" ({moved.min():{sign}.3g} to {moved.max():{sign}.3g})" if len(moved) > 1 else ""
        parts.append(f"moves to {np.median(moved):{sign}.3g}{ends} {unit}")
    lost, fresh = int((np.isfinite(before) & ~both).sum()), int((np.isfinite(after) & ~both).sum())
    parts += [f"is gone in {lost} row{'s' * (lost > 1)}"] * (lost > 0)
    parts += [f"appears in {fresh} more"] * (fresh > 0)
    return f"{words}, it {', '.join(parts)}" if parts else f"{words}, there is none"
