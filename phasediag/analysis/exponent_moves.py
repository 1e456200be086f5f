"""By how much an exponent moves with what could have been chosen otherwise: what no replicate tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from phasediag.analysis.bootstrap import Resamples, Sums, interval
from phasediag.analysis.law_comparison import UNTESTED, LawComparison
from phasediag.analysis.laws import REFERENCE, law
from phasediag.analysis.likelihood import log_linear
from phasediag.arrays import BoolArray, FloatArray

COLUMNS: Final = ("choice", "exponent", "shift", "low", "high", "stable")
FEWEST_POINTS: Final = 3
"""Distinct values of x that an exponent needs, of the window or of a part of it."""


def exponent_moves(
    values: FloatArray, sums: Sums, narrower: Mapping[str, Sums], comparison: LawComparison,
    bounds: tuple[float, float], draws: Resamples,
) -> pd.DataFrame:  # fmt: skip
    """The exponent in either half of the window, without the smallest width, and by another law.

    Parameters
    ----------
    values
        The x, ascending, shape (points,).
    sums
        Of the counts at each x and replicate.
    narrower
        The same of fewer trials, by what they are called.
    comparison
        The laws: of the best besides the power law the mean slope over the window is told, but where the
        power law foretells clearly better.
    bounds
        The interval of the exponent.
    draws
        Of replicates.

    Returns
    -------
    One row a `choice`: its `exponent`, the `shift` from that of all, the 95 % interval of the shift, `low`
    and `high` (NaN of a law), and `stable`: whether the exponent stays inside its interval, or the shift is
    no more than chance; null where there is no interval.
    """
    everywhere = np.full(len(values), True)
    best, drawn = _exponents(values, sums, everywhere, draws)
    rows = []
    for choice, some, chosen in _choices(sums, narrower, everywhere):
        if (some.total[chosen].sum(axis=1) > 0).sum() < FEWEST_POINTS:
            continue
        exponent, own = _exponents(values, some, chosen, draws)
        low, high = interval(own - drawn, draws, exponent - best)
        rows.append((choice, exponent, exponent - best, float(low), float(high)))
    other = _other_law(values, comparison)
    if other is not None:
        rows.append((other[0], other[1], other[1] - best, np.nan, np.nan))
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    stable = [_stable(row, bounds) for row in table.itertuples(index=False)]
    return table.assign(stable=pd.Series(stable, dtype=object))


def moves_in_words(moves: pd.DataFrame) -> str:
    """Say whether an exponent is stable, and by how much it moves; empty where nothing was tried."""
    if not len(moves):
        return ""
    unsure = [value is None for value in moves["stable"]]
    moved = moves[[value is False for value in moves["stable"]]]
    parts = ", ".join(f"{row.shift:+.2g} {row.choice}" for row in moves.itertuples(index=False))
    if all(unsure):
        return f"systematic error of the exponent, to be compared with no interval: {parts}"
    verdict = "stable" if not len(moved) else "NOT stable"
    return f"systematic error of the exponent: {verdict}; it moves by {parts}"


def _choices(
    sums: Sums, narrower: Mapping[str, Sums], everywhere: BoolArray
) -> Iterator[tuple[str, Sums, BoolArray]]:
    half = -(-len(everywhere) // 2)
    place = np.arange(len(everywhere))
    if half >= FEWEST_POINTS and half < len(everywhere):
        yield "in the lower half of the window", sums, place < half
        yield "in the upper half of the window", sums, place >= len(everywhere) - half
    for choice, some in narrower.items():
        yield choice, some, some.numbers > 0


def _exponents(
    values: FloatArray, sums: Sums, chosen: BoolArray, draws: Resamples
) -> tuple[float, FloatArray]:
    """The exponent of the power law over some points, and in draws of replicates, shape (draws,)."""
    u = np.log(values[chosen])
    u = u - u.mean()
    total, number = sums.drawn(draws.weights)
    one = log_linear(u, sums.total[chosen].sum(axis=1)[None], sums.numbers[chosen][None])
    return float(one[1, 0]), np.asarray(log_linear(u, total[chosen].T, number[chosen].T)[1])


def _other_law(values: FloatArray, comparison: LawComparison) -> tuple[str, float] | None:
    """The best law besides the power law, where that is not clearly better, and its mean slope."""
    for model in comparison.models:
        one = law(str(model["name"]))
        if one is REFERENCE or not one.trend or model["note"] == UNTESTED:
            continue
        if REFERENCE.name in comparison.foretold and comparison.lead(REFERENCE.name, one.name).clear:
            return None
        ends = one.curve(values[[0, -1]], np.array(list(model["parameters"].values())))
        if (ends > 0).all():
            slope = float(np.diff(np.log(ends))[0] / np.diff(np.log(values[[0, -1]]))[0])
            return f"as the mean slope of the {one.name}", slope
    return None


def _stable(row: Any, bounds: tuple[float, float]) -> bool | None:
    if np.isnan(bounds[0]):
        return None
    inside = bounds[0] <= row.exponent <= bounds[1]
    return bool(inside or row.low <= 0 <= row.high)
