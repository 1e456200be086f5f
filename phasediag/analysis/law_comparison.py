"""Laws compared by how well each foretells left-out replicates at left-out values of x."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from phasediag.analysis.bootstrap import CONFIDENCE, FEWEST_REPLICATES
from phasediag.analysis.comparison import Foretold, Lead, ReplicateMeans, jackknifed, lead, reach
from phasediag.analysis.law import Law
from phasediag.analysis.laws import LAWS, REFERENCE, law
from phasediag.arrays import BoolArray, FloatArray, IntArray

BLOCKS: Final = 5
"""A block is this part of the values of x, at least one: each is left out in turn."""
TOLERATED: Final = 0.1
"""A law foretells a block of x where its error may be below this share, by its interval."""
NEGATIVE: Final = "foretells negative counts"
NONE: Final = "foretells none where there are some"
NO_NUMBER: Final = "foretells what is no number"
UNTESTED: Final = "needs more values of x to be left out of"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LawComparison:
    """Laws, best first, and what each foretells."""

    models: tuple[Mapping[str, Any], ...]
    """`name, formula, parameters, r2`; `behind`, by how much the log score of a left-out replicate falls
    behind that of the best law, and `behind_error`, its standard error over replicates; `prediction`, the
    mean error of what is foretold of left-out values of x, in per cent of the larger of the two;
    `foretells`, whether every block of x may be foretold to 10 %, as far as can be told; `note`, in
    words. NaN where a law needs more values of x to be left out of."""
    foretold: Mapping[str, Foretold]
    """By name, of those that could be tested."""
    data: ReplicateMeans

    def lead(self, one: str, other: str) -> Lead:
        """By how much a law foretells better than another."""
        return lead(self.foretold[one], self.foretold[other], self.data)

    def model(self, name: str) -> Mapping[str, Any]:
        """What is known of a law."""
        return next(model for model in self.models if model["name"] == name)


def compare_laws(x: FloatArray, data: ReplicateMeans) -> LawComparison:
    """Fit every law that goes in the direction of the counts, and leave out replicates and blocks of x.

    Each law is fitted without one part of the replicates and without one block of x, and foretells what
    that part says of that block, for all parts and blocks.

    Parameters
    ----------
    x
        Ascending, shape (points,).
    data
        The replicates at each x.
    """
    everyone = np.zeros((1, data.values.shape[1]), dtype=np.bool_)
    means, numbers = data.without(everyone)
    grows = REFERENCE.fit(x, means, numbers)[0, 1] > 0
    directions = ("any", "growing" if grows else "falling")
    laws = [one for one in LAWS if one.direction in directions and len(x) >= one.points]
    block = np.arange(len(x)) // max(1, len(x) // BLOCKS)
    models, foretold = [], {}
    for one in laws:
        parameters = one.fit(x, means, numbers)[0]
        model: dict[str, Any] = {
            "name": one.name, "formula": one.formula,
            "parameters": dict(zip(one.parameters, parameters.tolist(), strict=True)),
            "r2": _share_explained(one.curve(x, parameters), means[0], numbers[0]),
            "prediction": np.nan, "foretells": None, "note": UNTESTED,
        }  # fmt: skip
        if len(x) - np.bincount(block).max() > len(one.parameters):
            curves = _left_out(one, x, data, block)
            foretold[one.name] = Foretold.of(curves, data)
            model |= _prediction(foretold[one.name], data, block)
            model["note"] = _note(curves, data)
        models.append(model)
    return _ranked(models, foretold, data)


def _left_out(one: Law, x: FloatArray, data: ReplicateMeans, block: IntArray) -> FloatArray:
    """What a law says of each block of x without it and without a fold, shape (folds, points)."""
    blocks = int(block.max()) + 1
    means, numbers = data.without_folds
    folds = len(means)
    hidden = block == np.arange(blocks)[:, None]
    means = np.where(hidden, 0.0, means[:, None])
    numbers = np.where(hidden, 0.0, numbers[:, None])
    fitted = one.fit(x, means.reshape(-1, len(x)), numbers.reshape(-1, len(x)))
    curves = np.array([one.curve(x, parameters) for parameters in np.asarray(fitted)])
    return curves.reshape(folds, blocks, len(x))[:, block, np.arange(len(x))]


def _share_explained(curve: FloatArray, means: FloatArray, numbers: FloatArray) -> float:
    spread = float(numbers @ (means - numbers @ means / numbers.sum()) ** 2)
    return 1 - float(numbers @ (means - curve) ** 2) / spread if spread > 0 else float("nan")


def _prediction(foretold: Foretold, data: ReplicateMeans, block: IntArray) -> dict[str, Any]:
    """The mean error in per cent, and whether every block may be foretold."""
    means, said = np.maximum(data.means, data.least), foretold.means.mean(axis=0)
    scale = np.maximum(means, said)
    error = float((np.abs(means - said) / scale).mean()) * 100
    confidence = 1 - (1 - CONFIDENCE) / (int(block.max()) + 1)
    blocks = (block == number for number in range(int(block.max()) + 1))
    able = all(_foretells(foretold, data, one, scale, confidence) for one in blocks)
    return {"prediction": error, "foretells": able}


def _foretells(
    foretold: Foretold, data: ReplicateMeans, block: BoolArray, scale: FloatArray, confidence: float
) -> bool:
    """Whether the interval of the relative error of a block meets what is tolerated."""
    said = np.where(foretold.means > data.least, foretold.means, 0.0)
    errors = (data.without_folds[0] - said)[:, block].sum(axis=1) / scale[block].sum()
    known = len(errors) >= FEWEST_REPLICATES
    around = reach(len(errors), confidence) * np.sqrt(jackknifed(errors)) if known else 0.0
    return bool(abs(float(errors.mean())) - around <= TOLERATED)


def _note(curves: FloatArray, data: ReplicateMeans) -> str:
    if not np.isfinite(curves).all():
        return NO_NUMBER
    if (curves < 0).any():
        return NEGATIVE
    some = (data.means > 0) & (curves < data.least * 1e-3).any(axis=0)
    return NONE if some.any() else ""


def _ranked(
    models: list[dict[str, Any]], foretold: Mapping[str, Foretold], data: ReplicateMeans
) -> LawComparison:
    """The models with how far they fall behind the best, best first; those without a score come last."""
    scores = {name: float(one.scores(data).mean()) for name, one in foretold.items()}
    best = max(scores, key=lambda name: scores[name]) if scores else ""
    for model in models:
        gap = lead(foretold[best], foretold[model["name"]], data) if model["name"] in scores else None
        model["behind"] = np.nan if gap is None else gap.gain
        model["behind_error"] = np.nan if gap is None else gap.error
    order = {one.name: place for place, one in enumerate(LAWS)}
    models.sort(key=lambda m: (np.isnan(m["behind"]), np.nan_to_num(m["behind"]), order[m["name"]]))
    return LawComparison(models=tuple(models), foretold=foretold, data=data)


def kinds(comparison: LawComparison, polynomial: bool) -> list[str]:
    """The laws with a trend, best first, that are polynomial, or that are not."""
    names = (str(model["name"]) for model in comparison.models)
    return [name for name in names if law(name).trend and law(name).polynomial is polynomial]
