"""Distributions of an order parameter over seeds: free energy, Binder cumulant and its crossings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.bootstrap import Resamples, Sums, conditional, interval, replicate_codes
from phasediag.analysis.equal_cumulants import equal_cumulants
from phasediag.analysis.frame import Groups, converged, has_status, numbers, with_formulas
from phasediag.analysis.histogram import histograms
from phasediag.analysis.result import Result, plain
from phasediag.analysis.versions import newest
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

FEWEST: Final = 8
"""Trials of a cell; with fewer it has no distribution."""
MOST_BINDER: Final = 2 / 3
"""The Binder cumulant of an m whose square does not fluctuate; no distribution has a larger one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Distributions(Result):
    """What the values of an order parameter over seeds say of its phase, cell by cell."""

    figure: ClassVar[str] = "distributions"

    x: str
    order: str
    size: str | None
    """The column of the sizes whose cumulants are compared; None: one size."""
    moments: pd.DataFrame
    """One row a size and x: both under their own names, `trials`, `mean` (of m), `absolute` (of |m|),
    `second` (of m^2), `binder` and `susceptibility` with `_low` and `_high` (95 % over replicates)."""
    densities: pd.DataFrame
    """One row a cell and bin of m: `from`, `to`, `trials`, `density`, `free_energy` (-log of the density; NaN
    in an empty bin), both with `_low` and `_high` (95 %)."""
    crossings: pd.DataFrame
    """One row a pair of neighbouring sizes: `smaller`, `larger`, `position` of x where their cumulants are
    equal, `low`, `high` (95 %; infinite where it may lie beyond the data), `binder` there. NaN where they do
    not cross."""
    left_out: int
    """Trials without a value, not ok, or in cells of too few."""
    unconverged: int
    """Trials that entered before they had converged."""
    replicates: int
    condition: str = ""
    """What the intervals do not speak of, as pinned data; empty where of all."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Moments, densities and crossings."""
        made = {"moments": self.moments, "densities": self.densities}
        return made | ({"crossings": self.crossings} if len(self.crossings) else {})

    @property
    def over(self) -> Mapping[str, Sequence[str]]:
        """Moments over sizes and x."""
        return {"moments": (*([self.size] if self.size else []), self.x)}

    @property
    def findings(self) -> tuple[str, ...]:
        """Where fluctuations are largest, and where the cumulants cross."""
        top = self.moments.iloc[int(np.argmax(self.moments["susceptibility"].fillna(-np.inf)))]
        of = "" if self.size is None else f" at {self.size} {top[self.size]:g}"
        low, high = top["susceptibility_low"], top["susceptibility_high"]
        bounds = f"[{low:.3g}, {high:.3g}]" if np.isfinite([low, high]).all() else "without an interval"
        first = (
            f"{self.order} over {self.replicates} replicates at {len(self.moments)} cells fluctuates most "
            f"at {self.x} = {top[self.x]:.4g}{of} (susceptibility {top['susceptibility']:.3g} {bounds})"
        )
        return (first, *map(self._crossing, self.crossings.to_dict("records")))

    def _crossing(self, row: dict[Any, Any]) -> str:
        pair = f"the Binder cumulants of {self.size} {row['smaller']:g} and {row['larger']:g}"
        if not np.isfinite(row["position"]):
            return f"{pair} do not cross"
        known = np.isfinite([row["low"], row["high"]]).all()
        bounds = f"[{row['low']:.5g}, {row['high']:.5g}]" if known else "without an interval"
        return f"{pair} cross at {self.x} = {row['position']:.5g} {bounds}, at {row['binder']:.3f}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known before the cumulants are trusted."""
        texts = [self.condition] if self.condition else []
        if self.unconverged:
            texts.append(
                f"{self.unconverged} of {int(self.moments['trials'].sum())} trials have not converged: "
                "theirs is the distribution when training stopped"
            )
        if self.left_out:
            texts.append(
                f"{self.left_out} trials are left out: not ok, without a value, or in cells of fewer "
                f"than {FEWEST} trials"
            )
        return tuple(texts)

    def as_dict(self) -> dict[str, Any]:
        """The moments, densities and crossings in plain types."""
        return {
            "x": self.x, "order": self.order, "size": self.size, "moments": plain(self.moments),
            "densities": plain(self.densities), "crossings": plain(self.crossings),
            "left_out": self.left_out, "unconverged": self.unconverged, "replicates": self.replicates,
        }  # fmt: skip


def distributions(
    trials: pd.DataFrame,
    x: str,
    order: str = "degree_normalized",
    size: str | None = None,
    volume: str | None = None,
    centre: float = 0.0,
    bins: int = 20,
    resamples: int = 500,
    seed: int = 0,
) -> Distributions:
    """Look at the values of an order parameter m over seeds at each x and size.

    P(m) is a histogram with bins common to all cells, and -log P(m) a free energy up to a constant: one
    minimum off zero in a broken phase, one at zero in a symmetric one, two at a transition of first order.
    The Binder cumulant U = 1 - <m^4> / (3 <m^2>^2) is 0 for a normal m around zero and 2/3 where |m| does not
    fluctuate; at a continuous transition it does not depend on the size (K. Binder, Z. Phys. B 43, 119,
    1981), so that the cumulants of two sizes cross there without any exponent being known. The
    susceptibility is N (<m^2> - <|m|>^2). All are taken over all trials of a cell; intervals are over
    replicates, which are resampled jointly.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it; the ok ones enter.
    x, order
        Columns or expressions.
    size
        A column of sizes; None: one curve.
    volume
        N, a column or an expression such as `length * length`; None: the size, or 1 without sizes.
    centre
        What m is in the symmetric state; m is measured from there.
    bins
        Of the histograms.
    resamples, seed
        Of the bootstrap.

    Raises
    ------
    AnalysisError
        For unknown or unusable columns, or where no cell has 8 trials.
    """
    keys = (x,) if size is None else (size, x)
    needed = tuple(dict.fromkeys([*keys, order, *([volume] if volume else [])]))
    frame = with_formulas(newest(trials, needed, pooled=True), needed)
    m = numbers(frame, order) - centre
    kept = has_status(frame, "ok") & np.isfinite(m)
    for key in keys:
        kept &= np.isfinite(numbers(frame, key))
    kept &= _many(frame, keys, kept)
    if not kept.any():
        raise AnalysisError(
            f"no cell of {' and '.join(keys)} has {FEWEST} trials that are ok with a value of "
            f"{order}: a distribution needs more replicates"
        )
    frame, m, given = frame[kept], m[kept], len(frame)
    groups = Groups.of(frame, keys)
    replicate = np.unique(replicate_codes(frame, groups.cell), return_inverse=True)[1].astype(np.int64)
    powers = [Sums.of(groups.cell, replicate, value) for value in (m, np.abs(m), m**2, m**4)]
    cells = groups.decoded(groups.code, len(keys))
    weight = _volumes(frame, groups, size, volume)
    draws = Resamples.of(powers[0].replicates, resamples, seed)
    drawn = [each.drawn_means(draws.weights) for each in powers]
    means = [each.means for each in powers]
    made = cells.assign(trials=powers[0].numbers.astype(np.int64), mean=means[0], absolute=means[1],
                        second=means[2])  # fmt: skip
    cumulants = _binder(*means[2:]), _binder(*drawn[2:])
    variances = weight * _variance(*means[1:3]), weight[:, None] * _variance(*drawn[1:3])
    for name, (value, values), possible in (
        ("binder", cumulants, (-np.inf, MOST_BINDER)), ("susceptibility", variances, (0, np.inf)),
    ):  # fmt: skip
        low, high = np.clip(interval(values, draws, value), *possible)
        made = made.assign(**{name: value, f"{name}_low": low, f"{name}_high": high})
    return Distributions(
        x=x, order=order, size=size, moments=made, replicates=powers[0].replicates, left_out=given - len(m),
        unconverged=int((~converged(frame, when_unknown=True)).sum()),
        densities=histograms(cells, groups.cell, replicate, m, bins),
        crossings=equal_cumulants(cells, x, size, *cumulants, draws), condition=conditional(frame),
    )  # fmt: skip


def _many(frame: pd.DataFrame, keys: tuple[str, ...], kept: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which trials are in cells of enough kept ones."""
    cell = Groups.of(frame, keys).cell
    return np.asarray(np.bincount(cell[kept], minlength=int(cell.max()) + 1)[cell] >= FEWEST)


def _volumes(frame: pd.DataFrame, groups: Groups, size: str | None, volume: str | None) -> FloatArray:
    """N of each cell."""
    name = volume or size
    values = np.ones(len(frame)) if name is None else numbers(frame, name)
    return np.asarray(np.bincount(groups.cell, values) / np.bincount(groups.cell), dtype=np.float64)


def _binder(second: FloatArray, fourth: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - fourth / (3 * second**2))


def _variance(absolute: FloatArray, second: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(second - absolute**2, 0))
