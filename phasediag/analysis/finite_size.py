"""Finite-size scaling: the curves of several widths on one curve, and the exponents that put them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from scipy import special

from phasediag.analysis.axes import pooled
from phasediag.analysis.bootstrap import CONFIDENCE, Resamples, conditional, interval
from phasediag.analysis.frame import Groups
from phasediag.analysis.result import Result, plain
from phasediag.analysis.selection import ROOM, Sample, entered
from phasediag.analysis.size_curves import Form, SizeCurves
from phasediag.analysis.size_fit import SizeFit, fit_curves, neutral
from phasediag.analysis.size_profile import along_the_valley
from phasediag.analysis.size_scan import FEWEST_SIZES, SCANNED, scan
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

POOLED: Final = "the curves of several axes at once may collapse otherwise than those of each"
"""What pooling other axes may do."""
GOOD: Final = 2.0
"""Up to this quality the curves collapse within their errors."""
COVERED: Final = (
    "the intervals are of 95 %: of 100 simulated data sets of the Ising model they held the exact values in "
    "90 to 97, 1/nu by the magnetization least often"
)
"""As counted with a fresh seed (docs/finite-size.md)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SizeCollapse(Result):
    """Scaled curves, their exponents and how well they fall together."""

    figure: ClassVar[str] = "size_collapse"

    x: str
    y: str
    size: str
    form: Form
    omega: float | None = None
    """The exponent of the corrections to scaling; None: without."""
    parameters: pd.DataFrame
    """One row a parameter, by name: `value`, `low`, `high` (95 %; NaN with fewer than 3 replicates), `moves`
    (the largest shift under another choice of `scan`) and `stable` (whether none of these shifts is more than
    the interval and chance allow; null where nothing else could be chosen)."""
    quality: float
    """Chi squared per degree of freedom: about 1 where the curves collapse within the errors of the points,
    much larger where they do not."""
    unscaled_quality: float
    """The quality with all exponents at zero; infinite where fewer than half of the points then overlap."""
    shift_quality: float = float("nan")
    """With `critical`: that of curves that only shift with log L, which have no critical point; else NaN."""
    excludes_shift: bool | None = None
    """With `critical`: whether such curves are excluded at 95 %; else None."""
    scan: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(SCANNED)))
    """One row a parameter and other `choice` (window, smallest size, corrections): `value`, `shift` with
    `shift_low`, `shift_high` (95 %), `quality`, `stable`."""
    points: pd.DataFrame
    """One row a size and x: both under their own names, `mean`, `error` (standard error of the mean),
    `scaled_x`, `scaled_y` (less the corrections), `scaled_error`."""
    n: int
    """Trials that entered."""
    replicates: int
    left_out: Mapping[str, int]
    """Trials that did not enter, by reason."""
    notes: tuple[str, ...] = ()
    """What must be known of how the trials were chosen."""
    condition: str = ""
    """What the intervals do not speak of, as pinned data; empty where of all."""

    @property
    def collapses(self) -> bool:
        """Whether the curves fall on one within their errors."""
        return self.quality <= GOOD

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The exponents, the curves as measured and scaled, and what other choices give."""
        made = {"parameters": self.parameters.rename_axis("parameter").reset_index(), "points": self.points}
        return made | ({"scan": self.scan} if len(self.scan) else {})

    @property
    def over(self) -> Mapping[str, Sequence[str]]:
        """The curves over sizes and x."""
        return {"points": (self.size, self.x), "parameters": ("parameter",)}

    @property
    def findings(self) -> tuple[str, ...]:
        """The exponents, whether they put the curves on one, and whether they depend on what was chosen."""
        texts = [
            f"{name} = {row['value']:.3f} [{_end(row['low'])}, {_end(row['high'])}]"
            for name, row in self.parameters.iterrows()
        ]
        word = "collapse" if self.collapses else "do not collapse"
        corrections = "" if self.omega is None else f", with corrections of omega {self.omega:g}"
        first = (
            f"{self.y} against {self.x} for {self.points[self.size].nunique()} values of {self.size}"
            f"{corrections}: {', '.join(texts)}; the curves {word} (quality {self.quality:.2f}, unscaled "
            f"{self.unscaled_quality:.2f}; 1 is within errors)"
        )
        more = [] if self.excludes_shift is None else [self._beside_a_shift()]
        return (first, *more, *(self._stability(str(name)) for name in self.parameters.index))

    def _beside_a_shift(self) -> str:
        values = f"quality {self.shift_quality:.2f} against {self.quality:.2f}"
        if self.excludes_shift:
            return f"curves that only shift with log {self.size} are excluded ({values})"
        return (
            f"no critical point is shown: curves that only shift with log {self.size}, which have none, fit "
            f"as well ({values})"
        )

    def _stability(self, name: str) -> str:
        rows = self.scan[self.scan["parameter"] == name]
        if not len(rows):
            return f"{name}: whether it is stable is not known, too few sizes or points to leave any out"
        if rows["stable"].isna().any():
            return f"{name}: whether it is stable is not known, too few replicates for an interval"
        moved = rows[~rows["stable"].astype(bool)]
        if not len(moved):
            largest = rows.iloc[int(np.argmax(rows["shift"].abs()))]
            return f"{name} is stable: it moves most {largest['choice']}, by {largest['shift']:+.2g}"
        moves = [
            f"by {row.shift:+.2g} [{row.shift_low:+.2g}, {row.shift_high:+.2g}] {row.choice}"
            for row in moved.itertuples(index=False)
        ]
        return f"{name} is not stable: it moves {', '.join(moves)}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the intervals do not hold."""
        moved = [str(name) for name, row in self.parameters.iterrows() if row.get("stable") is False]
        pinned = (*self.notes, *([self.condition] if self.condition else []))
        if not moved:
            return pinned
        return (
            *pinned,
            f"{', '.join(moved)}: the interval is that of chance alone, the value depends on choices; "
            "larger sizes, a narrower window or corrections (omega=) are needed",
        )

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types."""
        return {
            "x": self.x, "y": self.y, "size": self.size, "form": self.form, "omega": self.omega,
            "quality": self.quality, "unscaled_quality": plain(self.unscaled_quality),
            "shift_quality": plain(self.shift_quality), "excludes_shift": self.excludes_shift,
            "collapses": self.collapses, "parameters": plain(self.parameters.to_dict(orient="index")),
            "scan": plain(self.scan), "n": self.n, "replicates": self.replicates,
            "left_out": plain(self.left_out),
        }  # fmt: skip

    def summary(self) -> str:
        """The result in words, with the trials that it rests on."""
        first, *more = entered(self.n, self.replicates, self.left_out)
        cautions = [f"warning: {warning}" for warning in self.warnings]
        return "\n".join([*self.findings, *cautions, COVERED, f"collapse of {first}", *more])


def fit_collapse(
    trials: pd.DataFrame,
    x: str = "weight_decay",
    y: str = "neuron_count",
    size: str = "width",
    form: Form = "power",
    window: tuple[float, float] | None = None,
    resamples: int = 200,
    seed: int = 0,
    room: float = ROOM,
    omega: float | None = None,
) -> SizeCollapse:
    """Find the exponents with which the curves of all sizes L become one.

    `power`: y = L^a F(x L^b), for a count against a strength: all is taken in logarithms; independence
    of the width is a = b = 0. `critical`: y = L^a F((x - x_c) L^b), for an order parameter at a continuous
    transition (b = 1/nu, a = -beta/nu; of a susceptibility a = gamma/nu, of a Binder cumulant 0). `shift`:
    y = L^a F(x + s log L), what a critical collapse looks like without a critical point.

    F is a cubic spline through the points of all sizes at once, of somewhat more pieces than Akaike's
    criterion asks for; with `omega` the curves may differ by corrections to scaling, F(z) + g L^-omega, and
    with `critical` by the analytic ones that vanish at x_c (K. Slevin and T. Ohtsuki, Phys. Rev. Lett. 82,
    382, 1999). The parameters are those of least chi squared, from the best points of a lattice of exponents
    from -2 to 2. The intervals are Student's, of the bootstrap's standard error over replicates, resampled
    jointly over all sizes and x (`phasediag.analysis.bootstrap.interval`): percentiles of few draws are too
    near, and the draws lean away from the estimate's errors. Where the curves differ by more than their
    errors they are wider by the square root of the quality. Each choice that could have been another one
    (the window, the smallest size, the corrections) is tried too, and the result tells whether the
    parameters move with it.

    Parameters
    ----------
    trials
        One row a trial. The trials that enter are those of `fit_scaling`, by the same rules: ok and
        converged, from cells of x and size most of which has converged and, with `power`, whose count the
        size does not limit. Other axes are pooled, which is said.
    x, y
        Columns or expressions; with `power` only positive x and positive means enter.
    size
        The column of the sizes.
    window
        The smallest and largest x to enter; None: all. `fit_scaling(...).window` takes its very trials.
    resamples, seed
        Of the bootstrap.
    room
        With `power`: cells whose mean count exceeds this share of their size are left out; 1 keeps all.
    omega
        The exponent of the corrections to scaling, positive; at a critical point with analytic corrections
        1/nu. None: without. Needs 3 sizes.

    Raises
    ------
    AnalysisError
        For unknown columns, a single size, fewer than 4 points of a size, sizes whose curves do not overlap
        whatever the exponents, or a critical point outside the data.
    """
    if form not in ("power", "critical", "shift"):
        raise AnalysisError(f"form='{form}' is unknown; it is power, critical or shift")
    if omega is not None and not (np.isfinite(omega) and omega > 0):
        raise AnalysisError(f"omega={omega} is no exponent of corrections; it is positive, or None: without")
    sample = Sample.of(
        trials, x, y, named=(size,), by=size, room=room, window=window, strength=form == "power"
    )
    if form == "power":
        sample = _with_logarithms(sample, size, x)
    curves = SizeCurves.of(sample.trials, sample.counts, x, size, form)
    if omega is not None and curves.group.max() + 1 < FEWEST_SIZES:
        raise AnalysisError(f"corrections (omega=) need {FEWEST_SIZES} values of '{size}', there are 2")
    fit = fit_curves(curves, np.full(len(curves.x), True), omega)
    if not np.isfinite(fit.chi2):
        raise AnalysisError(
            f"fewer than half of the points of one {size} lie between those of another, whatever the "
            f"exponents, so that nothing can be said of a collapse; give all sizes a common range of {x}"
        )
    shift = _shift(fit)
    draws = Resamples.of(curves.replicates, resamples, seed)
    means = curves.drawn(draws.weights)
    drawn = fit.drawn(means)
    low, high = _wider(fit, *interval(_open(fit, drawn).T, draws, fit.named, percentiles=False))
    low, high = along_the_valley(fit, low, high)
    if curves.sums.agree:
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    other = scan(fit, (low, high), means, drawn, draws, size)
    return SizeCollapse(
        x=x, y=y, size=size, form=form, omega=omega, parameters=_parameters(fit, low, high, other),
        quality=fit.quality, unscaled_quality=neutral(fit), scan=other, points=_points(fit),
        shift_quality=float("nan") if shift is None else shift.quality,
        excludes_shift=None if shift is None else _excluded(shift, fit),
        n=len(sample.counts), replicates=curves.replicates, left_out=sample.reasons,
        condition=conditional(sample.trials),
        notes=(*sample.notes, *pooled(sample.trials, (x, y, size), POOLED)),
    )  # fmt: skip


def _with_logarithms(sample: Sample, size: str, x: str) -> Sample:
    """The trials of cells whose mean is positive."""
    if not len(sample.counts):
        return sample
    cell = Groups.of(sample.trials, (size, x)).cell
    empty = np.bincount(cell, sample.counts)[cell] <= 0
    return sample.without(empty, "in cells of mean 0, which has no logarithm")


def _shift(fit: SizeFit) -> SizeFit | None:
    """The best collapse by a shift with log L alone, where the form is critical.

    Raises
    ------
    AnalysisError
        Where the critical point lies outside the data, or only a far one could fit as well as a shift does.
    """
    curves, used = fit.function.curves, fit.function.used
    if curves.form != "critical":
        return None
    shift = fit_curves(replace(curves, form="shift"), used, fit.function.omega, pieces=fit.pieces)
    _, along, critical = fit.named
    low, high = curves.x.min(), curves.x.max()
    if low <= critical <= high and fit.chi2 <= shift.chi2:
        return shift
    if low <= critical <= high:
        raise AnalysisError(
            f"there is no critical point in the data: the best one there, at {critical:.3g}, fits worse "
            f"(quality {fit.quality:.2f}) than curves that only shift with the logarithm of the size, the "
            f"limit of one far outside the measured {low:g} to {high:g}, which fit no worse than any "
            f"(quality {shift.quality:.2f}; form='shift'). Scan farther if you expect one there"
        )
    same = "no worse" if not _excluded(shift, fit) else "worse"
    raise AnalysisError(
        f"there is no critical point in the data: the curves lie closest on each other with one at "
        f"{critical:.3g}, outside the measured {low:g} to {high:g} (exponent {along:.3g}, quality "
        f"{fit.quality:.2f}). Curves that only shift with the logarithm of the size, which have none, fit "
        f"{same} (quality {shift.quality:.2f}; form='shift'). Scan farther if you expect one there"
    )


def _excluded(shift: SizeFit, fit: SizeFit) -> bool:
    """Whether a pure shift, the limit of a far critical point and a small exponent, fits worse, at 95 %."""
    more = len(fit.parameters) - len(shift.parameters)
    return bool((shift.chi2 - fit.chi2) / max(1.0, fit.quality) > special.chdtri(more, 1 - CONFIDENCE))


def _open(fit: SizeFit, drawn: FloatArray) -> FloatArray:
    """The parameters of draws, with a critical point outside the data as an infinite one."""
    x = fit.function.curves.x
    ends = np.where(drawn > x.max(), np.inf, np.where(drawn < x.min(), -np.inf, drawn))
    return np.where(np.arange(drawn.shape[1]) == 2, ends, drawn)


def _wider(fit: SizeFit, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Wider intervals where the curves differ by more than chance, as the Particle Data Group has them."""
    reach = np.sqrt(max(1.0, fit.quality)) * (high - low) / 2
    return fit.named - reach, fit.named + reach


def _parameters(fit: SizeFit, low: FloatArray, high: FloatArray, other: pd.DataFrame) -> pd.DataFrame:
    names = list(fit.function.curves.names)
    made = pd.DataFrame({"value": fit.named, "low": low, "high": high}, index=names)
    rows = {name: other[other["parameter"] == name] for name in names}
    moves = [float(each["shift"].abs().max()) if len(each) else np.nan for each in rows.values()]
    stable = [None if each["stable"].isna().any() else bool(each["stable"].all()) for each in rows.values()]
    stable = [answer if len(rows[name]) else None for answer, name in zip(stable, names, strict=True)]
    return made.assign(moves=moves, stable=pd.Series(stable, index=names, dtype=object))


def _end(value: float) -> str:
    """An end of an interval, in a finding."""
    return "open" if np.isinf(value) else f"{value:.3f}"


def _points(fit: SizeFit) -> pd.DataFrame:
    """The cells with their means, as measured and scaled."""
    function, curves, one = fit.function, fit.function.curves, fit.parameters[None]
    at, growth, away = function.scaled_x(one)[0], function.log_growth(one)[0], function.corrections(one[0])
    if curves.form == "power":
        at, value = np.exp(at), np.exp(np.log(curves.mean) - growth - away)
        error = value * curves.error / curves.mean
    else:
        value, error = curves.mean * np.exp(-growth) - away, curves.error * np.exp(-growth)
    return curves.cells.assign(
        mean=curves.mean, error=curves.error, scaled_x=at, scaled_y=value, scaled_error=error
    )
