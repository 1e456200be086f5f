"""Whether counts follow weight decay and noise through one strength: descriptions without a law, compared.

One strength against decay alone, noise alone, and a factor of each, by what they foretell of cells and
replicates that were left out; and against the cells' own means, which no description restricts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from phasediag.analysis.bootstrap import FEWEST_REPLICATES
from phasediag.analysis.comparison import Foretold, Lead, ReplicateMeans, lead
from phasediag.analysis.likelihood import deviance
from phasediag.analysis.noise_power import FEWEST_LEVELS, NoisePower, noise_power
from phasediag.analysis.single_index import Cells, MonotoneFit, carried, fit_index, fit_shifts, isotonic
from phasediag.analysis.verdict import AGREEING, Claim, SupportVerdict
from phasediag.arrays import BoolArray, FloatArray, IntArray

BLOCKS: Final = 5
"""Cells are left out in so many parts, each spread over all decays and noises."""
STRENGTH: Final = "one strength"
DECAY: Final = "weight decay alone"
NOISE: Final = "noise alone"
FACTORS: Final = "a factor of each"
SHIFTS: Final = "a shift of each noise"
_FORMULAS: Final[Mapping[str, str]] = {
    STRENGTH: "monotone in gamma + T Var", DECAY: "monotone in gamma", NOISE: "monotone in T Var",
    FACTORS: "a(gamma) b(T)", SHIFTS: "monotone in gamma + c(T)",
}  # fmt: skip
NEGLIGIBLE: Final = 0.05
"""What a description gains that leads by less than this share of another lead is nothing."""
_TURNS: Final = 60
"""Rounds of fitting the factors, each of which takes the other for given."""
_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exchange:
    """One strength of decay and noise, beside other descriptions."""

    fit: MonotoneFit
    """The fit of all replicates."""
    rising: bool
    """Whether the counts rise with the strength."""
    models: tuple[Mapping[str, Any], ...]
    """Best first: `name, formula`; `behind`, by how much the log score of a left-out replicate, at left-out
    cells, falls behind that of the best, `behind_error`, and `prediction`, the mean error there in per cent.
    Those that could not be tested are left out."""
    leads: Mapping[str, Lead]
    """The lead of one strength over each other description."""
    power: NoisePower | None
    """By which power of itself noise adds to decay; None where it cannot be told."""
    departure: Lead
    """The lead of the cells' own means over one strength, at left-out replicates."""
    away: float
    """Mean difference of the cells' own means from the curve, in per cent."""
    agree: bool
    """Whether all replicates are exactly alike."""
    replicates: int

    def claim(self, y: str) -> Claim:
        """Whether y follows the combined strength.

        Not supported where another description leads clearly, or the cells' own means do. Supported where one
        strength leads clearly every description that it is no case of, while those that it is a case of (a
        shift of each noise, in no proportion to T; the own means) gain no more than 5 % of that lead, and
        where noise adds by its first power: neither the root nor the square, which few decays hardly tell
        from it. Not supported too where its power is nearer to one of these.
        """
        said, reason = self._answer(y)
        return Claim(claim=f"{y} follows the combined strength gamma + T Var", verdict=said, reason=reason)

    def _answer(self, y: str) -> tuple[SupportVerdict, str]:
        if self.agree:
            return "cannot tell", AGREEING
        if self.replicates < FEWEST_REPLICATES:
            return "cannot tell", f"{FEWEST_REPLICATES} replicates are needed"
        if not self.leads:
            return "cannot tell", "too few cells lie between others to leave some out"
        apart = {name: each for name, each in self.leads.items() if name != SHIFTS}
        if not apart:
            return "cannot tell", "no other description could be tested on left-out cells"
        rival = min(apart, key=lambda name: apart[name].gain)
        shifted = -self.leads[SHIFTS].gain if SHIFTS in self.leads else 0.0
        gained = max(shifted, self.departure.gain, 0.0)
        proportional = gained <= NEGLIGIBLE * apart[rival].gain
        rival = rival if proportional or apart[rival].gain <= 0 else SHIFTS
        reason = (
            f"at left-out cells and replicates against {rival} ({_FORMULAS[rival]}): log score better by "
            f"{_with_error(self.leads[rival])}; the cells' own means differ from the curve by "
            f"{self.away:.0f}% on average"
        )
        backwards = [name for name, each in self.leads.items() if _clearly_behind(each)]
        if backwards:
            return "not supported", reason
        if self.departure.clear:
            return "not supported", (
                f"{reason} and foretell left-out replicates better, by {_with_error(self.departure)}: {y} at "
                "the same strength still differs"
            )
        if not (proportional and all(each.clear for each in apart.values())):
            return "cannot tell", f"{reason}: within errors"
        return self._by_power(reason)

    def _by_power(self, reason: str) -> tuple[SupportVerdict, str]:
        """Whether noise adds by its first power, where all else is in favour."""
        if self.power is None:
            return "cannot tell", (
                f"{reason}; by which power noise adds to decay cannot be told, {FEWEST_LEVELS} values of "
                "noise and more cells are needed"
            )
        reason = f"{reason}; noise adds to decay by the power {self.power} of it"
        if self.power.is_another:
            return "not supported", reason
        if self.power.is_one:
            return "supported", reason
        return "cannot tell", f"{reason}: neither is 1 shown nor are the root and the square excluded"


def compare_exchanges(cells: Cells, level: IntArray, data: ReplicateMeans) -> Exchange:
    """Fit every description without each part of the replicates and each part of the cells.

    Cells beyond the ends of the strengths that are left are not foretold: no curve of unknown form can be
    continued.

    Parameters
    ----------
    level
        The number of each cell's noise, shape (cells,).
    data
        The replicates in each cell.
    """
    everyone, numbers = data.without(np.zeros((1, data.values.shape[1]), dtype=np.bool_))
    fits = [fit_index(cells, everyone[0], numbers[0], rising) for rising in (False, True)]
    losses = [deviance(np.maximum(f.curve, _TINY), everyone[0], numbers[0]).sum() for f in fits]
    rising = bool(losses[1] < losses[0])
    fit = fits[rising]
    decay = np.unique(cells.gamma, return_inverse=True)[1]
    block = (decay + 2 * level) % BLOCKS
    means, folds = data.without_folds
    inside = np.full(len(block), True)
    for part in range(BLOCKS):
        without = fit_index(cells, everyone[0], np.where(block == part, 0.0, numbers[0]), rising)
        inside &= without.inside | (block != part)
    curves: dict[str, FloatArray] = {}
    for name in _FORMULAS:
        parts = [_foretold(name, cells, level, one, number, block, rising)
                 for one, number in zip(means, folds, strict=True)]  # fmt: skip
        curve = np.array(parts)[:, inside]
        if curve.size and np.isfinite(curve).all():
            curves[name] = curve
    own = np.array([fit_index(cells, *each, rising).curve for each in zip(means, folds, strict=True)])
    power = noise_power(cells, data, fit.coefficients)
    return _compared(fit, rising, curves, inside, own, data, power)


def _compared(
    fit: MonotoneFit, rising: bool, curves: Mapping[str, FloatArray], inside: BoolArray, own: FloatArray,
    data: ReplicateMeans, power: NoisePower | None,
) -> Exchange:  # fmt: skip
    among = ReplicateMeans(values=data.values[inside], integers=data.integers)
    foretold = {name: Foretold.of(curve, among) for name, curve in curves.items()}
    scores = {name: float(one.scores(among).mean()) for name, one in foretold.items()}
    order = sorted(scores, key=lambda name: -scores[name])
    models = []
    for name in order:
        gap = lead(foretold[order[0]], foretold[name], among)
        said = foretold[name].means.mean(axis=0)
        error = np.abs(among.means - said) / np.maximum(np.maximum(among.means, said), _TINY)
        models.append({
            "name": name, "formula": _FORMULAS[name], "behind": gap.gain, "behind_error": gap.error,
            "prediction": float(error.mean()) * 100,
        })  # fmt: skip
    means = data.means
    away = np.abs(means - fit.curve) / np.maximum(np.maximum(means, fit.curve), _TINY)
    best = foretold.get(STRENGTH)
    others = [name for name in order if name != STRENGTH] if best is not None else []
    return Exchange(
        fit=fit, rising=rising, models=tuple(models),
        power=power, leads={name: lead(foretold[STRENGTH], foretold[name], among) for name in others},
        departure=lead(Foretold.of(data.without_folds[0], data), Foretold.of(own, data), data),
        away=float(away.mean()) * 100,
        agree=data.agree, replicates=data.values.shape[1],
    )  # fmt: skip


def _foretold(
    name: str, cells: Cells, level: IntArray, means: FloatArray, numbers: FloatArray, block: IntArray,
    rising: bool,
) -> FloatArray:  # fmt: skip
    """What a description says of each cell without its part, shape (cells,)."""
    curve = np.full(len(means), np.nan)
    for part in range(BLOCKS):
        hidden = block == part
        weights = np.where(hidden, 0.0, numbers)
        curve[hidden] = _described(name, cells, level, means, weights, rising)[hidden]
    return curve


def _described(
    name: str, cells: Cells, level: IntArray, means: FloatArray, weights: FloatArray, rising: bool
) -> FloatArray:
    """The curve of a description at all cells, shape (cells,)."""
    if name == STRENGTH:
        return fit_index(cells, means, weights, rising).curve
    if name == FACTORS:
        return _factors(np.unique(cells.gamma, return_inverse=True)[1], level, means, weights)
    if name == SHIFTS:
        start = fit_index(cells, means, weights, rising).index
        return fit_shifts(cells, level, start, means, weights, rising)
    if name == NOISE and len(cells.noises) > 1:
        noises = Cells(gamma=cells.noises[0], noises=cells.noises[1:])
        return fit_index(noises, means, weights, rising).curve
    index, known = cells.gamma if name == DECAY else cells.noises[0], weights > 0
    return carried(index, known, isotonic(index[known], means[known], weights[known], rising))


def _factors(row: IntArray, column: IntArray, means: FloatArray, weights: FloatArray) -> FloatArray:
    """The product of a factor of each row and one of each column, of largest quasi-likelihood.

    NaN where all of a row or column was left out.
    """
    counts = weights * means
    across = np.ones(int(column.max()) + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(_TURNS):
            along = np.bincount(row, counts) / np.bincount(row, weights * across[column])
            along = np.where(np.bincount(row, weights) > 0, along, np.nan)
            across = np.bincount(column, counts) / np.bincount(column, weights * np.nan_to_num(along)[row])
        across = np.where(np.bincount(column, weights) > 0, across, np.nan)
    return np.asarray(along[row] * across[column])


def _clearly_behind(one: Lead) -> bool:
    """Whether a lead is clearly the other's."""
    return Lead(gain=-one.gain, error=one.error, folds=one.folds).clear


def _with_error(one: Lead) -> str:
    return f"{one.gain:.3g} ± {one.error:.2g}"
