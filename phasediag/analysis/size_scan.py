"""How the exponents of a collapse move with what was chosen: the window, the smallest size, corrections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.bootstrap import Resamples, interval
from phasediag.analysis.size_curves import FEWEST_POINTS, Drawn
from phasediag.analysis.size_fit import SizeFit, fit_curves
from phasediag.arrays import BoolArray, FloatArray

USUAL: Final = 1.0
"""The exponent of the corrections that are tried where none was given."""
FEWEST_SIZES: Final = 3
"""Sizes that a fit with corrections needs: two curves are made one by any of them."""
_INNER: Final = 2 / 3
"""The inner share of the distance from the critical x to the farthest point."""
_LOOKED_AT: Final = 1.5
"""Half-widths of its interval by which a shift must differ from zero: three standard errors."""
_CUT: Final = 0.25
"""Share of the range of x that a window loses at one end."""
SCANNED: Final = ("choice", "parameter", "value", "shift", "shift_low", "shift_high", "quality", "stable")

ScanChoice = tuple[str, BoolArray, float | None]
"""What was chosen in words, the cells that enter, and the exponent of the corrections."""


def scan(
    fit: SizeFit, ends: tuple[FloatArray, FloatArray], means: Drawn, drawn: FloatArray,
    draws: Resamples, size: str,
) -> pd.DataFrame:  # fmt: skip
    """Fit again with each other choice, and tell by how much each parameter moves.

    A parameter is stable under a choice where it stays within its interval, or moves by no more than chance
    explains: by less than three standard errors of its shift, as several are looked at. The shift is that of
    the same draws of replicates.

    Parameters
    ----------
    fit
        Of the choice that is reported.
    ends
        Of the intervals of its named parameters, shape (p,) each.
    means, drawn
        The means in each draw of replicates, and the parameters fitted to them.
    size
        The name of the sizes.

    Returns
    -------
    One row a choice and parameter, with the columns `SCANNED`; `stable` is None where replicates are too few
    for an interval.
    """
    curves, (low, high) = fit.function.curves, ends
    rows = []
    for words, used, omega in _choices(fit, size):
        other = fit_curves(curves, used, omega, fit.parameters, fit.pieces)
        if not np.isfinite(other.chi2):
            continue
        shift = other.named - fit.named
        least, most = interval((other.nearly_drawn(means) - drawn).T, draws, shift)
        inside = (other.named >= low) & (other.named <= high)
        reach = _LOOKED_AT * np.where(shift > 0, shift - least, most - shift)
        stable = inside | (np.abs(shift) <= reach)
        rows += [
            (
                words,
                name,
                other.named[at],
                shift[at],
                least[at],
                most[at],
                other.quality,
                None if np.isnan(reach[at]) or np.isnan(low[at]) else bool(stable[at]),
            )
            for at, name in enumerate(curves.names)
        ]
    return pd.DataFrame(rows, columns=list(SCANNED))


def _choices(fit: SizeFit, size: str) -> Iterator[ScanChoice]:
    """What else could have been chosen, as far as enough points remain."""
    function = fit.function
    for words, used in _windows(fit, size):
        if _enough(fit, used, function.omega):
            yield words, used, function.omega
    if function.omega is not None:
        yield "without corrections", function.used, None
        for omega in (function.omega / 2, 2 * function.omega):
            yield f"corrections of omega {omega:g}", function.used, omega
    elif _enough(fit, function.used, USUAL):
        yield f"corrections of omega {USUAL:g}", function.used, USUAL


def _windows(fit: SizeFit, size: str) -> Iterator[tuple[str, BoolArray]]:
    """Fewer cells: without the smallest size, and in a narrower window."""
    curves, used = fit.function.curves, fit.function.used
    smallest = float(curves.cells[size].min())
    yield f"without {size} {smallest:g}", used & (curves.group > 0)
    place = curves.positions
    if curves.form == "critical":
        away = np.abs(place - fit.parameters[2])
        yield f"the inner {_INNER:.0%} of x", used & (away <= _INNER * away[used].max())
        return
    low, reach = place[used].min(), np.ptp(place[used])
    yield f"without the lowest {_CUT:.0%} of x", used & (place >= low + _CUT * reach)
    yield f"without the highest {_CUT:.0%} of x", used & (place <= low + (1 - _CUT) * reach)


def _enough(fit: SizeFit, used: BoolArray, omega: float | None) -> bool:
    """Whether sizes and points of each remain, and more than the parameters that they determine."""
    _, number = np.unique(fit.function.curves.group[used], return_counts=True)
    fewest = 2 if omega is None else FEWEST_SIZES
    return len(number) >= fewest and number.min() >= FEWEST_POINTS
