"""Comparing descriptions of the same counts by the information criterion of their quasi-likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from phasediag.analysis.likelihood import pearson, quasi_likelihood
from phasediag.arrays import FloatArray, IntArray

LEAST_DISPERSION: Final = 1e-6
"""Counts that agree with a curve exactly are no proof that they do not scatter."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A curve that was fitted to the means of counts."""

    model: Mapping[str, Any]
    """What is known of it: `name`, `formula` and what else its table shows."""
    curve: FloatArray
    """Its means, shape (cells,); it is ruled out where one is no number, or 0 where there are counts."""
    parameters: int
    """How many were fitted."""
    price: int
    """What they cost in the criterion."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Candidates by their criterion."""

    models: tuple[Mapping[str, Any], ...]
    """What is known of each candidate, with `aic` and `delta_aic`, best first."""
    dispersion: float
    """The smallest that a candidate reaches: the variance of the counts over their mean."""


def compared(
    candidates: Sequence[Candidate], means: FloatArray, numbers: FloatArray, counts: FloatArray,
    cell: IntArray,
) -> Comparison:  # fmt: skip
    """Compare candidates by the QAIC: 2 price - 2 quasi-likelihood / dispersion.

    The dispersion is one for all, the smallest that a candidate reaches, so that the criteria are
    comparable (K. P. Burnham and D. R. Anderson, Model Selection and Multimodel Inference, 2002).

    Parameters
    ----------
    means, numbers
        Mean and number of the counts of each cell, shape (cells,).
    counts, cell
        The single counts and the cell of each, shape (counts,).
    """
    likelihoods = [
        float(quasi_likelihood(each.curve, means, numbers)) if np.isfinite(each.curve).all() else -np.inf
        for each in candidates
    ]
    scatter = [
        pearson(each.curve[cell], counts).sum() / max(len(counts) - each.parameters, 1)
        for each, likelihood in zip(candidates, likelihoods, strict=True)
        if np.isfinite(likelihood)
    ]
    dispersion = max(float(min(scatter, default=1.0)), LEAST_DISPERSION)
    criteria = [
        2 * each.price - 2 * likelihood / dispersion
        for each, likelihood in zip(candidates, likelihoods, strict=True)
    ]
    models = (
        {**each.model, "aic": aic, "delta_aic": aic - min(criteria)}
        for each, aic in zip(candidates, criteria, strict=True)
    )
    return Comparison(
        models=tuple(sorted(models, key=lambda model: float(model["aic"]))), dispersion=dispersion
    )
